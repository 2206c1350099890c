"""Command lines run in this process, where a process of its own would add nothing but its start."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.documents import ROOT


def status_of(run: Callable[[], Any]) -> int:
    """The exit status of a program, which also the parser of its command line may set."""
    try:
        return int(run() or 0)
    except SystemExit as stop:
        return int(stop.code or 0)


def run_program(*line: str | Path) -> int:
    """Run ``train.py``, ``evaluate.py`` or ``-m module`` with arguments; returns the exit status.

    Args:
        line: The program and its arguments, as after ``python``.
    """
    program, *arguments = (str(part) for part in line)
    with pytest.MonkeyPatch.context() as patch:
        if program == "-m":
            module, *arguments = arguments
            patch.setattr(sys, "argv", [module, *arguments])
            patch.delitem(sys.modules, module, raising=False)  # else runpy warns
            return status_of(lambda: runpy.run_module(module, run_name="__main__") and None)
        patch.setattr(sys, "argv", [program, *arguments])
        path = str(ROOT / program)
        return status_of(lambda: runpy.run_path(path, run_name="__main__") and None)

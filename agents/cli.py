"""Command lines from the configuration classes; typed errors become one line on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import tyro
from rich.console import Console

from marl_stl_env.errors import MarlStlError

_Config = TypeVar("_Config")

#: Exit status of a command whose input was refused.
REFUSED = 2


def run_command(
    config_type: type[_Config], action: Callable[[_Config], None], description: str
) -> int:
    """Parse the command line into a configuration and act on it.

    Args:
        config_type: A frozen dataclass; its fields become flags.
        action: What to do with it.
        description: Shown by ``--help``.

    Returns:
        0, or 2 where the input was refused.
    """
    try:
        config = (tyro.conf.OmitArgPrefixes,)
        action(tyro.cli(config_type, description=description, config=config))
    except MarlStlError as error:
        Console(file=sys.stderr, soft_wrap=True).print(
            f"[bold red]{type(error).__name__}[/]: ", str(error), sep="", markup=True
        )
        return REFUSED
    return 0

"""What messages advise exists: every flag that a text names is in some ``--help``."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from marl_stl_agents.commands import data, decide, evaluate, serve, train
from marl_stl_agents.commands.compare import CompareConfig
from marl_stl_agents.commands.data import describe
from marl_stl_agents.commands.export import ExportConfig
from marl_stl_agents.commands.sweep import Space

from marl_stl_env.data.registry import dataset_info, datasets
from marl_stl_env.stl.__main__ import main as stl
from tests.documents import ROOT
from tests.programs import status_of

#: A flag in a sentence; ``var(--paper)`` of a style sheet is none.
FLAG = re.compile(r"(?<![\w(-])--[a-z][a-z0-9-]+")
COMMANDS: tuple[tuple[Any, list[str]], ...] = (
    (train, []), (evaluate, []), (decide, []), (data, ["check"]),
    (serve, []),
)  # fmt: skip
#: Flags of other programs: `ray start --head`.
FOREIGN = {"--head"}


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Every text of a file, docstrings included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


@pytest.fixture
def flags(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> set[str]:
    found = set(FOREIGN)
    for config in (CompareConfig, ExportConfig):
        found |= {f"--{item.name.replace('_', '-')}" for item in fields(config)}
    monkeypatch.setattr(sys, "argv", ["stl", "check", "--help"])
    assert status_of(stl) == 0
    found |= set(FLAG.findall(capsys.readouterr().out))
    for command, first in COMMANDS:
        assert status_of(partial(command.main, [*first, "--help"])) == 0
        shown = FLAG.findall(capsys.readouterr().out)
        found |= set(shown)
        assert len(shown) > 2, command.__name__
    return found


def test_every_flag_named_exists(flags: set[str]) -> None:
    unknown = [
        f"{path.relative_to(ROOT)}:{line} {flag}"
        for folder in ("agents", "marl_stl_env")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, text in texts(path)
        for flag in FLAG.findall(text)
        if flag not in flags
    ]
    assert unknown == []


def test_the_space_that_the_help_shows_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(partial(train.main, ["--help"])) == 0
    shown = " ".join(re.sub("[│\n]", " ", capsys.readouterr().out).split())
    example = re.search(r"such as (\{.*?\}\}\})\.", shown)
    assert example is not None
    space = Space.model_validate_json(example[1])
    assert (space.trials, list(space.ppo)) == (8, ["width", "learning_rate"])


@pytest.mark.parametrize("name", datasets())
def test_describe_says_how_to_get_the_data(name: str) -> None:
    """The command is named where there is something to fetch, and only there."""
    text = "\n".join(describe(name))
    assert (f"marl-stl-data download {name}" in text) == bool(dataset_info(name).downloads)
    assert FLAG.findall(text) in ([], ["--drop-duplicates"])

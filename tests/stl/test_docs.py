"""The examples of ``docs/guide/stl.md`` do what the page says."""

from __future__ import annotations

import doctest
import re
import sys
from pathlib import Path

import pytest

from marl_stl_env.errors import FormulaError
from marl_stl_env.stl.__main__ import main
from marl_stl_env.stl.certificate import allowed_failures
from marl_stl_env.stl.parser import parse
from marl_stl_env.stl.robustness import robustness
from marl_stl_env.stl.specs import default_specifications
from marl_stl_env.stl.traces import read_traces

FILE = Path(__file__).parents[2] / "docs" / "guide" / "stl.md"
PAGE = FILE.read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found.group(1)


def cells(row: str) -> list[str]:
    line = next(line for line in PAGE.splitlines() if line.startswith(f"| {row} |"))
    return [cell.strip(" *`") for cell in line.strip("|").split("|")][1:]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text(block("csv"))
    return path


def test_python_examples() -> None:
    result = doctest.testfile(str(FILE), module_relative=False)
    assert result.attempted > 10
    assert result.failed == 0


def test_command(
    trace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command, *shown = block("console").splitlines()
    formula = command.split('"')[1]
    monkeypatch.setattr(sys, "argv", ["stl", "check", formula, str(trace)])
    assert main() == 1
    assert capsys.readouterr().out.splitlines() == shown


@pytest.mark.parametrize("text", ["F[0,2] contained", "threat -> F[0,2] contained", "threat"])
def test_robustness_table(trace: Path, text: str) -> None:
    traces, _, _ = read_traces(trace, parse(text))
    values = [float(cell.strip("*").replace("\u2212", "-")) for cell in cells(f"`{text}`")]
    assert robustness(parse(text), traces)[0].tolist() == values


def test_error() -> None:
    shown = block("")
    with pytest.raises(FormulaError) as caught:
        parse(shown.splitlines()[1].strip())
    assert str(caught.value) == shown.rstrip("\n")


def test_default_specs() -> None:
    for specification in default_specifications():
        assert parse(cells(specification.name)[0]) == specification.formula


def test_failures_allowed() -> None:
    counts = [int(cell.replace(",", "")) for cell in cells("episodes K")]
    allowed = [-1 if cell == "none suffices" else int(cell) for cell in cells("failures allowed")]
    assert [allowed_failures(count, 0.05, 0.05) for count in counts] == allowed

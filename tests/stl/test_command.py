from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from marl_stl_env.errors import DataFileNotFoundError, DataFormatError, UnknownNameError
from marl_stl_env.stl.__main__ import BROKEN, FAILED, KEPT, main
from marl_stl_env.stl.parser import parse
from marl_stl_env.stl.robustness import satisfied
from marl_stl_env.stl.traces import read_traces

TRACE = """threat,contained,x,note
1,0,3,first
0,0,2.5,
0,1,1,"a, b"
0,0,-0.5,
"""
LANES = """lane,p,x
a,true,1
b,false,2
a,TRUE,3

b,true,4
a,False,5
"""


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text(TRACE)
    return path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["stl", *map(str, arguments)])
    return main()


@pytest.mark.parametrize(
    ("formula", "code", "shown"),
    [
        ("G(threat -> F[0,2] contained)", KEPT, ["satisfied so far", " 1 "]),
        ("G(threat -> F[0,1] contained)", BROKEN, ["violated ", " -1 ", " 0 "]),
        ("G x > 0", BROKEN, ["violated ", "-0.5", " 3 "]),
        ("F[0,1] x < 2.75", KEPT, ["satisfied ", "0.25", " - "]),
        ("G[0,1] x >= 2.5", KEPT, ["satisfied ", " 0 "]),
        ("G[0,1] x > 2.5", BROKEN, ["violated ", " 0 ", " 1 "]),
    ],
)
def test_check(
    trace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    formula: str,
    code: int,
    shown: list[str],
) -> None:
    assert run(monkeypatch, "check", formula, trace) == code
    output = capsys.readouterr().out
    assert str(parse(formula)) in output
    for text in shown:
        assert text in output
    assert ("could still change" in output) == ("so far" in output)


def test_check_of_several_lanes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lanes.csv"
    path.write_text(LANES)
    assert run(monkeypatch, "check", "G x < 5", path) == BROKEN
    rows = [line for line in capsys.readouterr().out.splitlines() if "│" in line]
    assert [[cell.strip() for cell in row.strip("│").split("│")] for row in rows] == [
        ["a", "violated", "0", "2"],
        ["b", "satisfied so far", "1", "-"],
    ]


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("G(threat -> F[0,z] contained)", "                  ^"),
        ("G y > 3", "unknown signal 'y'; known: threat, contained, x, note"),
        ("G note > 3", "row 2, column 'note': 'first' is no finite number"),
        ("G x", "'x' is used as a condition but is 3"),
    ],
)
def test_errors_exit_with_two(
    trace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    formula: str,
    message: str,
) -> None:
    assert run(monkeypatch, "check", formula, trace) == FAILED
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err


def test_the_module_sets_the_exit_code(trace: Path) -> None:
    for formula, code in (("F x < 0", KEPT), ("G x < 3", BROKEN), ("G x <", FAILED)):
        command = [sys.executable, "-m", "marl_stl_env.stl", "check", formula, str(trace)]
        assert subprocess.run(command, check=False, capture_output=True).returncode == code


def test_lanes_of_different_length(tmp_path: Path) -> None:
    path = tmp_path / "lanes.csv"
    path.write_text("\ufeff" + LANES, encoding="utf-8")
    traces, lanes, _ = read_traces(path, parse("p and x > 0"))
    assert lanes == ["a", "b"]
    assert traces.lengths is not None
    assert traces.lengths.tolist() == [3, 2]
    assert traces.signals["x"].tolist() == [[1, 3, 5], [2, 4, 0]]
    assert traces.signals["p"][0].tolist() == [True, True, False]
    assert traces.signals["p"][1, :2].tolist() == [False, True]


def test_zeros_and_ones_are_truths_as_conditions(trace: Path) -> None:
    assert read_traces(trace, parse("threat"))[0].signals["threat"].tolist() == [
        [True, False, False, False]
    ]
    assert read_traces(trace, parse("threat > 0.5"))[0].signals["threat"].tolist() == [[1, 0, 0, 0]]
    mixed = read_traces(trace, parse("threat or threat > 0.5"))[0]
    assert mixed.signals["threat"].dtype == np.bool_
    assert satisfied(parse("threat and threat == 1 and threat + threat > 1"), mixed).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "row 1: no header"),
        ("x,y,x\n1,2,3\n", "row 1: columns occur twice: x"),
        ("x\n", "no row below the header"),
        ("x,y\n1,2\n3\n", "row 3: 1 values for 2 columns"),
        ("x,y\n1,2,3\n", "row 2: 3 values for 2 columns"),
        ("x,y\n1,\n,2\n", "row 3, column 'x': ''"),
        ("x\nnan\n", "row 2, column 'x': 'nan'"),
        ("x\n1\ninf\n", "row 3, column 'x': 'inf'"),
        ("x\n1\ntrue\n", "column 'x': numbers and truth values are mixed"),
    ],
)
def test_malformed_files(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(DataFormatError, match=message):
        read_traces(path, parse("x > 0"))


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(DataFileNotFoundError, match="no trace file"):
        read_traces(tmp_path / "none.csv", parse("x > 0"))
    with pytest.raises(DataFormatError, match="cannot be read"):
        read_traces(tmp_path, parse("x > 0"))
    path = tmp_path / "binary.csv"
    path.write_bytes(b"x\n\xff\xfe\n")
    with pytest.raises(DataFormatError, match="cannot be read as UTF-8 CSV"):
        read_traces(path, parse("x > 0"))
    path.write_text("x\n1\n")
    with pytest.raises(UnknownNameError, match="unknown signal 'y'; known: x"):
        read_traces(path, parse("y > 0"))

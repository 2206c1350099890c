"""Booleans count as 0 and 1 in numbers, and comparisons are exact in the type of the data."""

from __future__ import annotations

import operator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_stl_env.errors import DataFormatError, FormulaError
from marl_stl_env.stl.monitor import MonitorSet
from marl_stl_env.stl.parser import parse
from marl_stl_env.stl.robustness import robustness, satisfied
from marl_stl_env.stl.signals import Traces
from marl_stl_env.stl.specs import Specification, default_specifications
from marl_stl_env.stl.traces import read_traces

COMPARE = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


@pytest.mark.parametrize(
    ("formula", "truth"),
    [
        ("off == 0", True),
        ("off != 0", False),
        ("on == 1", True),
        ("off >= 0", True),
        ("-on < 0", True),
        ("-off == off", True),
        ("on + off <= 1", True),
        ("on + on == 2", True),
        ("3 * on - off == 3", True),
        ("on * off == 0", True),
        ("on / 2 == 0.5", True),
        ("on > off", True),
        ("on == off", False),
        ("not off and on", True),
    ],
)
def test_booleans_are_zero_and_one_in_numbers(formula: str, truth: bool) -> None:
    parsed = parse(formula)
    signals = {"on": np.array([[True]]), "off": np.array([[False]])}
    assert satisfied(parsed, Traces(signals)).tolist() == [truth]
    monitors = MonitorSet([Specification("it", parsed)], 1)
    monitors.step({name: values[:, 0] for name, values in signals.items()})
    assert monitors.violated.tolist() == [[not truth]]
    value = robustness(parsed, Traces(signals))[0, 0]
    assert value >= 0 if truth else value <= 0


@settings(max_examples=100, deadline=None)
@given(
    value=st.integers(-(2**63), 2**64 - 1),
    nearby=st.integers(-2, 2),
    kind=st.sampled_from(["integer", "float"]),
    name=st.sampled_from(sorted(COMPARE)),
)
def test_integers_compare_as_in_python(value: int, nearby: int, kind: str, name: str) -> None:
    array = np.array([[value]], np.int64 if value < 2**63 else np.uint64)
    other = value + nearby if kind == "integer" else float(value + nearby)
    signals = {"x": array}
    text = str(other)
    if kind == "float":
        signals["y"], text = np.array([[other]]), "y"
    elif abs(other) >= 2**64 or other < -(2**63):
        return
    formula = parse(f"x {name} {text}")
    truth = COMPARE[name](value, other)
    assert satisfied(formula, Traces(signals)).tolist() == [truth]
    monitors = MonitorSet([Specification("it", formula)], 1)
    monitors.step({n: v[:, 0] for n, v in signals.items()})
    assert monitors.violated.tolist() == [[not truth]]


@pytest.mark.parametrize(
    ("formula", "truth"),
    [
        ("G (bytes <= 16777216)", False),
        ("F (bytes > 16777216)", True),
        ("G (t <= 1499072100.5)", False),
        ("G (id < 9007199254740993)", False),
        ("G (id + id <= 18014398509481984)", False),
        ("G (big <= 18446744073709551614)", False),
        ("G (big * big > big)", True),
    ],
)
def test_recorded_traces_are_exact(tmp_path: Path, formula: str, truth: bool) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(
        "t,bytes,id,big\n"
        "1499072100.25,16777216,9007199254740992,18446744073709551614\n"
        "1499072100.75,16777217,9007199254740993,18446744073709551615\n"
    )
    parsed = parse(formula)
    assert satisfied(parsed, read_traces(path, parsed).traces).tolist() == [truth]


def test_a_time_that_falls_is_refused_with_its_row(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("time,x\n2,1\n2,1\n1,1\n")
    with pytest.raises(DataFormatError, match="row 4, column 'time': the time 1 lies before"):
        read_traces(path, parse("x > 0"))
    path.write_text("time,x\nsoon,1\n")
    with pytest.raises(DataFormatError, match="row 2, column 'time': 'soon' is neither"):
        read_traces(path, parse("x > 0"))
    path.write_text("lane,time,x\na,5,1\nb,1,1\na,5,1\nb,2,1\n")
    assert read_traces(path, parse("x > 0")).time == "time"


_HALF_SECONDS = "time,x\n0.0,1\n0.5,1\n1.0,-1\n1.5,1\n"
_SECONDS = "time,x\n2017-07-03T09:00:00,1\n2017-07-03T09:00:01,1\n2017-07-03T09:00:02,-1\n"


def test_an_interval_is_refused_where_rows_and_units_of_time_differ(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(_HALF_SECONDS)
    for text in ("G[0,1] (x > 0)", "F (x > 0 and G[1,inf) (x > 0))", "(x > 0) U[0,2] (x < 0)"):
        with pytest.raises(DataFormatError, match=r"row 3, column 'time': the time grows by 0\.5"):
            read_traces(path, parse(text))
        assert read_traces(path, parse(text), by_row=True).time == "time"
    for text in ("G (x > 0)", "F[0,0] (x > 0)", "O (x > 0)"):
        assert read_traces(path, parse(text)).time == "time"
    path.write_text(_SECONDS)
    for text, truth in (("G[0,1] (x > 0)", True), ("G[0,2] (x > 0)", False)):
        parsed = parse(text)
        assert satisfied(parsed, read_traces(path, parsed).traces).tolist() == [truth]


@pytest.mark.parametrize("text", ["1" * 10**6 + "x", "(" * 10**6, "not " * 10**5, "-" * 10**6])
def test_long_malformed_formulas_are_typed_errors(text: str) -> None:
    with pytest.raises(FormulaError):
        parse(text)


def test_the_scale_of_collateral_is_its_bound() -> None:
    collateral = {s.name: s for s in default_specifications()}["collateral"]
    assert collateral.scale == 0.25
    monitors = MonitorSet([collateral], 1)
    for _ in range(65):
        monitors.step({"quarantined_fraction": np.array([0.125], np.float32)})
    assert monitors.observation().tolist() == [[0.5]]

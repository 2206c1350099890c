"""Specifications that bound signals: all at once, as the general monitors have them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from marl_stl_env.stl.monitor import MonitorSet
from marl_stl_env.stl.parser import parse
from marl_stl_env.stl.robustness import robustness
from marl_stl_env.stl.signals import Traces
from marl_stl_env.stl.specs import Specification
from marl_stl_env.stl.thresholds import FiniteSignal, Thresholds

FINITE = {
    "n": FiniteSignal(1, np.int64),
    "m": FiniteSignal(2, np.int64),
    "x": FiniteSignal(0, np.float32),
}
TEXTS = [
    "G (n <= 6)",
    "G[5,inf) (x <= 0.1)",
    "G[3,inf) (n >= 0 and m >= -2 and x <= 0.7)",
    "(G[2,inf) (m <= 0.5)) and (G[2,inf) (x >= -0.3))",
]
OTHERS = ["G (n < 6)", "G[0,9] (n <= 6)", "G (O[1,3] n <= 2)", "F (n <= 2)", "G (n + m <= 2)"]
LANES, TIME = 5, 60


def signals(rng: np.random.Generator) -> dict[str, Any]:
    """Random signals, with values at the constants.  # (lanes,) each."""
    constants = np.array([0.1, 0.7, -0.3, 1.5], np.float32)
    return {
        "n": rng.integers(-1, 9, LANES),
        "m": rng.integers(-4, 4, LANES),
        "x": np.where(rng.random(LANES) < 0.3, rng.choice(constants, LANES), rng.normal(size=LANES))
        .astype(np.float32),
    }  # fmt: skip


def rows_of(given: dict[str, Any]) -> Any:
    """The finite signals, each in its row.  # (rows, lanes) float32."""
    return np.array([given["x"], given["n"], given["m"]], np.float32)


@pytest.mark.parametrize("others", [[], OTHERS[:3]], ids=["alone", "beside others"])
def test_the_same_as_the_general_monitors(others: list[str]) -> None:
    """With resets, lanes that wait and lanes that are no longer in step, exactly."""
    specs = [Specification.parse(text, text) for text in [*TEXTS[:2], *others, *TEXTS[2:]]]
    fast, general = MonitorSet(specs, LANES, FINITE), MonitorSet(specs, LANES)
    rng, violated = np.random.default_rng(0), 0
    for _ in range(2 * TIME):
        reset = rng.random(LANES) < 0.01
        sampling = None if rng.random() < 0.5 else rng.random(LANES) < 0.7
        given = signals(rng)
        if reset.any():
            for monitors in (fast, general):
                monitors.reset(reset)
        fast.step({name: given[name] for name in fast.names}, sampling, rows_of(given))
        general.step(given, sampling)
        np.testing.assert_array_equal(fast.robustness, general.robustness)
        np.testing.assert_array_equal(fast.violated, general.violated)
        violated += int(fast.violated.sum())
    assert 0 < violated < 2 * TIME * LANES * len(specs)
    state = fast.get_state()
    general.set_state(state)  # one is as good as the other for going on
    assert state.keys() == general.get_state().keys()


def test_the_same_as_offline() -> None:
    rng = np.random.default_rng(1)
    steps = [signals(rng) for _ in range(TIME)]
    specs = [Specification.parse(text, text) for text in TEXTS]
    monitors = MonitorSet(specs, LANES, FINITE)
    for step in steps:
        monitors.step({}, values=rows_of(step))
    whole = Traces({name: np.stack([step[name] for step in steps], axis=1) for name in FINITE})
    for spec, found in zip(specs, monitors.robustness, strict=True):
        np.testing.assert_array_equal(found, robustness(spec.formula, whole)[:, 0])


def test_restored_lanes_are_as_young_as_they_were() -> None:
    specs = [Specification.parse(text, text) for text in TEXTS]
    monitors, fresh = (MonitorSet(specs, LANES, FINITE) for _ in range(2))
    rng, early = np.random.default_rng(2), monitors.get_state()
    for _ in range(9):
        monitors.step({}, values=rows_of(signals(rng)))
    monitors.set_state(early)
    for _ in range(9):
        values = rows_of(signals(rng))
        for one in (monitors, fresh):
            one.step({}, values=values)
        np.testing.assert_array_equal(monitors.robustness, fresh.robustness)


def test_other_forms_are_left_to_the_general_monitors() -> None:
    assert all(Thresholds.of(parse(text), FINITE) is not None for text in TEXTS)
    assert [text for text in OTHERS if Thresholds.of(parse(text), FINITE)] == []
    for text in (
        "G (unknown <= 1)",
        "G (n <= 1e-9)",
        "G (n <= 6.1)",
        "G (n <= 3e9)",
        "G (x <= 1e30)",
    ):
        assert Thresholds.of(parse(text), FINITE) is None
    mixed = "(G[1,inf) (n <= 3)) and (G[2,inf) (m <= 3))"
    assert Thresholds.of(parse(mixed), FINITE) is None

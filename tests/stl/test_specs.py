from __future__ import annotations

import math

import numpy as np
import pytest

from marl_stl_env.errors import ConfigError, FormulaError
from marl_stl_env.stl.monitor import MonitorSet
from marl_stl_env.stl.parser import parse
from marl_stl_env.stl.robustness import satisfied
from marl_stl_env.stl.signals import Traces
from marl_stl_env.stl.specs import (
    CONJUNCTION,
    Allowances,
    Specification,
    conjunction,
    default_specifications,
    satisfaction,
    vacuous,
)
from marl_stl_env.types import AnyArray


def quiet(lanes: int, time: int) -> dict[str, AnyArray]:
    """Signals of an episode in which nothing goes wrong."""
    names = {name for s in default_specifications() for name in s.signals}
    return {name: np.zeros((lanes, time), np.float32) for name in names}


def test_the_default_set() -> None:
    specifications = {s.name: s for s in default_specifications()}
    assert list(specifications) == [
        "responsive",
        "collateral",
        "alert budget",
        "no flapping",
        "posture",
        "availability",
    ]
    assert conjunction(specifications.values()).signals() == {
        "age",
        "quarantined_fraction",
        "alerts_16",
        "requarantined_benign_40",
        "missed_margin_64",
        "false_alarm_margin_64",
        "denied_32",
    }
    assert satisfied(conjunction(specifications.values()), Traces(quiet(2, 100))).all()
    MonitorSet(tuple(specifications.values()), 3)  # all can be monitored


@pytest.mark.parametrize(
    ("name", "signal", "fine", "bad", "since"),
    [
        ("responsive", "age", 20, 21, 0),
        ("collateral", "quarantined_fraction", 0.25, 0.26, 64),
        ("alert budget", "alerts_16", 6, 7, 0),
        ("no flapping", "requarantined_benign_40", 0, 1, 0),
        ("posture", "missed_margin_64", 0, -1, 64),
        ("posture", "false_alarm_margin_64", 0, -1, 64),
        ("availability", "denied_32", 0.35, 0.36, 32),
    ],
)
def test_limits_of_the_default_set(
    name: str, signal: str, fine: float, bad: float, since: int
) -> None:
    specification = {s.name: s for s in default_specifications()}[name]
    signals = quiet(3, 100)
    signals[signal][0] = fine
    signals[signal][1, since] = bad
    signals[signal][2, :since] = bad
    assert satisfied(specification.formula, Traces(signals)).tolist() == [True, False, True]


@pytest.mark.parametrize(("window", "length"), [(64, 1000), (100, 100), (128, 5000)])
def test_allowances_by_the_definition(window: int, length: int) -> None:
    allowances = Allowances.for_rates(
        window, length, detection_rate=0.9, false_alarm_rate=0.02, error=0.011
    )
    alpha = 0.011 * window / length
    for table, rate in ((allowances.missed, 0.1), (allowances.false_alarms, 0.02)):
        assert len(table) == window + 1
        for n, allowed in enumerate(table.tolist()):
            chances = [math.comb(n, k) * rate**k * (1 - rate) ** (n - k) for k in range(n + 1)]
            assert math.fsum(chances[allowed + 1 :]) <= alpha
            assert allowed == 0 or math.fsum(chances[allowed:]) > alpha


def test_perfect_and_hopeless_rates() -> None:
    perfect = Allowances.for_rates(64, 1000, detection_rate=1.0, false_alarm_rate=0.0)
    assert perfect.missed.max() == perfect.false_alarms.max() == 0
    anything = Allowances.for_rates(64, 1000, detection_rate=0.0, false_alarm_rate=1.0)
    np.testing.assert_array_equal(anything.missed, np.arange(65))


def windows(events: AnyArray, width: int) -> AnyArray:
    """Sums over the last ``width`` samples, cut at the start.  # (lanes, time)"""
    total = np.cumsum(np.pad(events.astype(int), ((0, 0), (width, 0))), axis=1)
    return np.asarray(total[:, width:] - total[:, :-width])


def posture_traces(detection: float, false_alarm: float, lanes: int, time: int) -> Traces:
    rng = np.random.default_rng(0)
    threat = rng.random((lanes, time)) < 0.109
    stopped = rng.random((lanes, time)) < np.where(threat, detection, false_alarm)
    allowances = Allowances.for_rates(64, time)
    counts = (threat & ~stopped, threat, ~threat & stopped, ~threat)
    missed, alarms = allowances.margins(*(windows(events, 64) for events in counts))
    return Traces({"missed_margin_64": missed, "false_alarm_margin_64": alarms})


def test_posture_tells_good_detectors_from_bad_ones() -> None:
    """Raw windowed rates would fail the first detector nearly always."""
    posture = {s.name: s for s in default_specifications()}["posture"]

    def kept(detection: float, false_alarm: float) -> float:
        traces = posture_traces(detection, false_alarm, lanes=400, time=1000)
        return float(satisfied(posture.formula, traces).mean())

    assert kept(1.0, 0.0) == 1.0
    assert kept(0.97, 0.03) > 0.99
    assert kept(0.0, 0.0) < 0.01  # always allow
    assert kept(1.0, 1.0) == 0.0  # always block
    assert kept(0.5, 0.5) == 0.0  # a coin


def test_margins_have_the_type_of_signals() -> None:
    allowances = Allowances.for_rates(64, 1000, detection_rate=0.8, false_alarm_rate=0.02)
    missed, alarms = allowances.margins(
        np.array([[0, 9]], np.int8), np.array([[0, 9]]), np.array([[2, 0]]), np.array([[64, 55]])
    )
    assert missed.dtype == alarms.dtype == np.float32
    assert missed.tolist() == [[0, allowances.missed[9] - 9]]
    assert alarms.tolist() == [[allowances.false_alarms[64] - 2, allowances.false_alarms[55]]]


def test_vacuous_specifications_are_reported() -> None:
    specifications = [
        Specification.parse("few alerts", "G alerts <= 3"),
        Specification.parse("no misses", "G misses <= 0"),
        Specification.parse("anything", "G alerts >= 0"),
    ]
    policies = {
        "always allow": Traces({"alerts": np.zeros((4, 9)), "misses": np.ones((4, 9))}),
        "always block": Traces({"alerts": np.full((4, 9), 9), "misses": np.zeros((4, 9))}),
        "half": Traces({"alerts": np.array([[0], [9], [0], [9]]), "misses": np.zeros((4, 1))}),
    }
    shares = satisfaction(specifications, policies)
    assert shares["few alerts"] == {"always allow": 1.0, "always block": 0.0, "half": 0.5}
    assert shares[CONJUNCTION] == {"always allow": 0.0, "always block": 0.0, "half": 0.5}
    assert vacuous(specifications, policies) == {
        "few alerts": ("always allow",),
        "no misses": ("always block", "half"),
        "anything": ("always allow", "always block", "half"),
    }
    assert vacuous(specifications[:2], policies, share=0.5)[CONJUNCTION] == ("half",)


def test_a_user_writes_their_own() -> None:
    own = Specification.parse("quiet nights", "G[0,inf)(false_alarms_64 <= 3)", scale=3)
    assert own.signals == {"false_alarms_64"}
    assert own.formula == parse("always (false_alarms_64 <= 3)")
    with pytest.raises(FormulaError, match="position 1"):
        Specification.parse("broken", "G")


def test_bad_arguments() -> None:
    with pytest.raises(ConfigError, match=r"scale of 's'=0"):
        Specification.parse("s", "p", scale=0)
    with pytest.raises(ConfigError, match="window=32 is below 64"):
        default_specifications(window=32)
    with pytest.raises(ConfigError, match="window=63 is below 64"):
        Allowances.for_rates(63, 1000)
    with pytest.raises(ConfigError, match="episode_length=50"):
        Allowances.for_rates(64, 50)
    with pytest.raises(ConfigError, match=r"detection_rate=1\.5"):
        Allowances.for_rates(64, 1000, detection_rate=1.5)
    with pytest.raises(ConfigError, match="at least one"):
        conjunction([])


@pytest.mark.parametrize("interval", ["O[0,1000000000000]", "G F[0,1000000000000]"])
def test_an_interval_that_no_memory_holds_is_refused(interval: str) -> None:
    with pytest.raises(ConfigError, match="of them for an interval of 1000000000001 steps in 8 l"):
        MonitorSet([Specification("wide", parse(f"{interval} (x > 0)"))], 8)
    with pytest.raises(ConfigError, match="of them for an interval of 1000000000001 steps"):
        MonitorSet([Specification("wide", parse("(x > 0) S[0,1000000000000] (x < 0)"))], 8)

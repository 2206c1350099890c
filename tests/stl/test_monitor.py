from __future__ import annotations

import pickle
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_stl_env.errors import (
    ConfigError,
    FormulaError,
    SignalError,
    StateError,
    UnknownNameError,
)
from marl_stl_env.stl.formula import Formula
from marl_stl_env.stl.monitor import Monitor, MonitorSet
from marl_stl_env.stl.parser import parse
from marl_stl_env.stl.robustness import robustness, satisfied
from marl_stl_env.stl.signals import Traces
from marl_stl_env.stl.specs import Specification
from marl_stl_env.types import AnyArray, BoolArray, Float32Array
from tests.stl.random_formulas import random_formula, random_signals

LANES = 5
randoms = st.randoms(use_true_random=False)


def run(
    monitor: Monitor, signals: dict[str, AnyArray], resets: BoolArray
) -> Float32Array:  # (lanes, time)
    """The monitor's output; ``resets`` marks first samples of episodes (lanes, time)."""
    outputs = []
    for time in range(resets.shape[1]):
        monitor.reset(resets[:, time])
        outputs.append(monitor.step({name: x[:, time] for name, x in signals.items()}))
    return np.array(outputs).T


def random_resets(rng: np.random.Generator, time: int) -> BoolArray:
    resets: BoolArray = rng.random((LANES, time)) < rng.choice([0.0, 0.02, 0.1, 0.4])
    resets[:, 0] = False  # a new monitor begins by itself
    return resets


def episodes(resets: BoolArray) -> list[tuple[int, int, int]]:
    """Lane, first sample and end of every episode."""
    found = []
    for lane, row in enumerate(resets):
        cuts = [0, *np.flatnonzero(row).tolist(), len(row)]
        found += [(lane, a, b) for a, b in pairwise(cuts)]
    return found


def check_online(formula: Formula, seed: int, time: int) -> int:
    """Compare with offline robustness, episode by episode; returns the samples compared."""
    rng = np.random.default_rng(seed)
    signals, resets = random_signals(rng, (LANES, time)), random_resets(rng, time)
    monitor = Monitor(formula, LANES)
    output, compared = run(monitor, signals, resets), 0
    assert monitor.delay == formula.horizon()
    for lane, start, end in episodes(resets):
        whole = Traces({name: x[lane : lane + 1, start:end] for name, x in signals.items()})
        offline = robustness(formula, whole)[0]
        decided = max(end - start - monitor.delay, 0)
        online = output[lane, start:end]
        assert np.isnan(online[: monitor.delay]).all()
        np.testing.assert_array_equal(online[monitor.delay :], offline[:decided], str(formula))
        compared += decided
    return compared


def test_online_equals_offline_at_the_delay() -> None:
    random, compared = Random(0), 0
    for seed in range(30):
        formula = random_formula(random, depth=4, unbounded=False, longest=20)
        compared += check_online(formula, seed, time=120)
    assert compared > 4_000


@pytest.mark.slow
@pytest.mark.parametrize("part", range(1, 11))
def test_online_equals_offline_on_many_formulas(part: int) -> None:
    random = Random(part)
    for seed in range(400):
        formula = random_formula(random, depth=4, unbounded=False, longest=random.randrange(2, 70))
        check_online(formula, seed, time=300)


@pytest.mark.parametrize("width", [1, 2, 7, 8, 9, 16, 33, 64])
@pytest.mark.parametrize(
    "text",
    [
        "H[0,{b}] x > 0",
        "O[2,{c}] x > 0",
        "G[0,{b}] x > 0",
        "F[3,{d}] x > 0",
        "p S[0,{b}] q",
        "(x > 0) S[2,{c}] (y > 0)",
        "p U[0,{b}] q",
        "(x > 0) U[3,{d}] (y > 0)",
        "H[0,{b}] F[0,{b}] x > y",
        "O[4,inf) x > 2",
        "p S[4,inf) q",
    ],
)
def test_every_window_width(text: str, width: int) -> None:
    formula = parse(text.format(b=width - 1, c=width + 1, d=width + 2))
    check_online(formula, seed=width, time=250)


@settings(deadline=None, max_examples=30)
@given(randoms, st.integers(0, 2**32 - 1), st.integers(0, 40))
def test_resuming_from_a_state_is_exact(random: Random, seed: int, cut: int) -> None:
    formula = random_formula(random, unbounded=False)
    rng = np.random.default_rng(seed)
    signals, resets = random_signals(rng, (LANES, 60)), random_resets(rng, 60)
    straight = run(Monitor(formula, LANES), signals, resets)
    first, second = Monitor(formula, LANES), Monitor(formula, LANES)
    before = run(first, {n: x[:, :cut] for n, x in signals.items()}, resets[:, :cut])
    state = pickle.loads(pickle.dumps(first.get_state()))
    second.set_state(state)
    run(first, {n: x[:, cut:] for n, x in signals.items()}, resets[:, cut:])  # must not matter
    after = run(second, {n: x[:, cut:] for n, x in signals.items()}, resets[:, cut:])
    if cut:
        np.testing.assert_array_equal(before, straight[:, :cut])
    np.testing.assert_array_equal(after, straight[:, cut:])
    assert all(type(array) is np.ndarray for array in state.values())


def test_a_boolean_monitor_gives_the_truth() -> None:
    random = Random(3)
    for seed in range(60):
        formula = random_formula(random, unbounded=False, longest=6)
        rng = np.random.default_rng(seed)
        signals = random_signals(rng, (LANES, 40))
        signals["x"] = np.round(signals["x"])
        monitor = Monitor(formula, LANES, boolean=True)
        output = run(monitor, signals, np.zeros((LANES, 40), np.bool_))
        at_start = output[:, monitor.delay] > 0
        np.testing.assert_array_equal(at_start, satisfied(formula, Traces(signals)))


# ---------------------------------------------------------------- sets of specifications


def past_spec(random: Random) -> str:
    body = random_formula(random, depth=2, unbounded=False, longest=6)
    while body.horizon():
        body = random_formula(random, depth=2, unbounded=False, longest=6)
    start = random.randrange(6)
    bounds = random.choice([f"[{start},inf)", f"[{start},{start + 9}]"])
    return random.choice([f"G{bounds} ({body})", f"(G ({body})) and G{bounds} (x < 3)", f"{body}"])


def test_running_robustness_equals_that_of_the_episode_so_far() -> None:
    random = Random(5)
    for seed in range(6):
        specifications = [Specification.parse(str(i), past_spec(random)) for i in range(4)]
        rng = np.random.default_rng(seed)
        signals, resets = random_signals(rng, (LANES, 30)), random_resets(rng, 30)
        signals["x"], signals["y"] = np.round(signals["x"]), np.round(signals["y"])
        monitors, starts = MonitorSet(specifications, LANES), np.zeros(LANES, int)
        for time in range(30):
            monitors.reset(resets[:, time])
            starts[resets[:, time]] = time
            monitors.step({name: x[:, time] for name, x in signals.items()})
            for lane in range(LANES):
                so_far = Traces(
                    {n: x[lane : lane + 1, starts[lane] : time + 1] for n, x in signals.items()}
                )
                for i, specification in enumerate(specifications):
                    wanted = robustness(specification.formula, so_far)[0, 0]
                    assert monitors.robustness[i, lane] == wanted, str(specification.formula)
                    kept = satisfied(specification.formula, so_far)[0]
                    assert monitors.violated[i, lane] == (not kept), str(specification.formula)


def test_ties_are_told_apart() -> None:
    texts = ["G x <= 3", "G x < 3", "G (x >= 3 -> p)", "G (not x > 3)", "G x != 3"]
    monitors = MonitorSet([Specification.parse(t, t) for t in texts], 1)
    monitors.step({"x": np.array([3.0]), "p": np.array([False])})
    assert (monitors.robustness == 0).all()
    assert monitors.violated[:, 0].tolist() == [False, True, True, False, True]


def test_a_spec_with_a_horizon_is_folded_late() -> None:
    monitors = MonitorSet([Specification.parse("s", "G[1,inf) (p -> F[0,2] q)")], 1)
    seen = []
    p, q = [1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]
    for now_p, now_q in zip(p, q, strict=True):
        monitors.step({"p": np.array([now_p > 0]), "q": np.array([now_q > 0])})
        seen.append(bool(monitors.violated[0, 0]))
    assert seen == [False, False, False, True, True, True]  # p at 1 is decided at 3


def test_observation_is_scaled_and_clipped() -> None:
    specifications = [
        Specification.parse("a", "G x <= 4", scale=4),
        Specification.parse("b", "G[2,inf) x <= 4", scale=0.5),
    ]
    monitors = MonitorSet(specifications, 3)
    monitors.step({"x": np.array([1.0, 4.0, 50.0])})
    observation = monitors.observation()
    assert observation.dtype == np.float32
    assert observation.tolist() == [[0.75, 1], [0, 1], [-1, 1]]
    monitors.reset(np.array([False, False, True]))
    assert monitors.observation()[2].tolist() == [1, 1]
    assert monitors.violated.tolist() == [[False] * 3, [False] * 3]


def test_a_set_resumes_exactly() -> None:
    specifications = [
        Specification.parse("a", "G (H[0,20] x < 3)"),
        Specification.parse("b", "G[3,inf) (p S[0,9] q)"),
    ]
    rng = np.random.default_rng(0)
    signals = random_signals(rng, (LANES, 80))
    one, other = (MonitorSet(specifications, LANES) for _ in range(2))
    for time in range(80):
        if time == 37:
            other.set_state(one.get_state())
        one.step({n: x[:, time] for n, x in signals.items()})
        if time >= 37:
            other.step({n: x[:, time] for n, x in signals.items()})
    np.testing.assert_array_equal(one.robustness, other.robustness)
    np.testing.assert_array_equal(one.violated, other.violated)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("text", ["F x > 0", "H G x > 0", "p U[2,inf) q", "F[0,3] G x > 0"])
def test_unbounded_future_is_refused(text: str) -> None:
    with pytest.raises(FormulaError, match="looks infinitely far ahead"):
        Monitor(parse(text), 1)
    with pytest.raises(FormulaError, match="looks infinitely far ahead"):
        MonitorSet([Specification.parse("s", f"G ({text})")], 1)


def test_bad_samples_are_refused_and_change_nothing() -> None:
    formula = parse("H[0,9] (x > 0 and p)")
    monitor, fresh = Monitor(formula, 2), Monitor(formula, 2)
    good = {"x": np.array([1.0, 2.0]), "p": np.array([True, False])}
    with pytest.raises(SignalError, match="signal 'x' is nan at lane 1"):
        monitor.step(good | {"x": np.array([1.0, np.nan])})
    with pytest.raises(SignalError, match=r"shape \(3,\), expected \(2,\)"):
        monitor.step(good | {"x": np.zeros(3)})
    with pytest.raises(SignalError, match=r"'p' is used as a condition but is 0 at lane 1"):
        monitor.step(good | {"p": np.array([1, 0])})
    with pytest.raises(UnknownNameError, match="unknown signal 'p'; known: x"):
        monitor.step({"x": np.zeros(2)})
    np.testing.assert_array_equal(monitor.step(good), fresh.step(good))


def test_bad_arguments() -> None:
    with pytest.raises(ConfigError, match="lanes=0"):
        Monitor(parse("p"), 0)
    with pytest.raises(SignalError, match=r"mask is \(3,\) bool"):
        Monitor(parse("p"), 2).reset(np.zeros(3, bool))
    with pytest.raises(SignalError, match="mask is"):
        Monitor(parse("p"), 2).reset(np.zeros(2, int))
    twice = [Specification.parse("s", "p"), Specification.parse("s", "q")]
    with pytest.raises(ConfigError, match="different names"):
        MonitorSet(twice, 1)


def test_foreign_states_are_refused() -> None:
    monitor = Monitor(parse("H[0,9] x > 0"), 2)
    with pytest.raises(StateError, match="arrays"):
        monitor.set_state(Monitor(parse("x > 0"), 2).get_state())
    with pytest.raises(StateError, match=r"'tick' is \(3,\)"):
        monitor.set_state(Monitor(parse("H[0,9] x > 0"), 3).get_state())
    with pytest.raises(StateError, match="rows_0"):
        monitor.set_state(Monitor(parse("H[0,10] x > 0"), 2).get_state())


@pytest.mark.parametrize("seed", range(5))
def test_lanes_that_take_no_sample_stay_as_they_are(seed: int) -> None:
    """Lanes that sample in any pattern, against monitors of one lane that see only their own."""
    random, rng = Random(seed), np.random.default_rng(seed)
    specifications = [
        Specification(f"spec {i}", random_formula(random, depth=3, unbounded=False, longest=20))
        for i in range(4)
    ]
    together = MonitorSet(specifications, LANES)
    alone = [MonitorSet(specifications, 1) for _ in range(LANES)]
    for time in range(120):
        signals = random_signals(rng, (LANES, 1))
        sampling = rng.random(LANES) < 0.6 if time % 30 < 20 else np.ones(LANES, np.bool_)
        resets = rng.random(LANES) < 0.03
        together.reset(resets)
        together.step({name: x[:, 0] for name, x in signals.items()}, sampling)
        for lane, monitors in enumerate(alone):
            monitors.reset(resets[lane : lane + 1])
            if sampling[lane]:
                monitors.step({name: x[lane] for name, x in signals.items()})
            np.testing.assert_array_equal(together.robustness[:, lane], monitors.robustness[:, 0])
            np.testing.assert_array_equal(together.violated[:, lane], monitors.violated[:, 0])

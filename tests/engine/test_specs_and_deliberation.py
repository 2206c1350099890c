"""A specification counts events: with proposal rounds it is what it would be without them."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from marl_stl_env.config import EnvConfig, ResponseConfig, StlConfig
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.spec_monitor import SpecMonitor
from marl_stl_env.engine.spec_signals import SIGNALS, StepContext, register_spec_signal
from marl_stl_env.engine.state import StepRecord
from marl_stl_env.errors import PluginError
from marl_stl_env.types import AnyArray
from tests.conftest import make_table, with_entities

TABLE = with_entities(make_table(), 8)
#: Windows of every kind of operator, and signals of every kind.
SPECS = (
    "ring=G (once[0,3] alerted)",
    "stacks=G (once[0,17] stopped)",
    "since=G ((reward > -9) since[2,20] alerted)",
    "until=G[2,inf) (threat until[0,9] stopped)",
    "strict=G (alerts_7 < 6)",
    "age=G (age <= 5)",
    "no flapping=G (requarantined_benign_20 <= 0.5)",
    "collateral=G[30,inf) (quarantined_fraction <= 0.5)",
    "margin=G[64,inf) (missed_margin_64 >= 0)",
)
PLAIN = EnvConfig(
    dynamics="response",
    episode_length=80,
    response=ResponseConfig(quarantine_length=6),
    stl=StlConfig(monitor=True, observe=True, specs=SPECS),
    agents=4,
    views="groups",
)
TWO_ROUNDS = replace(PLAIN, deliberation=1)
SHIELD = StlConfig(monitor=True, observe=True, shield=True, specs=SPECS)
LANES = 5


def votes(steps: int, lanes: int = LANES, seed: int = 0) -> np.ndarray:
    """The actions of every lane's successive votes.  # (steps, lanes, agents)."""
    rng = np.random.default_rng(seed)
    common = rng.integers(0, 4, (steps, lanes, 1))
    own = rng.integers(0, 4, (steps, lanes, PLAIN.agents))
    return np.where(rng.random(own.shape) < 0.8, common, own)


def status(record: StepRecord, lane: int) -> tuple[object, ...]:
    facts = (record.robustness, record.violated, record.newly_violated, record.action_mask)
    return tuple(fact[lane].tolist() for fact in facts)


@pytest.mark.parametrize("stl", [PLAIN.stl, SHIELD], ids=["monitor", "shield"])
def test_votes_count_and_proposals_do_not(stl: StlConfig) -> None:
    plain = Engine(replace(PLAIN, stl=stl), TABLE, LANES, 0)
    deliberating = Engine(replace(TWO_ROUNDS, stl=stl), TABLE, LANES, 0)
    rng, steps = np.random.default_rng(1), votes(80)
    plain.reset()
    deliberating.reset()
    before = [[float("inf")] * len(SPECS)] * LANES
    for actions in steps:
        proposal = deliberating.step(rng.integers(0, 4, actions.shape))
        assert not proposal.voting.any()
        assert not proposal.newly_violated.any()
        assert proposal.action_mask.all()
        np.testing.assert_array_equal(proposal.robustness, before)
        one, other = plain.step(actions), deliberating.step(actions)
        for lane in range(LANES):
            assert status(one, lane) == status(other, lane)
        np.testing.assert_array_equal(one.decisions, other.decisions)
        before = one.robustness.tolist()
    assert one.violated.any()
    assert not one.violated.all()


@pytest.mark.parametrize("stl", [PLAIN.stl, SHIELD], ids=["monitor", "shield"])
def test_lanes_at_different_rounds_do_not_disturb_each_other(stl: StlConfig) -> None:
    """Lanes reset at odd times, so that some vote while others propose."""
    config = replace(TWO_ROUNDS, stl=stl)
    many = Engine(config, TABLE, LANES, 0)
    alone = [Engine(config, TABLE, 1, lane) for lane in range(LANES)]
    rng, mixed, violated = np.random.default_rng(2), 0, 0
    for engine in (many, *alone):
        engine.reset()
    for step in range(250):
        actions = votes(1, seed=step)[0]
        record = many.step(actions)
        mixed += len(set(record.voting.tolist())) > 1
        violated += int(record.newly_violated.sum())
        for lane, engine in enumerate(alone):
            single = engine.step(actions[lane : lane + 1])
            assert status(record, lane) == status(single, 0)
        again = record.truncated | (rng.random(LANES) < 0.01)
        if again.any():
            many.reset(again)
            for lane in np.flatnonzero(again).tolist():
                alone[lane].reset()
    assert mixed > 60
    assert violated > 10


@pytest.mark.parametrize("resets", [(), (3, 8)], ids=["together", "apart"])
def test_a_saved_state_goes_on_in_the_middle_of_an_event(resets: tuple[int, ...]) -> None:
    config = replace(TWO_ROUNDS, stl=SHIELD)
    first, second = Engine(config, TABLE, LANES, 0), Engine(config, TABLE, LANES, 7)
    first.reset()
    for step in range(45):
        first.step(votes(1, seed=step)[0])
        if step in resets:
            first.reset(np.array([True, False, True, False, False]))
    second.reset()
    second.step(votes(1)[0])
    second.set_state(first.get_state())
    for step in range(60):
        actions = votes(1, seed=100 + step)[0]
        np.testing.assert_array_equal(first.observe(), second.observe())
        one, other = first.step(actions), second.step(actions)
        for mine, theirs in zip(one, other, strict=True):
            np.testing.assert_array_equal(mine, theirs)
    for name, array in first.get_state().items():
        np.testing.assert_array_equal(array, second.get_state()[name], name)


def test_states_of_lanes_join_across_engines() -> None:
    """The states of engines of one lane, at different rounds, make that of one engine."""
    alone = [Engine(TWO_ROUNDS, TABLE, 1, lane) for lane in range(3)]
    for lane, engine in enumerate(alone):
        engine.reset()
        for step in range(10 + 7 * lane):
            engine.step(votes(1, 1, seed=step)[0])
    states = [engine.get_state() for engine in alone]
    together = Engine(TWO_ROUNDS, TABLE, 3, 5)
    together.set_state({name: np.concatenate([s[name] for s in states]) for name in states[0]})
    for step in range(60):
        actions = votes(1, 3, seed=50 + step)[0]
        record = together.step(actions)
        for lane, engine in enumerate(alone):
            assert status(record, lane) == status(engine.step(actions[lane : lane + 1]), 0)


def test_a_segment_of_choice_begins_with_a_proposal() -> None:
    engine = Engine(TWO_ROUNDS, TABLE, LANES, 0)
    engine.reset()
    for step in range(11):
        engine.step(votes(1, seed=step)[0])
    starts = np.arange(LANES) * 20
    engine.place(starts, starts + 40)
    assert engine.spec_monitor is not None
    assert not engine.spec_monitor.violated.any()
    assert not engine.step(votes(1)[0]).voting.any()
    assert not np.isfinite(engine.spec_monitor.robustness).any()


def test_a_copy_brings_signals_of_its_own_along() -> None:
    """A pickle is often opened by a process that has not registered them."""
    name = "disputed_in_a_pickle"
    register_spec_signal(name, _disputed)
    config = EnvConfig(agents=4, stl=StlConfig(specs=(f"a=G (not {name} or stopped)",)))
    stored = pickle.dumps(SpecMonitor(config, 2))
    del SIGNALS[name]
    try:
        assert pickle.loads(stored).specifications == SpecMonitor(config, 2).specifications
    finally:
        del SIGNALS[name]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (lambda step: step.actions, r"returns int8 of shape \(2, 4\)"),
        (lambda _: 1.0, r"returns float64 of shape \(\)"),
        (lambda step: step.labels.astype(str), r"returns <U5 of shape \(2,\)"),
    ],
)
def test_a_signal_of_another_shape_is_reported_by_its_function(values: Any, said: str) -> None:
    register_spec_signal("odd", values)
    try:
        config = EnvConfig(agents=4, episode_length=9, stl=StlConfig(specs=("a=G (odd <= 1)",)))
        engine = Engine(config, TABLE, 2, 0)
        engine.reset()
        with pytest.raises(PluginError, match=rf"signal 'odd' \(.*lambda.*\) {said}; a signal"):
            engine.step(np.zeros((2, 4), np.int8))
    finally:
        del SIGNALS["odd"]


def _disputed(step: StepContext) -> AnyArray:
    differs: AnyArray = np.ptp(step.actions, axis=1) > 0
    return differs

"""Lanes do not touch each other, and their state can be saved and restored."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from marl_stl_env.config import ConsensusConfig, EnvConfig, FaultConfig
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.errors import (
    StateError,
)
from tests.conftest import FOUR, make_table
from tests.engine.choices import guesses

BYZANTINE = {
    "honest": {},
    "one faulty sensor": {"faults": FaultConfig(1, "random")},
    "mixed": {"faults": FaultConfig(3, "mixed", 6)},
    "deliberation": {"deliberation": 1, "faults": FaultConfig(1, "mixed", 6)},
    "reliability-weighted votes": {
        "agents": 7,
        "consensus": ConsensusConfig(weights="reliability", feedback_share=0.8),
        "faults": FaultConfig(2, "flip"),
    },
}


@pytest.mark.parametrize("order", ["sequential", "shuffled"])
@pytest.mark.parametrize("lanes", [2, 5, pytest.param(33, marks=pytest.mark.long)])
@pytest.mark.parametrize("settings", BYZANTINE.values(), ids=BYZANTINE)
def test_lane_i_of_seed_s_is_the_only_lane_of_seed_s_plus_i(
    order: str, lanes: int, settings: dict[str, Any]
) -> None:
    table, seed = make_table(300), 11
    config = EnvConfig(episode_length=20, order=order, **settings)  # type: ignore[arg-type]
    many, rng = Engine(config, table, lanes, seed), np.random.default_rng(1)
    alone = [Engine(config, table, 1, seed + lane) for lane in range(lanes)]
    for engine in (many, *alone):
        engine.reset()
    for _ in range(65):
        observed, actions = many.observe(), guesses(rng, many)
        record = many.step(actions)
        for lane, engine in enumerate(alone):
            np.testing.assert_array_equal(engine.observe()[0], observed[lane])
            single = engine.step(actions[lane : lane + 1])
            np.testing.assert_array_equal(single.rewards[0], record.rewards[lane])
            np.testing.assert_array_equal(single.actions[0], record.actions[lane])
            np.testing.assert_array_equal(single.faulty[0], record.faulty[lane])
            assert single.rows[0] == record.rows[lane]
            assert single.truncated[0] == record.truncated[lane]
            if single.truncated[0]:
                engine.reset()
        if record.truncated.any():
            many.reset(record.truncated)


def test_resetting_one_lane_leaves_the_others_alone(table: TrafficTable) -> None:
    config = EnvConfig(episode_length=50, **FOUR)
    first, second = (Engine(config, table, 3, 5) for _ in range(2))
    actions = np.zeros((3, 4), dtype=int)
    for engine in (first, second):
        engine.reset()
        engine.step(actions)
    first.reset(np.array([False, True, False]))
    for _ in range(10):
        a, b = first.step(actions), second.step(actions)
        assert a.rows[[0, 2]].tolist() == b.rows[[0, 2]].tolist()
        assert a.rows[1] != b.rows[1]


def test_episodes_of_a_lane_differ_and_cover_the_table() -> None:
    table = make_table(100)
    engine = Engine(EnvConfig(episode_length=10), table, lanes=400, seeds=0)
    engine.reset()
    starts = engine.get_state()["positions"]
    assert starts.min() == 0
    assert starts.max() == 89  # one row is kept for the observation after the last event
    engine.reset()
    assert (engine.get_state()["positions"] != starts).mean() > 0.9


@pytest.mark.parametrize("settings", BYZANTINE.values(), ids=BYZANTINE)
def test_state_continues_bit_identically(table: TrafficTable, settings: dict[str, Any]) -> None:
    config, rng = EnvConfig(episode_length=30, **settings), np.random.default_rng(2)
    engine = Engine(config, table, 4, 9)
    engine.reset()
    for _ in range(17):
        engine.step(guesses(rng, engine))
    other = Engine(config, table, 4, 1234)
    other.set_state(engine.get_state())
    for _ in range(40):
        np.testing.assert_array_equal(engine.observe(), other.observe())
        actions = guesses(rng, engine)
        records = engine.step(actions), other.step(actions)
        np.testing.assert_array_equal(records[0].rewards, records[1].rewards)
        np.testing.assert_array_equal(records[0].actions, records[1].actions)
        if records[0].truncated.any():
            engine.reset()
            other.reset()


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.pop("ends"),
        lambda s: s.update(extra=np.zeros(4)),
        lambda s: s.update(positions=s["positions"][:3]),
        lambda s: s.update(positions=s["positions"].astype(np.float64)),
        lambda s: s.update(positions=s["positions"] - 10**6),
        lambda s: s.update(ends=s["ends"] + 10**6),
        lambda s: s.update(positions=s["ends"] + 1),
        lambda s: s.update(proposals=s["proposals"] + np.int8(5)),
        lambda s: s.update(faulty=s["faulty"][:, :3]),
    ],
)
def test_foreign_states_are_refused(table: TrafficTable, change: object) -> None:
    engine = Engine(EnvConfig(episode_length=30), table, 4, 9)
    engine.reset()
    state = engine.get_state()
    change(state)  # type: ignore[operator]
    with pytest.raises(StateError):
        engine.set_state(state)


def test_unseeded_engines_differ(table: TrafficTable) -> None:
    states = [Engine(replace(EnvConfig(), episode_length=5), table, 1).get_state() for _ in "ab"]
    assert states[0]["seeds"] != states[1]["seeds"]


def test_new_seeds_leave_running_episodes_their_faulty_sensors(table: TrafficTable) -> None:
    engine = Engine(EnvConfig(agents=7, faults=FaultConfig(2)), table, 40, 0)
    engine.reset()
    before = engine.get_state()
    engine.seed(1000)
    engine.reset(np.arange(40) < 20)
    after = engine.get_state()
    for name in ("faulty", "kinds"):
        np.testing.assert_array_equal(after[name][20:], before[name][20:])
        assert (after[name][:20] != before[name][:20]).any()

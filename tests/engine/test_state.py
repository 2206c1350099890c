"""States at the edges of an episode: saved, restored, placed and refused."""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import numpy as np
import pytest

import marl_stl_env as mse
from marl_stl_env.config import (
    ConsensusConfig,
    EnvConfig,
    FaultConfig,
    ResponseConfig,
    StlConfig,
)
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.sb3 import TrafficVecEnv
from marl_stl_env.errors import ResetNeededError, StateError
from tests.conftest import FOUR, make_table, with_entities
from tests.envs.golden import plain_table

TABLE = with_entities(make_table(), 30)
LANES, LENGTH = 3, 6
CONFIGS = {
    "plain": EnvConfig(episode_length=LENGTH, **FOUR),
    "response": EnvConfig(
        episode_length=LENGTH,
        dynamics="response",
        stl=StlConfig(monitor=True, observe=True),
        agents=4,
        views="groups",
    ),
    "deliberation, faults": EnvConfig(
        episode_length=LENGTH, deliberation=1, faults=FaultConfig(1, "mixed"), **FOUR
    ),
    "reliability": EnvConfig(
        episode_length=LENGTH, consensus=ConsensusConfig(weights="reliability"), **FOUR
    ),
    "the whole table": EnvConfig(episode_length=len(TABLE), **FOUR),
}
each_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)

#: What checkpoints hold: every array's name, type, shape and bytes.
STATES = {
    "lanes": "fb074d825deb8b17",
    "response": "2354988fe83bf20f",
    "specifications": "674707fb09a76cdb",
    "shield": "02bb9d08541f7762",
}


def play_on(engine: Engine, seed: int, steps: int) -> list[Any]:
    """What follows: observations and records, episodes begun anew as they end."""
    rng = np.random.default_rng(seed)
    said: list[Any] = []
    for _ in range(steps):
        said.append(engine.observe())
        record = engine.step(rng.integers(0, 4, (engine.lanes, engine.agents)))
        said += [np.asarray(part).copy() for part in record]
        if record.truncated.any():
            engine.reset(record.truncated)
    return said


def assert_same(one: list[Any], other: list[Any]) -> None:
    for mine, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@each_config
def test_a_state_saved_at_an_episodes_end_is_restored(config: EnvConfig) -> None:
    engine = Engine(config, TABLE, LANES, 9)
    engine.reset()
    over, actions = False, np.ones((LANES, 4), int)
    while not over:
        over = bool(engine.step(actions).truncated.all())
    state = engine.get_state()
    np.testing.assert_array_equal(state["positions"], state["ends"])
    other = Engine(config, TABLE, LANES, 1)
    other.set_state(state)
    for one in (engine, other):
        with pytest.raises(ResetNeededError):
            one.step(actions)
        one.reset()
    assert_same(play_on(engine, 0, 15), play_on(other, 0, 15))


@each_config
def test_a_state_saved_before_the_first_reset_is_restored(config: EnvConfig) -> None:
    engine, other = Engine(config, TABLE, LANES, 9), Engine(config, TABLE, LANES, 1)
    other.set_state(engine.get_state())
    for one in (engine, other):
        with pytest.raises(ResetNeededError):
            one.step(np.ones((LANES, 4), int))
        one.reset()
    assert_same(play_on(engine, 0, 15), play_on(other, 0, 15))


def test_views_know_whether_a_restored_episode_runs() -> None:
    env, other = (mse.parallel_env(CONFIGS["plain"], table=TABLE) for _ in "ab")
    other.set_state(env.get_state())
    assert other.agents == []
    with pytest.raises(ResetNeededError):
        other.step({})
    env.reset(seed=1)
    while env.agents:
        other.set_state(env.get_state())
        actions = dict.fromkeys(env.agents, 1)
        assert other.agents == env.agents
        assert other.step(actions)[1] == env.step(actions)[1]
    assert other.agents == []


@each_config
def test_an_empty_segment_makes_an_idle_lane(config: EnvConfig) -> None:
    """An empty segment at the start, in the middle and at the very end of the table."""
    rows, events = len(TABLE), 1 + config.deliberation
    engine = Engine(config, TABLE, 5, 0)
    engine.reset()
    starts = np.array([0, 10, rows // 2, rows - 3, rows])
    ends = starts + np.array([0, 3, 0, 3, 0])
    engine.place(starts, ends)
    for step in range(3 * events):
        record = engine.step(np.ones((5, 4), int))
        assert record.live.tolist() == [False, True, False, True, False]
        rows_now = starts[[1, 3]] + step // events
        np.testing.assert_array_equal(record.rows[[1, 3]], rows_now)
    assert record.truncated.all()
    with pytest.raises(ResetNeededError):
        engine.step(np.ones((5, 4), int))


def test_a_segment_that_ends_before_it_starts_is_refused() -> None:
    engine = Engine(CONFIGS["plain"], TABLE, 2, 0)
    engine.reset()
    for starts, ends in (([5, 5], [5, 4]), ([-1, 0], [3, 3]), ([0, 0], [3, len(TABLE) + 1])):
        with pytest.raises(StateError, match="starts <= positions <= ends"):
            engine.place(np.array(starts), np.array(ends))


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["positions"].__setitem__(0, s["ends"][0] + 1),
        lambda s: s["starts"].__setitem__(0, s["positions"][0] + 1),
        lambda s: s["starts"].__setitem__(0, -1),
        lambda s: s["ends"].__setitem__(0, len(TABLE) + 1),
        lambda s: s["kinds"].__setitem__(0, -1),
        lambda s: s["kinds"].__setitem__(0, 100),
        lambda s: s["proposals"].__setitem__((0, 0), 4),
        lambda s: s["proposals"].__setitem__((0, 0), -2),
    ],
)
def test_one_lane_out_of_bounds_is_refused(change: Callable[[Any], None]) -> None:
    engine = Engine(CONFIGS["plain"], TABLE, LANES, 0)
    engine.reset()
    state = engine.get_state()
    engine.set_state(state)
    change(state)
    with pytest.raises(StateError):
        engine.set_state(state)


def test_sb3_view_has_a_default_environment() -> None:
    venv, named = TrafficVecEnv(), TrafficVecEnv(EnvConfig(), 256, None)
    assert venv.config == named.config == EnvConfig()
    assert (venv.lanes, venv.agents, venv.num_envs) == (256, 7, 1792)
    venv.seed(3)
    named.seed(3)
    np.testing.assert_array_equal(np.asarray(venv.reset()), np.asarray(named.reset()))
    assert venv.step(np.zeros(1792, int))[1].shape == (1792,)


def test_states_have_the_form_that_older_checkpoints_have() -> None:
    """To the bit, in lanes of different age, of which one stands in a vote and one proposes."""
    specs = (
        "budget=G (alerts_9 <= 3)",
        "calm=G[5,inf) (quarantined_fraction <= 0.5 and denied_7 <= 0.25)",
        "margins=G (missed_margin_64 >= 0) and G (age <= 20)",
        "answer=G (alerts_3 >= 1 -> F[0,4] (stopped))",
    )
    config = EnvConfig(
        dynamics="response",
        deliberation=1,
        episode_length=90,
        response=ResponseConfig(quarantine_length=5, alert_window=7, alert_budget=2),
        stl=StlConfig(observe=True, shield=True, specs=specs),
        agents=4,
        views="groups",
    )
    engine = Engine(config, plain_table(), LANES, 3)
    engine.reset()
    for step in range(160):
        if step == 31:
            engine.reset(np.array([False, True, False]))
        turns = (np.arange(LANES * 4).reshape(LANES, 4) // 3 * 7 + step // 2 * 11) % 29
        engine.step(np.choose(turns % 4, [0, 2, 3, 1]))
    digests = {name: blake2b(digest_size=8) for name in STATES}
    for name, array in sorted(engine.get_state().items()):
        kind, shape = np.asarray(array).dtype, np.shape(array)
        digest = digests[name.split(".")[0] if "." in name else "lanes"]
        digest.update(f"{name} {kind} {shape}".encode() + np.asarray(array).tobytes())
    assert {name: digest.hexdigest() for name, digest in digests.items()} == STATES

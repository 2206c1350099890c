"""States at the edges of an episode: saved, restored, placed and refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import marl_stl_env as mse
from marl_stl_env.config import ConsensusConfig, EnvConfig, FaultConfig, StlConfig
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.sb3 import TrafficVecEnv
from marl_stl_env.errors import ResetNeededError, StateError
from tests.conftest import FOUR, make_table, with_entities

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

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from marl_stl_env.envs.single import TrafficEnv
from marl_stl_env.envs.vector import TrafficVectorEnv
from marl_stl_env.errors import ConfigError, InvalidActionError, ResetNeededError, UnknownNameError
from tests.conftest import make_table

TABLE = make_table()
LANES = 3


def reference(mode: AutoresetMode) -> SyncVectorEnv:
    def make() -> TrafficEnv:
        return TrafficEnv(table=TABLE, episode_length=11)

    return SyncVectorEnv([make] * LANES, autoreset_mode=mode)


def assert_same_infos(one: dict[str, Any], other: dict[str, Any]) -> None:
    for key in ("label", "family", "decision", "decision_vote"):
        mask = one.get(f"_{key}", np.zeros(LANES, bool))
        np.testing.assert_array_equal(other.get(f"_{key}", np.zeros(LANES, bool)), mask)
        if mask.any():
            np.testing.assert_array_equal(one[key][mask], other[key][mask])


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_equals_gymnasiums_own_vectorisation(mode: AutoresetMode) -> None:
    ours = TrafficVectorEnv(LANES, table=TABLE, episode_length=11, autoreset_mode=mode)
    theirs, rng = reference(mode), np.random.default_rng(0)
    assert ours.metadata["autoreset_mode"] is mode
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    np.testing.assert_array_equal(ours.reset(seed=7)[0], theirs.reset(seed=7)[0])
    for _ in range(40):
        actions = rng.integers(0, 4, LANES)
        mine, wanted = ours.step(actions), theirs.step(actions)
        for one, other in zip(mine[:4], wanted[:4], strict=True):
            np.testing.assert_array_equal(one, other)
        if mode is AutoresetMode.SAME_STEP and wanted[3].any():
            assert_same_infos(mine[4]["final_info"], wanted[4]["final_info"])
            for one, other in zip(mine[4]["final_obs"], wanted[4]["final_obs"], strict=True):
                np.testing.assert_array_equal(one, other)
        elif not np.all(mine[1] == 0):
            assert_same_infos(wanted[4], mine[4])


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_make_vec(mode: str) -> None:
    env = gymnasium.make_vec(
        "marl_stl_env/Traffic-v0",
        num_envs=5,
        vectorization_mode="vector_entry_point",
        table=TABLE,
        autoreset_mode=mode,
    )
    observations, _ = env.reset(seed=0)
    assert observations.shape == env.observation_space.shape
    assert env.observation_space.contains(observations)
    assert env.metadata["autoreset_mode"] is AutoresetMode(mode)
    env.step(env.action_space.sample())


def test_lanes_out_of_step_follow_next_step() -> None:
    env = TrafficVectorEnv(LANES, table=TABLE, episode_length=5)
    env.reset(seed=0)
    actions = np.zeros(LANES, dtype=int)
    for _ in range(3):
        env.step(actions)
    mask = np.array([False, True, False])
    env.reset(options={"reset_mask": mask})
    history = [env.step(actions) for _ in range(8)]
    truncated = np.array([step[3] for step in history])
    assert np.flatnonzero(truncated[:, 0]).tolist() == [1, 7]
    assert np.flatnonzero(truncated[:, 1]).tolist() == [4]
    rewards = np.array([step[1] for step in history])
    assert rewards[2, 0] == 0.0
    assert (rewards[5, 1], rewards[5, 0] != 0.0) == (0.0, True)
    assert history[2][4]["_label"].tolist() == [False, True, False]


def test_disabled_waits_for_a_reset() -> None:
    env = TrafficVectorEnv(2, table=TABLE, episode_length=2, autoreset_mode="Disabled")
    env.reset(seed=0)
    actions = np.zeros(2, dtype=int)
    env.step(actions)
    env.step(actions)
    with pytest.raises(ResetNeededError):
        env.step(actions)
    env.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(ResetNeededError):
        env.step(actions)
    env.reset(options={"reset_mask": np.array([False, True])})
    env.step(actions)


def test_max_episode_steps_is_the_episode_length() -> None:
    env = TrafficVectorEnv(2, table=TABLE, max_episode_steps=3)
    env.reset(seed=0)
    assert [env.step(np.zeros(2, int))[3].all() for _ in range(3)] == [False, False, True]


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ConfigError, match="num_envs"):
        TrafficVectorEnv(0, table=TABLE)
    with pytest.raises(UnknownNameError, match="SameStep"):
        TrafficVectorEnv(2, table=TABLE, autoreset_mode="Never")
    env = TrafficVectorEnv(2, table=TABLE)
    with pytest.raises(ResetNeededError):
        env.step(np.zeros(2, int))
    with pytest.raises(ConfigError, match="reset_mask"):
        env.reset(options={"reset_mask": [1, 0]})
    with pytest.raises(ConfigError, match="seed"):
        env.reset(seed=1, options={"reset_mask": np.array([True, False])})
    env.reset()
    with pytest.raises(InvalidActionError):
        env.step(np.array([0, 4]))

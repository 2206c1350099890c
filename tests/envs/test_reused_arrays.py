"""Reused observations and infos of ``TrafficVecEnv`` give trainers the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize

from marl_stl_env.config import EnvConfig, StlConfig
from marl_stl_env.envs.sb3 import TrafficVecEnv
from tests.conftest import FOUR, make_table, with_entities

TABLE = with_entities(make_table(), 30)
CONFIGS = {
    "replay": EnvConfig(episode_length=7, **FOUR),
    "monitors": EnvConfig(
        agents=4, episode_length=9, stl=StlConfig(specs=("few=G (alerts_3 <= 2)",))
    ),
    "shield": EnvConfig(
        dynamics="response", agents=4, episode_length=9, stl=StlConfig(shield=True, observe=True)
    ),
}


def plain(infos: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: np.asarray(value).tolist() for key, value in i.items()} for i in infos]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_same_steps_through_the_wrappers(config: EnvConfig) -> None:
    venvs = [
        VecNormalize(VecMonitor(TrafficVecEnv(config, 3, 5, TABLE, copy=copy)), norm_obs=True)
        for copy in (True, False)
    ]
    rng, before = np.random.default_rng(0), [np.asarray(venv.reset()) for venv in venvs]
    for _ in range(25):
        kept = [one.copy() for one in before]
        actions = rng.integers(0, 4, venvs[0].num_envs)
        one, other = (venv.step(actions) for venv in venvs)
        for mine, theirs in zip(one[:3], other[:3], strict=True):
            np.testing.assert_array_equal(mine, theirs)
        for info in (i.get("episode") for infos in (one[3], other[3]) for i in infos):
            if info is not None:
                info.pop("t")  # the time that the episode took
        assert plain(one[3]) == plain(other[3])
        for observed, copied in zip(before, kept, strict=True):
            np.testing.assert_array_equal(observed, copied)  # a trainer still needs it
        before = [np.asarray(one[0]), np.asarray(other[0])]
    np.testing.assert_array_equal(venvs[0].ret_rms.var, venvs[1].ret_rms.var)
    assert venvs[0].ret_rms.var != 1


def test_observations_stay_for_one_step() -> None:
    venv = TrafficVecEnv(CONFIGS["replay"], 3, 5, TABLE, copy=False)
    actions = np.zeros(venv.num_envs, np.int64)
    first = np.asarray(venv.reset())
    content = first.copy()
    second = np.asarray(venv.step(actions)[0])
    np.testing.assert_array_equal(first, content)
    assert np.shares_memory(first, np.asarray(venv.step(actions)[0]))
    assert not np.shares_memory(first, second)


def test_infos_are_reused_until_somebody_writes_into_one() -> None:
    venv = TrafficVecEnv(CONFIGS["replay"], 2, 0, TABLE)
    actions = np.zeros(venv.num_envs, np.int64)
    venv.reset()
    first, second = (venv.step(actions)[3] for _ in range(2))
    assert first is not second
    assert first[0] is second[0]
    second[0]["mine"] = 1
    assert venv.step(actions)[3] == [{}] * venv.num_envs


def test_ppo_learns_the_same_weights() -> None:
    weights = []
    for copy in (True, False):
        venv = TrafficVecEnv(CONFIGS["monitors"], 3, 5, TABLE, copy=copy)
        wrapped = VecNormalize(VecMonitor(venv), norm_obs=False)
        model = PPO("MlpPolicy", wrapped, n_steps=12, batch_size=48, n_epochs=2, seed=0)
        model.learn(12 * venv.num_envs * 2)
        weights.append(torch.nn.utils.parameters_to_vector(model.policy.parameters()))
    assert torch.equal(*weights)

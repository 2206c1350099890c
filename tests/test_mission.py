"""The default training, part by part: PettingZoo, SuperSuit, SB3's PPO, on CUDA where it is there.

That the registered environments pass the checkers of their libraries is asserted in
``tests/envs/test_single.py`` (Gymnasium, SB3) and ``tests/envs/test_parallel.py`` (PettingZoo).
"""

from dataclasses import replace
from pathlib import Path

import gymnasium
import pandas as pd
import pytest
import torch
from marl_stl_agents.algorithms.ppo import make_trainer, resolve_device
from marl_stl_agents.commands.options import TrainCommand
from marl_stl_agents.commands.presets import PRESETS
from marl_stl_agents.run_directory import read_json
from marl_stl_agents.training.run import train
from pettingzoo.test import parallel_api_test
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.vec_env import VecNormalize

import marl_stl_env as mse
from marl_stl_env.envs.parallel import TrafficParallelEnv
from marl_stl_env.envs.supersuit import SuperSuitVecEnv
from tests.conftest import make_table, with_entities

TABLE = with_entities(make_table(), 30)


def test_the_default_training_is_ppo_on_supersuit() -> None:
    config = TrainCommand().settings()  # what train.py makes of no flags: test_presets.py
    assert (config.lanes, config.iterations, config.ppo.n_steps) == (64, 30, 64)
    small = replace(config, lanes=2, env=replace(config.env, episode_length=20))
    device = resolve_device(small.device, small.threads)
    model = make_trainer(small, TABLE, device)
    assert type(model) is PPO
    assert model.normalize_advantage is True
    assert model.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    normalizer = model.get_vec_normalize_env()
    assert type(normalizer) is VecNormalize
    assert (normalizer.norm_obs, normalizer.norm_reward) == (False, True)
    lanes = normalizer.unwrapped
    assert type(lanes) is SuperSuitVecEnv
    assert [type(env.unwrapped) for env in lanes.envs] == [TrafficParallelEnv] * 2
    before = [weights.clone() for weights in model.policy.parameters()]
    model.learn(2 * model.n_steps * model.n_envs)  # the step size of the last update is 0
    after = list(model.policy.parameters())
    assert all(torch.isfinite(weights).all() for weights in after)
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    assert normalizer.ret_rms.count > model.n_steps  # the scale of the rewards was learned


def test_the_response_passes_the_checkers_too() -> None:
    response = gymnasium.make("marl_stl_env/TrafficResponse-v0", table=TABLE, episode_length=40)
    check_env(response.unwrapped)
    team = mse.parallel_env(table=TABLE, dynamics="response", episode_length=40)
    parallel_api_test(team, num_cycles=100)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_seed_preset_learns(tmp_path: Path) -> None:
    config = replace(PRESETS["seed"], run_dir=tmp_path / "run", progress=False, preflight=False)
    run = train(config.settings())
    losses = pd.read_csv(run / "progress.csv")["train/value_loss_reward_units"].dropna()
    assert losses.iloc[-5:].mean() < losses.iloc[:3].mean()
    assert read_json(run / "validation.json")["decision"]["f1"] >= 0.65

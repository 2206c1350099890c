from dataclasses import replace

import numpy as np
import pytest
import torch
from marl_stl_agents.algorithms.ppo import (
    make_model,
    make_vec_env,
    minibatch_size,
    resolve_device,
)
from marl_stl_agents.config import Backend, PPOConfig, TrainConfig
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor

from marl_stl_env.config import EnvConfig
from marl_stl_env.errors import DeviceError
from tests.conftest import FOUR, make_table

TABLE = make_table()
CPU = torch.device("cpu")
CONFIG = TrainConfig(
    env=EnvConfig(episode_length=10, **FOUR),
    ppo=PPOConfig(n_steps=16, batch_size=64, width=16, discount=0.9),
    lanes=4,
    seed=3,
    stl="off",
)


def trained(backend: Backend, config: TrainConfig = CONFIG) -> dict[str, torch.Tensor]:
    config = replace(config, backend=backend)
    venv = make_vec_env(config, TABLE)
    model = make_model(config, venv, TABLE, CPU)
    assert model.logger.output_formats == [], "none, and no folder for them"
    model.learn(3 * config.ppo.n_steps * venv.num_envs)
    return {name: value.clone() for name, value in model.policy.state_dict().items()}


def test_both_paths_train_the_same_weights() -> None:
    native, suit = trained("native"), trained("supersuit")
    assert native.keys() == suit.keys()
    for name, value in native.items():
        torch.testing.assert_close(suit[name], value, rtol=0, atol=0)
    other = trained("native", replace(CONFIG, seed=4))
    assert any(not torch.equal(other[name], value) for name, value in native.items())


def test_rewards_are_scaled_and_observations_are_not() -> None:
    venv = make_vec_env(replace(CONFIG, backend="native"), TABLE)
    assert isinstance(venv.venv, VecMonitor)
    assert (venv.norm_obs, venv.norm_reward, venv.gamma) == (False, True, 0.9)
    model = make_model(CONFIG, venv, TABLE, CPU)
    assert isinstance(model, PPO)
    assert model.normalize_advantage
    assert model.get_vec_normalize_env() is venv


def test_the_step_size_falls_to_zero() -> None:
    venv = make_vec_env(replace(CONFIG, backend="native"), TABLE)
    linear = make_model(CONFIG, venv, TABLE, CPU).lr_schedule
    assert [linear(left) for left in (1.0, 0.5, 0.0)] == [3e-3, 1.5e-3, 0.0]
    steady = replace(CONFIG, ppo=replace(CONFIG.ppo, schedule="constant"))
    assert make_model(steady, venv, TABLE, CPU).lr_schedule(0.0) == 3e-3


def test_raw_features_need_no_encoding() -> None:
    plain = replace(CONFIG, ppo=replace(CONFIG.ppo, bins=0))
    names = trained("native", plain)
    assert not any("lower" in name for name in names)
    assert any("lower" in name for name in trained("native"))


def test_threads_and_devices() -> None:
    threads = torch.get_num_threads()
    try:
        assert resolve_device("cpu", 1) == CPU
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is there")
def test_absent_cuda_is_refused() -> None:
    with pytest.raises(DeviceError, match="--device cpu"):
        resolve_device("cuda", 1)
    assert resolve_device("auto", 1) == CPU


def test_actions_of_a_policy_are_the_environments() -> None:
    venv = make_vec_env(replace(CONFIG, backend="native"), TABLE)
    model = make_model(CONFIG, venv, TABLE, CPU)
    actions, _ = model.predict(np.asarray(venv.reset()))
    assert set(np.unique(actions)) <= {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("most", "transitions", "size"),
    [(2048, 7168, 1792), (2048, 4096, 2048), (2048, 100, 100), (64, 1000, 64), (2, 7, 2)],
)
def test_minibatches_are_equal_where_they_can_be(most: int, transitions: int, size: int) -> None:
    assert minibatch_size(most, transitions) == size


def test_the_default_training_makes_equal_minibatches() -> None:
    """SB3 warns of a last minibatch that is smaller."""
    config = TrainConfig()
    transitions = config.ppo.n_steps * config.lanes * config.env.agents
    assert transitions % minibatch_size(config.ppo.batch_size, transitions) == 0

"""Normalised returns: the formula, its buffer, and the units that meet in it."""

import statistics
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from marl_stl_agents.algorithms.device.rollout import DeviceRollout
from marl_stl_agents.algorithms.ppo import make_trainer, make_vec_env, reward_unit
from marl_stl_agents.buffers.credit import CreditRule
from marl_stl_agents.buffers.returns import normalize_returns
from marl_stl_agents.buffers.rollout import TeamRolloutBuffer
from marl_stl_agents.config import Backend, PPOConfig, ReturnNormalization, TrainConfig
from marl_stl_agents.training.callbacks import ValueLossCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from marl_stl_env.config import EnvConfig, FaultConfig
from tests.conftest import FOUR, make_table

TABLE, CPU = make_table(), torch.device("cpu")
BOX, ACTIONS = spaces.Box(-1.0, 1.0, (2,)), spaces.Discrete(4)
#: One minibatch is the whole rollout and is learned from once, so that its figures are exact.
CONFIG = TrainConfig(
    env=EnvConfig(episode_length=10, **FOUR),
    ppo=PPOConfig(n_steps=16, batch_size=16 * 16, n_epochs=1, width=16, discount=0.9),
    lanes=4,
    seed=3,
    backend="native",
    stl="off",
)


def published(returns: list[float]) -> list[float]:
    """The formula in exact rational arithmetic, by the standard library."""
    mean, deviation = statistics.mean(returns), statistics.pstdev(returns)
    if deviation <= 1e-8:
        return [value - mean for value in returns]
    return [(value - mean) / (deviation + 1e-8) for value in returns]


def with_mode(mode: ReturnNormalization, config: TrainConfig = CONFIG) -> TrainConfig:
    return replace(config, ppo=replace(config.ppo, return_normalization=mode))


def trained(config: TrainConfig) -> OnPolicyAlgorithm:
    model = make_trainer(config, TABLE, CPU)
    steps = 2 * config.ppo.n_steps * model.n_envs
    return model.learn(steps, callback=ValueLossCallback(), log_interval=10**6)


@pytest.mark.parametrize(
    "returns",
    [
        [-412.5, 3.0, 88.25, -7.0],
        [1e-3, 2e-3, 4e-3],
        [2e-8, -2e-8],  # just above the threshold, where 1e-8 is a third of the divisor
        [5e-9, -5e-9],  # just below: centred only
        [-7.3, -7.3, -7.3],
        [4.0],
    ],
)
def test_the_formula(returns: list[float]) -> None:
    array = np.array(returns, dtype=np.float32)
    ours, unit = normalize_returns(array, np.ones(len(array), dtype=np.bool_))
    exact = [float(value) for value in array]
    np.testing.assert_allclose(ours, published(exact), rtol=1e-5, atol=1e-12)
    deviation = statistics.pstdev(exact)
    assert unit == pytest.approx(deviation + 1e-8 if deviation > 1e-8 else 1.0)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e5])
def test_a_value_function_of_zero_always_loses_one(scale: float) -> None:
    """So this loss says nothing of how far the values are off."""
    returns = (scale * np.random.default_rng(0).normal(3.0, 2.0, (64, 3))).astype(np.float32)
    ours, _ = normalize_returns(returns, np.ones_like(returns, dtype=np.bool_))
    assert float(np.square(ours).mean()) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("env", [{}, {"faults": FaultConfig(2, "mixed", 3)}, {"deliberation": 1}])
def test_the_buffer_normalises_what_is_learned_from(env: dict[str, Any]) -> None:
    config = with_mode("batch", replace(CONFIG, env=replace(CONFIG.env, **env)))
    model = make_trainer(config, TABLE, CPU)
    _, callback = model._setup_learn(10**6)
    assert model.env is not None
    model.collect_rollouts(model.env, callback, model.rollout_buffer, 16)
    buffer = model.rollout_buffer
    assert isinstance(buffer, TeamRolloutBuffer)
    raw = (buffer.advantages + buffer.values)[buffer.honest]
    assert raw.size == 16 * 16 // (2 if "faults" in env else 1)
    wanted = published([float(value) for value in raw])
    np.testing.assert_allclose(buffer.returns[buffer.honest], wanted, rtol=1e-4, atol=1e-5)


def constant_reward_buffer(
    kind: type[TeamRolloutBuffer] | type[DeviceRollout], values: list[float], reward: float
) -> TeamRolloutBuffer | DeviceRollout:
    """One stream without an end: values of the states before and after each step, one reward."""
    steps = len(values) - 1
    if kind is DeviceRollout:
        batch = CreditRule(normalize_returns=True)
        rollout = DeviceRollout(steps, BOX, ACTIONS, CPU, 0.8, 0.9, 1, credit=batch)
        rollout.values[:, 0], rollout.rewards[:] = torch.tensor(values[:-1]), reward
        rollout.compute_returns_and_advantage(torch.tensor([values[-1:]]), torch.zeros(1))
        return rollout
    buffer = TeamRolloutBuffer(
        steps,
        BOX,
        ACTIONS,
        "cpu",
        gae_lambda=0.8,
        gamma=0.9,
        credit=CreditRule(normalize_returns=True),
    )
    buffer.values[:, 0], buffer.rewards[:] = values[:-1], reward
    buffer.compute_returns_and_advantage(torch.tensor(values[-1:]), np.zeros(1))
    return buffer


@pytest.mark.parametrize("kind", [TeamRolloutBuffer, DeviceRollout])
def test_normalised_values_and_raw_rewards_do_not_add_up(
    kind: type[TeamRolloutBuffer] | type[DeviceRollout],
) -> None:
    """A perfect value function has no advantage left; in normalised units it has.

    With V = r + gamma V' and v = (V - m) / s, every error r + gamma v' - v of the sum is
    r (1 - 1 / s) + (1 - gamma) m / s. For a large s that is r itself: the values have no say.
    """
    reward, steps, mean, deviation = 2.0, 12, 30.0, 40.0
    perfect = [100.0]
    for _ in range(
        steps
    ):  # backwards through V = r + gamma V', so that V differs from step to step
        perfect.append((perfect[-1] - reward) / 0.9)
    exact = constant_reward_buffer(kind, perfect, reward)
    np.testing.assert_allclose(exact.advantages, 0.0, atol=1e-3)
    mixed = constant_reward_buffer(kind, [(v - mean) / deviation for v in perfect], reward)
    error = reward * (1 - 1 / deviation) + (1 - 0.9) * mean / deviation
    wanted = [error * (1 - 0.72**left) / (1 - 0.72) for left in range(steps, 0, -1)]
    np.testing.assert_allclose(np.asarray(mixed.advantages)[:, 0], wanted, rtol=1e-4)
    assert wanted[0] > 3.5 * reward  # as if the policy beat its own expectation all the time


@pytest.mark.parametrize("backend", ["native", "torch"])
@pytest.mark.parametrize("mode", ["running", "batch", "none"])
def test_the_value_loss_is_logged_in_reward_units(
    backend: Backend, mode: ReturnNormalization
) -> None:
    """:mod:`tests.agents.algorithms.test_device_ppo` compares the units of both paths."""
    model = trained(replace(with_mode(mode), backend=backend))
    buffer, figures = model.rollout_buffer, model.logger.name_to_value
    values, returns = (np.asarray(part).ravel() for part in (buffer.values, buffer.returns))
    loss = float(np.square(values - returns).mean())
    assert figures["train/value_loss"] == pytest.approx(loss, rel=1e-4)
    unit, normalizer = reward_unit(model), model.get_vec_normalize_env()
    if mode == "none":
        assert unit == 1.0
    elif mode == "batch":
        raw = np.asarray(buffer.advantages).ravel() + values
        assert unit == pytest.approx(statistics.pstdev(raw.tolist()), rel=1e-4)
    elif normalizer is not None:
        assert unit * float(normalizer.normalize_reward(np.ones(1))[0]) == pytest.approx(1.0)
    assert (unit == 1.0) is (mode == "none")
    logged = figures["train/value_loss_reward_units"]
    assert logged == pytest.approx(loss * unit**2, rel=1e-4)


def test_only_the_running_scale_touches_rewards() -> None:
    modes: tuple[ReturnNormalization, ...] = ("running", "batch", "none")
    for mode in modes:
        venv = make_vec_env(with_mode(mode), TABLE)
        venv.reset()
        for _ in range(5):
            _, rewards, _, _ = venv.step(np.zeros(16, dtype=np.int64))
        assert np.array_equal(rewards, venv.get_original_reward()) is (mode != "running")

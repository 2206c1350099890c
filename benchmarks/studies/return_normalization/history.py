"""Metrics of a training under one normalisation of returns."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from marl_stl_agents.algorithms.ppo import reward_unit
from marl_stl_agents.config import TrainConfig
from marl_stl_agents.evaluation.metrics import score
from marl_stl_agents.evaluation.rollouts import collect_rollout, greedy
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback

from marl_stl_env.config import RewardConfig
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.types import AnyArray, BoolArray

#: Iterations between evaluations, and number of last iterations over which tables average.
LAST = 10


class History(BaseCallback):
    """Metrics of every iteration.

    Args:
        config: The run.
        table: The scaled validation table.

    Attributes:
        curves: One number for each iteration, by name; F1 for every tenth and the last.
    """

    def __init__(self, config: TrainConfig, table: TrafficTable) -> None:
        super().__init__()
        self._config, self._table = config, table
        self._rewards: list[AnyArray] = []
        self._values = (0.0, 1.0)  # mean and deviation of the target that the values were fitted to
        self.curves: dict[str, list[float]] = {}

    def _on_step(self) -> bool:
        venv = self.model.get_vec_normalize_env()
        assert venv is not None
        self._rewards.append(venv.get_original_reward())
        return True

    def _on_rollout_end(self) -> None:
        buffer, env = self._buffer, self._config.env
        rewards = np.stack(self._rewards)
        self._rewards.clear()
        target = buffer.advantages + buffer.values
        event = own_event(rewards, env.reward)
        self._add("episode_reward", env.episode_length * float(rewards.mean()))
        self._add("own_event_share", correlation(target, rewards) ** 2)
        self._add("advantage_signal", correlation(buffer.advantages, event))
        if self._config.ppo.return_normalization == "batch":
            mean, unit = self._values
            right = consistent_advantages(
                buffer, rewards, self.locals["values"], self.locals["dones"], mean, unit
            )
            self._add("unit_agreement", correlation(buffer.advantages, right))
            self._add("consistent_signal", correlation(right, event))
            self._add("mean_advantage", float(buffer.advantages.mean()))
            self._add("consistent_mean_advantage", float(right.mean()))
            self._values = float(target.mean()), reward_unit(self._model)

    def _on_rollout_start(self) -> None:
        logged = self.logger.name_to_value
        if "train/value_loss" not in logged:
            return
        for name in ("value_loss", "value_loss_reward_units", "explained_variance"):
            self._add(name, float(logged[f"train/{name}"]))
        done = len(self.curves["value_loss"])
        if done % LAST == 0 or done == self._config.iterations:
            self._evaluate()

    def _on_training_end(self) -> None:
        self._on_rollout_start()

    def _evaluate(self) -> None:
        env, policy = self._config.env, self._model.policy
        policy.set_training_mode(False)
        decisions = collect_rollout(env, self._table, greedy(policy)).decisions
        metrics = score(self._table.labels, decisions, env.reward)
        self._add("f1", metrics.f1)
        self._add("validation_reward", metrics.reward_per_event)

    def _add(self, name: str, value: float) -> None:
        self.curves.setdefault(name, []).append(value)

    @property
    def _model(self) -> Any:
        return self.model

    @property
    def _buffer(self) -> RolloutBuffer:
        buffer = self._model.rollout_buffer
        assert isinstance(buffer, RolloutBuffer)
        return buffer


def correlation(first: AnyArray, second: AnyArray) -> float:
    """Pearson's correlation of two arrays of the same shape."""
    if first.std() == 0.0 or second.std() == 0.0:
        return 0.0
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def own_event(rewards: AnyArray, config: RewardConfig) -> AnyArray:
    """The part of each reward that depends on the action: the reward minus its mean for the label.

    This is the exact advantage, since actions do not change later events.

    Args:
        rewards: Unscaled rewards of the team.  # (steps, n_envs) float32
        config: The rewards of outcomes.
    """
    threat: BoolArray = np.isin(rewards, (config.true_positive, config.false_negative))
    means = [
        rewards[threat == label].mean() if (threat == label).any() else 0.0 for label in (0, 1)
    ]
    return rewards - np.where(threat, means[1], means[0])


def consistent_advantages(
    buffer: RolloutBuffer,
    rewards: AnyArray,
    last_values: torch.Tensor,
    dones: AnyArray,
    mean: float,
    unit: float,
) -> AnyArray:
    """The advantages of a rollout whose values are converted to reward units.

    Args:
        buffer: A full rollout, its values in normalised units.
        rewards: Unscaled rewards.  # (steps, n_envs) float32
        last_values: Normalised values after the rollout.  # (n_envs, 1) float32
        dones: Whether the last step ended an episode.  # (n_envs,) bool
        mean: Mean of the returns that the values were fitted to.
        unit: Standard deviation of these returns.

    Returns:
        Advantages in reward units.  # (steps, n_envs) float32
    """
    other = RolloutBuffer(
        buffer.buffer_size,
        buffer.observation_space,
        buffer.action_space,
        gamma=buffer.gamma,
        gae_lambda=buffer.gae_lambda,
        n_envs=buffer.n_envs,
    )
    later = buffer.rewards - rewards  # SB3 adds the discounted next value at a time limit
    other.rewards = rewards + unit * later + buffer.gamma * mean * (later != 0.0)
    other.values = mean + unit * buffer.values
    other.episode_starts = buffer.episode_starts
    other.compute_returns_and_advantage(mean + unit * last_values, dones)
    return other.advantages

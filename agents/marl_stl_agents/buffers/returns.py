"""Normalisation of what the value function learns, and the choice of a buffer.

Three ways: "running" divides every reward by the running deviation of the discounted return
(``VecNormalize``), "batch" normalises each rollout's returns by themselves, "none" does neither.
"""

from __future__ import annotations

import numpy as np
import torch
from stable_baselines3.common.buffers import RolloutBuffer

from marl_stl_agents.buffers.entity_credit import EntityRolloutBuffer
from marl_stl_agents.buffers.rollout import TeamRolloutBuffer
from marl_stl_agents.config import TrainConfig
from marl_stl_env.config import EnvConfig
from marl_stl_env.types import AnyArray, BoolArray, Float32Array

_EPSILON = 1e-8


def normalize_returns(returns: Float32Array, counted: BoolArray) -> tuple[Float32Array, float]:
    """The published formula: ``(returns - mean) / (std + 1e-8)``, centred only if std <= 1e-8.

    Args:
        returns: Returns of a rollout.  # (steps, n_envs) float32
        counted: Which of them mean and deviation are of.  # (steps, n_envs) bool

    Returns:
        Normalised returns (steps, n_envs) float32, and what they were divided by.
    """
    chosen = returns[counted].astype(np.float64)
    deviation = float(chosen.std())
    unit = deviation + _EPSILON if deviation > _EPSILON else 1.0
    return ((returns - chosen.mean()) / unit).astype(np.float32), unit


class BatchReturnsBuffer(TeamRolloutBuffer):
    """A rollout whose returns have mean 0 and variance 1, whatever the policy earns.

    Advantages come before that, from rewards in their own units and values in normalised ones, as
    published; :mod:`benchmarks.studies.return_normalization` shows what this mixture does.

    Attributes:
        unit: What the returns of the last rollout were divided by.
    """

    unit: float = 1.0

    def compute_returns_and_advantage(self, last_values: torch.Tensor, dones: AnyArray) -> None:
        """Generalised advantages, and returns normalised over the honest transitions.

        Args:
            last_values: Values of the observations after the rollout.  # (n_envs,) float32
            dones: Whether the last step ended an episode.  # (n_envs,) bool
        """
        super().compute_returns_and_advantage(last_values, dones)
        self.returns, self.unit = normalize_returns(self.returns, self.honest)


def buffer_class(config: TrainConfig) -> type[RolloutBuffer] | None:
    """The rollout buffer that a run asks for; None where SB3's own will do."""
    if config.ppo.return_normalization == "batch":
        return BatchReturnsBuffer
    if config.ppo.credit == "entity":
        return EntityRolloutBuffer
    if config.task.faults.faulty or config.task.deliberation:
        return TeamRolloutBuffer
    return None


def within_event(env: EnvConfig) -> float:
    """The discount from a proposal to the vote on the same event: 1, or 0 where it changes nothing.

    A sensor's proposal tells others what it knows itself. Where each earns by its own vote alone,
    and decisions have no consequences, what the vote earns is noise to the proposal.
    """
    return 0.0 if env.reward.team_share == 0.0 and env.dynamics == "replay" else 1.0

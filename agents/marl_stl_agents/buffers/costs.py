"""A rollout that knows when which specification was violated."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from torch import Tensor

from marl_stl_agents.buffers.rollout import TeamRolloutBuffer, generalised_advantages
from marl_stl_env.envs.base import LastStep, TeamVecEnv
from marl_stl_env.types import AnyArray, BoolArray, Float32Array, Float64Array

_EPSILON = 1e-8


class CostRolloutBuffer(TeamRolloutBuffer):
    """A rollout that also knows when which specification was violated.

    Attributes:
        costs: 1 where the step violated the specification.  # (steps, lanes, specifications) bool
        violated: Whether it is violated after the step.  # (steps, lanes, specifications) bool
        ended: Whether the step was its episode's last.  # (steps, n_envs) bool
        cost_returns: What the cost heads learn.  # (steps, n_envs, specifications) float32
    """

    tensors = (*TeamRolloutBuffer.tensors, "cost_returns")

    #: Lanes and specifications, once the environment is known.
    _monitored: tuple[int, int] = (0, 0)

    def watch(self, env: TeamVecEnv, within_event: float = 1.0) -> None:
        """Take the facts of each step from this environment, from the next rollout on."""
        super().watch(env, within_event)
        self._monitored = env.lanes, len(env.specs)

    def reset(self) -> None:
        """Forget all transitions."""
        super().reset()
        shape = (self.buffer_size, *self._monitored)
        self.costs: BoolArray = np.zeros(shape, np.bool_)
        self.violated: BoolArray = np.zeros(shape, np.bool_)

    def record(self, step: LastStep) -> None:
        """Store the facts of the step."""
        super().record(step)
        self.costs[self.pos], self.violated[self.pos] = step.newly_violated, step.violated

    def compute_returns_and_advantage(self, last_values: Tensor, dones: AnyArray) -> None:
        """Returns and advantages of the rewards, as without specifications."""
        super().compute_returns_and_advantage(last_values, dones)
        self.ended: BoolArray = np.vstack([self.episode_starts[1:], dones[None]]).astype(np.bool_)

    def violation_rates(self) -> Float64Array | None:
        """Share of the finished episodes that violated each specification; None if none finished.

        # (specifications,) float64
        """
        broken = self.violated[self.ended[:, :: self._agents]]
        return broken.mean(axis=0) if len(broken) else None

    @property
    def _agents(self) -> int:
        return self.n_envs // self._monitored[0]

    def price(self, values: Float32Array, multipliers: Float64Array) -> None:
        """Make the advantages those of the Lagrangian, and the returns of the costs.

        The advantages of the rewards are standardised, so that they have the same unit whatever
        the rewards are scaled by; those of the costs stay changes of a probability. A multiplier
        is hence a price in standard deviations of the former.

        Args:
            values: Costs expected at every observation, the one after the last step included.
                # (steps + 1, n_envs, specifications) float32
            multipliers: The price of each specification.  # (specifications,) float64
        """
        goes_on = ~self.ended
        costs = np.repeat(self.costs, self._agents, axis=1).astype(np.float32)
        advantages = [
            generalised_advantages(
                costs[..., i], values[..., i], goes_on * self.gamma, self.gae_lambda
            )
            for i in range(costs.shape[2])
        ]
        cost_advantages = np.stack(advantages, axis=-1)
        self.cost_returns = cost_advantages + values[:-1]
        counted = self.advantages[self.honest]
        earned = (self.advantages - counted.mean()) / (counted.std() + _EPSILON)
        mixed = (earned - cost_advantages @ multipliers) / (1.0 + multipliers.sum())
        self.advantages = mixed.astype(np.float32)

    def _get_samples(self, batch_inds: AnyArray, env: Any = None) -> RolloutBufferSamples:
        """A minibatch whose returns are those of the reward and of all costs."""
        samples = super()._get_samples(batch_inds, env)
        costs = self.to_torch(self.cost_returns[batch_inds])
        returns = torch.cat([samples.returns[:, None], costs], dim=1)
        return samples._replace(returns=returns.flatten())

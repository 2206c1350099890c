"""PPO that satisfies specifications: a multiplier and a cost value head for each of them.

PPO-Lagrangian (Ray, Achiam and Amodei 2019, "Benchmarking safe exploration in deep reinforcement
learning") on *first violations*: a specification costs 1 at the step that violates it and nothing
before or after, so that the expected undiscounted cost of an episode is the probability of
violating it.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

from marl_stl_agents.algorithms.multipliers import PIDMultipliers
from marl_stl_agents.buffers.rollout import TeamRolloutBuffer
from marl_stl_agents.config import ConstraintConfig
from marl_stl_agents.policies.team import TeamPolicy
from marl_stl_env.envs.base import team_env
from marl_stl_env.types import AnyArray, Float32Array, Float64Array


class PricedPPO(PPO):
    """PPO with prices on specifications, wherever its rollouts are collected.

    Attributes:
        names: The priced specifications; none where nothing is priced.
        multipliers: Their prices.
    """

    names: tuple[str, ...]
    multipliers: PIDMultipliers

    def measured(self, rates: Float64Array) -> None:
        """Move the multipliers by the violation rates of the priced specifications.

        Args:
            rates: Share of episodes that violate each.  # (costs,) float64
        """
        self.multipliers.update(rates)
        for name, rate in zip(self.names, rates, strict=True):
            self.logger.record(f"stl/violated/{name}", float(rate))

    def sampled_rates(self) -> Float64Array | None:
        """Violation rates of the episodes that the last rollout finished; None without any.

        # (costs,) float64
        """
        raise NotImplementedError

    def log_multipliers(self) -> None:
        """Log the prices."""
        for name, multiplier in zip(self.names, self.multipliers.values, strict=True):
            self.logger.record(f"stl/lambda/{name}", float(multiplier))


class LagrangianPPO(PricedPPO):
    """SB3's PPO on the Lagrangian of rewards and specifications.

    The policy learns from ``(A_r - sum_j lambda_j A_cj) / (1 + sum_j lambda_j)``. Whoever measures
    violation rates hands them to :meth:`measured`, which moves the multipliers.

    Args:
        policy: A policy with a cost head for each priced specification.
        env: One of our environments, wrapped.
        constraints: Budget and gains.
        **settings: As for SB3's PPO; its rollout buffer is a team's.

    Attributes:
        names: The priced specifications.
        multipliers: Their prices.
    """

    def __init__(
        self,
        policy: type[TeamPolicy],
        env: VecEnv,
        constraints: ConstraintConfig,
        **settings: Any,
    ) -> None:
        costs = settings["rollout_buffer_kwargs"]["credit"].costs
        specs = team_env(env).specs
        self.names = tuple(specs[i].name for i in costs)
        self.multipliers = PIDMultipliers(len(costs), constraints)
        super().__init__(policy, env, **settings)

    def sampled_rates(self) -> Float64Array | None:
        """Violation rates of the episodes that the last rollout finished; None without any."""
        return self._buffer.violation_rates()

    def collect_rollouts(self, *args: Any, **settings: Any) -> bool:
        """Collect a rollout and put a price on its violations."""
        going_on = super().collect_rollouts(*args, **settings)
        if going_on:
            buffer = self._buffer
            buffer.price(self._expected_costs(buffer.observations), self.multipliers.values)
        return going_on

    @property
    def _buffer(self) -> TeamRolloutBuffer:
        return cast("TeamRolloutBuffer", self.rollout_buffer)

    def _expected_costs(self, observations: AnyArray) -> Float32Array:
        """Values of every observation and the next.  # (steps + 1, n_envs, costs)."""
        with torch.no_grad():
            costs = [self._costs_at(seen) for seen in (*observations, np.asarray(self._last_obs))]
        return np.stack(costs)

    def _costs_at(self, observations: AnyArray) -> Float32Array:
        policy = cast("TeamPolicy", self.policy)
        costs = policy.predict_costs(torch.as_tensor(observations, device=self.device))
        return costs.cpu().numpy()

    def train(self) -> None:
        """Learn from the rollout; the value loss that is logged is that of the rewards alone."""
        super().train()
        buffer = self._buffer
        with torch.no_grad():
            values = self.policy.predict_values(buffer.to_torch(buffer.observations))
            errors = values - buffer.to_torch(buffer.returns)
        self.logger.record("train/value_loss", float((errors**2).mean()))
        self.log_multipliers()

"""PPO that satisfies specifications: a multiplier and a cost value head for each of them.

PPO-Lagrangian (Ray, Achiam and Amodei 2019, "Benchmarking safe exploration in deep reinforcement
learning") on *first violations*: a specification costs 1 at the step that violates it and nothing
before or after, so that the expected undiscounted cost of an episode is the probability of
violating it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

from marl_stl_agents.buffers.costs import CostRolloutBuffer
from marl_stl_agents.config import ConstraintConfig
from marl_stl_agents.policies.cost_value import CostValuePolicy
from marl_stl_env.envs.base import team_env
from marl_stl_env.types import AnyArray, Float32Array, Float64Array


class LagrangianPPO(PPO):
    """SB3's PPO on the Lagrangian of rewards and specifications.

    Once per rollout every multiplier moves by ``eta * (violation rate - budget)``; the policy then
    learns from ``(A_r - sum_j lambda_j A_cj) / (1 + sum_j lambda_j)``.

    Args:
        policy: :class:`~marl_stl_agents.policies.cost_value.CostValuePolicy`.
        env: One of our environments, wrapped.
        constraints: Budget and step size.
        **settings: As for SB3's PPO.

    Attributes:
        multipliers: Price of each specification.  # (specifications,) float64
    """

    def __init__(
        self,
        policy: type[CostValuePolicy],
        env: VecEnv,
        constraints: ConstraintConfig,
        **settings: Any,
    ) -> None:
        self._constraints = constraints
        self._names = [one.name for one in team_env(env).specs]
        self.multipliers: Float64Array = np.zeros(len(self._names))
        super().__init__(policy, env, rollout_buffer_class=CostRolloutBuffer, **settings)

    def collect_rollouts(self, *args: Any, **settings: Any) -> bool:
        """Collect a rollout and put a price on its violations."""
        going_on = super().collect_rollouts(*args, **settings)
        buffer = self.rollout_buffer
        if going_on and isinstance(buffer, CostRolloutBuffer):
            rates = buffer.violation_rates()
            if rates is not None:
                self.multipliers = self._moved(rates)
            buffer.price(self._expected_costs(buffer.observations), self.multipliers)
        return going_on

    def _moved(self, rates: Float64Array) -> Float64Array:
        settings = self._constraints
        steps = settings.multiplier_rate * (rates - settings.budget)
        return np.clip(self.multipliers + steps, 0.0, settings.max_multiplier)

    def _expected_costs(self, observations: AnyArray) -> Float32Array:
        """Values of every observation and the next.  # (steps + 1, n_envs, specifications)."""
        with torch.no_grad():
            costs = [self._costs_at(seen) for seen in (*observations, np.asarray(self._last_obs))]
        return np.stack(costs)

    def _costs_at(self, observations: AnyArray) -> Float32Array:
        policy = cast("CostValuePolicy", self.policy)
        costs = policy.predict_costs(torch.as_tensor(observations, device=self.device))
        return costs.cpu().numpy()

    def train(self) -> None:
        """Learn from the rollout; the value loss that is logged is that of the rewards alone."""
        super().train()
        buffer = self.rollout_buffer
        with torch.no_grad():
            values = self.policy.predict_values(buffer.to_torch(buffer.observations))
            errors = values - buffer.to_torch(buffer.returns)
        self.logger.record("train/value_loss", float((errors**2).mean()))
        for name, multiplier in zip(self._names, self.multipliers, strict=True):
            self.logger.record(f"stl/lambda/{name}", float(multiplier))

    def spec_state(self) -> dict[str, AnyArray]:
        """What continuing needs beyond what PPO remembers."""
        return {"lagrangian.multipliers": self.multipliers}

    def set_spec_state(self, arrays: Mapping[str, AnyArray]) -> None:
        """Go back to what :meth:`spec_state` gave.

        Raises:
            KeyError: If it is not there.
            ValueError: If it is of other specifications.
        """
        multipliers = arrays["lagrangian.multipliers"]
        if multipliers.shape != self.multipliers.shape:
            raise ValueError(f"multipliers of {len(multipliers)} specifications")
        self.multipliers = multipliers.copy()

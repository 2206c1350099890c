"""PPO that satisfies specifications: a multiplier and a cost value head for each of them.

PPO-Lagrangian (Ray, Achiam and Amodei 2019, "Benchmarking safe exploration in deep reinforcement
learning") on *first violations*: a specification costs 1 at the step that breaks it and nothing
before or after, so that the expected undiscounted cost of an episode is the probability of breaking
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import PyTorchObs, RolloutBufferSamples
from torch import Tensor, nn

from marl_stl_agents.buffers.rollout import TeamRolloutBuffer, generalised_advantages
from marl_stl_agents.config import ConstraintConfig
from marl_stl_env.types import AnyArray, BoolArray, Float32Array, Float64Array

_EPSILON = 1e-8


class CostValuePolicy(ActorCriticPolicy):
    """SB3's policy whose value function has one more output for the cost of each specification.

    Only :meth:`evaluate_actions`, with which PPO learns, gives all outputs, the reward's first.

    Args:
        *args: As for SB3's policy.
        specs: Number of specifications.
        **settings: As for SB3's policy.
    """

    def __init__(self, *args: Any, specs: int, **settings: Any) -> None:
        self._specs = specs
        super().__init__(*args, **settings)

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        self.value_net = nn.Linear(self.mlp_extractor.latent_dim_vf, 1 + self._specs)
        self.init_weights(self.value_net, gain=1)
        optimizer: Any = self.optimizer_class
        self.optimizer = optimizer(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)

    def forward(self, obs: Tensor, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Actions, values of the reward and log probabilities."""
        actions, values, log_prob = super().forward(obs, deterministic)
        return actions, values[:, :1], log_prob

    def predict_values(self, obs: PyTorchObs) -> Tensor:
        """Values of the reward.  # (batch, 1) float32."""
        return super().predict_values(obs)[:, :1]

    def predict_costs(self, obs: PyTorchObs) -> Tensor:
        """Expected discounted costs.  # (batch, specifications) float32."""
        return super().predict_values(obs)[:, 1:]


class CostRolloutBuffer(TeamRolloutBuffer):
    """A rollout that also knows when which specification was broken.

    Attributes:
        costs: 1 where the step broke the specification.  # (steps, lanes, specifications) bool
        violated: Whether it is broken after the step.  # (steps, lanes, specifications) bool
        ended: Whether the step was its episode's last.  # (steps, n_envs) bool
        cost_returns: What the cost heads learn.  # (steps, n_envs, specifications) float32
    """

    tensors = (*TeamRolloutBuffer.tensors, "cost_returns")

    def reset(self) -> None:
        """Forget all transitions."""
        super().reset()
        if self._venv is not None:
            lanes = self.n_envs // self._venv.agents
            shape = (self.buffer_size, lanes, len(self._venv.specs))
            self.costs: BoolArray = np.zeros(shape, np.bool_)
            self.violated: BoolArray = np.zeros(shape, np.bool_)

    def add(self, *args: Any, **settings: Any) -> None:
        """Store the transitions of the step that the environment has just done."""
        status = self._venv.spec_status
        self.costs[self.pos], self.violated[self.pos] = status.newly_violated, status.violated
        super().add(*args, **settings)

    def compute_returns_and_advantage(self, last_values: Tensor, dones: AnyArray) -> None:
        """Returns and advantages of the rewards, as without specifications."""
        super().compute_returns_and_advantage(last_values, dones)
        self.ended: BoolArray = np.vstack([self.episode_starts[1:], dones[None]]).astype(np.bool_)

    def violation_rates(self) -> Float64Array | None:
        """Share of the finished episodes that broke each specification; None if none was finished.

        # (specifications,) float64
        """
        broken = self.violated[self.ended[:, :: self._venv.agents]]
        return broken.mean(axis=0) if len(broken) else None

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
        costs = np.repeat(self.costs, self._venv.agents, axis=1).astype(np.float32)
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


class LagrangianPPO(PPO):
    """SB3's PPO on the Lagrangian of rewards and specifications.

    Once per rollout every multiplier moves by ``eta * (violation rate - budget)``; the policy then
    learns from ``(A_r - sum_j lambda_j A_cj) / (1 + sum_j lambda_j)``.

    Args:
        policy: :class:`CostValuePolicy`.
        env: One of our environments, wrapped.
        specifications: Budget and step size.
        **settings: As for SB3's PPO.

    Attributes:
        multipliers: Price of each specification.  # (specifications,) float64
    """

    def __init__(
        self, policy: Any, env: Any, constraints: ConstraintConfig, **settings: Any
    ) -> None:
        self._constraints = constraints
        self._names = [one.name for one in env.unwrapped.specs]
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
        policy: Any = self.policy
        costs: Tensor = policy.predict_costs(torch.as_tensor(observations, device=self.device))
        return costs.cpu().numpy()

    def train(self) -> None:
        """Learn from the rollout; the value loss that is logged is that of the rewards alone."""
        super().train()
        buffer: Any = self.rollout_buffer
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

"""The rollout of a team: honest transitions, their credit, and the costs of specifications."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from torch import Tensor

from marl_stl_agents.buffers.advantages import entity_advantages, lane_advantages
from marl_stl_agents.buffers.credit import CreditRule
from marl_stl_agents.buffers.returns import normalize_returns
from marl_stl_env.envs.base import LastStep, TeamVecEnv
from marl_stl_env.types import AnyArray, BoolArray, Float32Array, Float64Array, IntArray

_EPSILON = 1e-8


class TeamRolloutBuffer(RolloutBuffer):
    """SB3's rollout buffer with what a team needs beside it.

    Transitions of faulty sensors never leave the buffer: what a faulty sensor chose is not what
    the team heard, so they say nothing about the policy. Losses, the normalisation of advantages
    and the explained variance are those of the honest sensors alone.

    The discount counts from one event to the next. A proposal and the vote on the same event are
    one event: between them nothing is discounted, unless the vote's reward is none of the
    proposal's doing.

    Args:
        args: Of SB3's buffer.
        credit: Which later rewards and costs an action answers for.
        settings: Of SB3's buffer.

    Attributes:
        credit: Which later rewards and costs an action answers for.
        unit: What the returns of the last rollout were divided by.
        honest: Whether the sensor was honest.  # (steps, n_envs) bool
        voting: Whether the step was a vote and not a proposal.  # (steps, n_envs) bool
        entities: The entity of the event.  # (steps, n_envs) int64
        ended: Whether the step was its episode's last.  # (steps, n_envs) bool
        costs: 1 where the step violated the specification.  # (steps, n_envs, costs) float32
        violated: Whether it is violated after the step.  # (steps, n_envs, costs) bool
        cost_returns: What the cost heads learn; 0 where nothing is priced, as by an exported policy
            that another trainer goes on with.  # (steps, n_envs, costs) float32
    """

    unit: float = 1.0

    def __init__(self, *args: Any, credit: CreditRule | None = None, **settings: Any) -> None:
        self.credit = credit or CreditRule()
        self._env: TeamVecEnv | None = None
        super().__init__(*args, **settings)

    def watch(self, env: TeamVecEnv) -> None:
        """Take the facts of each step from this environment, from the next rollout on.

        A policy that was exported and is trained on elsewhere has no such environment; there every
        transition is an honest vote.

        Args:
            env: The environment that is stepped, without its wrappers.
        """
        self._env = env

    def reset(self) -> None:
        """Forget all transitions."""
        super().reset()
        shape = (self.buffer_size, self.n_envs)
        self.honest: BoolArray = np.ones(shape, dtype=np.bool_)
        self.voting: BoolArray = np.ones(shape, dtype=np.bool_)
        self.entities: IntArray = np.zeros(shape, dtype=np.int64)
        self.costs: Float32Array = np.zeros((*shape, len(self.credit.costs)), np.float32)
        self.violated: BoolArray = np.zeros(self.costs.shape, np.bool_)
        self.cost_returns: Float32Array = np.zeros(self.costs.shape, np.float32)

    def add(self, *args: Any, **settings: Any) -> None:
        """Store the transitions of the step that the environment has just done."""
        if self._env is not None:
            self._record(self._env.last_step, self._env.agents)
        super().add(*args, **settings)

    def _record(self, step: LastStep, agents: int) -> None:
        self.honest[self.pos], self.voting[self.pos] = step.honest, step.voting
        if step.entities is not None:
            self.entities[self.pos] = step.entities
        if self.credit.costs:
            priced = list(self.credit.costs)
            self.costs[self.pos] = np.repeat(step.newly_violated[:, priced], agents, axis=0)
            self.violated[self.pos] = np.repeat(step.violated[:, priced], agents, axis=0)

    def compute_returns_and_advantage(self, last_values: torch.Tensor, dones: AnyArray) -> None:
        """Generalised advantages of the rewards, and their returns.

        Args:
            last_values: Values of the observations after the rollout.  # (n_envs,) float32
            dones: Whether the last step ended an episode.  # (n_envs,) bool
        """
        self.ended: BoolArray = np.vstack([self.episode_starts[1:] > 0, dones[None] > 0])
        values = np.vstack([self.values, last_values.cpu().numpy().reshape(1, -1)])
        discounts = np.where(self.voting, self.gamma, self.credit.within_event)
        if self.credit.path == "entity":
            self.advantages = entity_advantages(
                self.rewards, self.values, self.entities, self.ended, discounts, self.gae_lambda
            )
        else:
            self.advantages = lane_advantages(
                self.rewards, values, discounts * (1.0 - self.ended), self.gae_lambda
            )
        self.returns = self.advantages + self.values
        if self.credit.normalize_returns:
            self.returns, self.unit = normalize_returns(self.returns, self.honest)

    def violation_rates(self) -> Float64Array | None:
        """Share of the finished episodes that violated each specification; None if none finished.

        # (costs,) float64
        """
        broken = self.violated[self.ended]
        return broken.mean(axis=0) if len(broken) else None

    def price(self, values: Float32Array, multipliers: Float64Array) -> None:
        """Make the advantages those of the Lagrangian, and the returns of the costs.

        The advantages of the rewards are standardised, so that they have the same unit whatever
        the rewards are scaled by; those of the costs stay changes of a probability. A multiplier
        is hence a price in standard deviations of the former.

        Args:
            values: Costs expected at every observation, the one after the last step included.
                # (steps + 1, n_envs, costs) float32
            multipliers: The price of each specification.  # (costs,) float64
        """
        advantages = [self._cost_advantages(i, values[..., i]) for i in range(values.shape[2])]
        cost_advantages = np.stack(advantages, axis=-1)
        self.cost_returns = cost_advantages + values[:-1]
        counted = self.advantages[self.honest]
        standardized = (self.advantages - counted.mean()) / (counted.std() + _EPSILON)
        mixed = (standardized - cost_advantages @ multipliers) / (1.0 + multipliers.sum())
        self.advantages = mixed.astype(np.float32)

    def _cost_advantages(self, cost: int, values: Float32Array) -> Float32Array:
        """The advantages of one cost.  # (steps, n_envs) float32."""
        costs = self.costs[..., cost]
        if self.credit.path == "entity" and self.credit.entity_costs[cost]:
            undiscounted = np.ones_like(costs)
            return entity_advantages(
                costs, values[:-1], self.entities, self.ended, undiscounted, self.gae_lambda, 0.0
            )
        discounts = np.where(self.voting, self.credit.cost_discount, 1.0) * (1.0 - self.ended)
        return lane_advantages(costs, values, discounts, self.gae_lambda)

    def get(self, batch_size: int | None = None) -> Generator[RolloutBufferSamples, None, None]:
        """Minibatches of the honest transitions in random order."""
        if not self.generator_ready:
            honest = self.swap_and_flatten(self.honest)[:, 0]
            names = ["observations", "actions", "values", "log_probs", "advantages", "returns"]
            if self.credit.costs:
                names.append("cost_returns")
            for name in names:
                setattr(self, name, self.swap_and_flatten(getattr(self, name))[honest])
            self.generator_ready = True
        # SB3 seeds NumPy's global generator and draws its minibatches from it.
        order = np.random.permutation(len(self.values))  # noqa: NPY002
        size = batch_size or len(order)
        for start in range(0, len(order), size):
            yield self._get_samples(order[start : start + size])

    def _get_samples(self, batch_inds: AnyArray, env: Any = None) -> RolloutBufferSamples:
        """A minibatch; with costs its returns are those of the reward and of all costs in turn."""
        samples = super()._get_samples(batch_inds, env)
        if not self.credit.costs:
            return samples
        costs: Tensor = self.to_torch(self.cost_returns[batch_inds])
        returns = torch.cat([samples.returns[:, None], costs], dim=1)
        return samples._replace(returns=returns.flatten())

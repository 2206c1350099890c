"""The rollout buffer of a team, as tensors that never leave the training device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from gymnasium import spaces
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from torch import Tensor

from marl_stl_agents.algorithms.device.advantages import (
    entity_advantages,
    lane_advantages,
    next_events,
)
from marl_stl_agents.buffers.credit import CreditRule
from marl_stl_env.types import Float64Array

_EPSILON = 1e-8


@dataclass(frozen=True)
class TeamShape:
    """What a buffer must know of the team, so that it need not ask the device.

    Attributes:
        agents: Sensors of a lane.
        faulty: Faulty ones among them, in every lane and episode.
        deliberates: Whether events have a proposal round.
        entities: Entities that the table names; 0 where credit does not follow them.
    """

    agents: int = 1
    faulty: int = 0
    deliberates: bool = False
    entities: int = 0


@dataclass(frozen=True, eq=False)
class Facts:
    """What a rollout needs of a step beside rewards.

    Attributes:
        faulty: Which sensors were faulty.  # (lanes, agents) bool
        voting: Whether the step was a vote and not a proposal.  # (lanes,) bool
        entities: The entity of the event.  # (lanes,) int64
        costs: Whether the step violated each priced specification.  # (lanes, costs) bool
    """

    faulty: Tensor
    voting: Tensor
    entities: Tensor | None
    costs: Tensor


@dataclass
class DeviceRollout:
    """:class:`~marl_stl_agents.buffers.rollout.TeamRolloutBuffer` with tensors on the device.

    What a team does not need is not kept: honesty without faulty sensors, votes without
    deliberation, entities without their credit, costs without prices.

    Args:
        buffer_size: Steps.
        observation_space: Of one sensor.
        action_space: Of one sensor.
        device: Where the tensors live.
        gae_lambda: Lambda of generalised advantage estimation.
        gamma: Discount.
        n_envs: Sensors of all lanes.
        credit: Which later rewards and costs an action answers for.
        team: The team.

    Attributes:
        observations: (steps, n_envs, width) float32
        actions: (steps, n_envs) int64
        rewards: Scaled rewards.  # (steps, n_envs) float32
        episode_starts: 1 where an episode begins.  # (steps, n_envs) float32
        values: (steps, n_envs) float32
        log_probs: (steps, n_envs) float32
        advantages: (steps, n_envs) float32
        returns: (steps, n_envs) float32
        honest: Whether the sensor was honest.  # (steps, n_envs) bool, or none
        voting: Whether the step was a vote.  # (steps, lanes) bool, or none
        entities: The entity of the event.  # (steps, lanes) int64, or none
        costs: 1 where the step violated the specification.  # (steps, lanes, costs) float32
        cost_values: Costs expected before every step and after the last.
            # (steps + 1, n_envs, costs) float32
        cost_returns: What the cost heads learn.  # (steps, n_envs, costs) float32
        unit: What the returns were divided by.  # () float64
    """

    buffer_size: int
    observation_space: spaces.Box
    action_space: spaces.Discrete
    device: torch.device
    gae_lambda: float
    gamma: float
    n_envs: int
    credit: CreditRule = field(default_factory=CreditRule)
    team: TeamShape = field(default_factory=TeamShape)

    def __post_init__(self) -> None:
        shape, lanes = (self.buffer_size, self.n_envs), self.n_envs // self.team.agents
        costs = len(self.credit.costs)

        def empty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=self.device)

        self.observations = empty(*shape, *self.observation_space.shape)
        self.actions = empty(*shape, dtype=torch.int64)
        self.rewards, self.episode_starts = empty(*shape), empty(*shape)
        self.values, self.log_probs = empty(*shape), empty(*shape)
        self.advantages, self.returns = empty(*shape), empty(*shape)
        self.honest = empty(*shape, dtype=torch.bool) if self.team.faulty else None
        per_lane = (self.buffer_size, lanes)
        self.voting = empty(*per_lane, dtype=torch.bool) if self.team.deliberates else None
        self.entities = empty(*per_lane, dtype=torch.int64) if self.team.entities else None
        self.costs = empty(*per_lane, costs)
        self.cost_values = empty(self.buffer_size + 1, self.n_envs, costs)
        self.cost_returns = empty(*shape, costs)
        self.unit = torch.ones((), dtype=torch.float64, device=self.device)
        self._ended = empty(*shape, dtype=torch.bool)
        self._step = 0

    def reset(self) -> None:
        """Begin to fill the buffer anew."""
        self._step = 0

    def add(
        self,
        observations: Tensor,
        actions: Tensor,
        rewards: Tensor,
        episode_starts: Tensor,
        values: Tensor,
        log_probs: Tensor,
        facts: Facts,
    ) -> None:
        """Write one step.

        Args:
            observations: (n_envs, width) float32
            actions: (n_envs,) int64
            rewards: (n_envs,) float32
            episode_starts: (n_envs,) float32
            values: Of the reward, then of each cost.  # (n_envs, 1 + costs) float32
            log_probs: (n_envs,) float32
            facts: What the step was.
        """
        step, self._step = self._step, self._step + 1
        self.observations[step] = observations
        self.actions[step] = actions
        self.rewards[step] = rewards
        self.episode_starts[step] = episode_starts
        self.values[step], self.cost_values[step] = values[:, 0], values[:, 1:]
        self.log_probs[step] = log_probs
        if self.honest is not None:
            self.honest[step] = ~facts.faulty.flatten()
        if self.voting is not None:
            self.voting[step] = facts.voting
        if self.entities is not None and facts.entities is not None:
            self.entities[step] = facts.entities
        self.costs[step] = facts.costs

    def compute_returns_and_advantage(self, last_values: Tensor, dones: Tensor) -> None:
        """Generalised advantages of the rewards, and their returns.

        Args:
            last_values: Values of the observations after the last step, of the reward and of
                each cost.  # (n_envs, 1 + costs) float32
            dones: Whether the last step ended the episode.  # (n_envs,) float32
        """
        self._ended[:-1], self._ended[-1] = self.episode_starts[1:] > 0, dones > 0
        self.cost_values[-1] = last_values[:, 1:]
        discounts = self._discounts(self.gamma, self.credit.within_event)
        if self.credit.path == "entity":
            self._events = self._next_events()
            self.advantages = entity_advantages(
                self.rewards, self.values, self._events, discounts, self.gae_lambda
            )
        else:
            self.advantages = lane_advantages(
                self.rewards,
                self.values,
                last_values[:, 0],
                discounts * ~self._ended,
                self.gae_lambda,
            )
        torch.add(self.advantages, self.values, out=self.returns)
        if self.credit.normalize_returns:
            self._normalize_returns()

    def price(self, multipliers: Float64Array) -> None:
        """Make the advantages those of the Lagrangian, and the returns of the costs.

        See :meth:`marl_stl_agents.buffers.rollout.TeamRolloutBuffer.price`.

        Args:
            multipliers: The price of each specification.  # (costs,) float64
        """
        counted = self._chosen(self.advantages).double()
        deviation = counted.std(correction=0) + _EPSILON
        mixed = (self.advantages.double() - counted.mean()) / deviation
        for i, price in enumerate(multipliers.tolist()):
            advantages = self._cost_advantages(i)
            self.cost_returns[..., i] = advantages + self.cost_values[:-1, :, i]
            mixed -= advantages * price
        self.advantages = (mixed / (1.0 + float(multipliers.sum()))).float()

    def get(self, batch_size: int) -> Iterator[RolloutBufferSamples]:
        """One pass over all honest transitions, in random minibatches.

        With costs the returns are those of the reward and of each cost,
        (batch, 1 + costs) float32.
        """
        returns = self.returns
        if self.credit.costs:
            returns = torch.cat([returns[..., None], self.cost_returns], dim=-1)
        kept = (self.observations, self.actions, self.values, self.log_probs, self.advantages)
        flat = [tensor.flatten(0, 1) for tensor in (*kept, returns)]
        rows = self._rows
        count = len(flat[0]) if rows is None else len(rows)
        order = torch.randperm(count, device=self.device)
        for part in torch.split(order if rows is None else rows[order], batch_size):
            yield RolloutBufferSamples(*(tensor[part] for tensor in flat))

    def learned_from(self) -> tuple[Tensor, Tensor, Tensor]:
        """Observations, values and returns of the honest transitions.

        # (transitions, width), (transitions,), (transitions,) float32
        """
        return (
            self._chosen(self.observations),
            self._chosen(self.values),
            self._chosen(self.returns),
        )

    def _chosen(self, tensor: Tensor) -> Tensor:
        """What belongs to honest transitions.  # (transitions, ...)."""
        flat, rows = tensor.flatten(0, 1), self._rows
        return flat if rows is None else flat[rows]

    @property
    def _rows(self) -> Tensor | None:
        """The honest transitions; None for all. Their number is known: the device is not asked."""
        if self.honest is None:
            return None
        count = self.honest.numel() // self.team.agents * (self.team.agents - self.team.faulty)
        return (~self.honest.flatten()).byte().argsort(stable=True)[:count]

    def _discounts(self, between_events: float, within_event: float) -> Tensor:
        """Discount of what follows each step, ends aside.  # (steps, n_envs) float32."""
        discounts = torch.full_like(self.rewards, between_events, dtype=torch.float64)
        if self.voting is None:
            return discounts
        return torch.where(self._of_sensors(self.voting), discounts, within_event)

    def _of_sensors(self, per_lane: Tensor) -> Tensor:
        return per_lane.repeat_interleave(self.team.agents, dim=1)

    def _next_events(self) -> tuple[Tensor, Tensor]:
        if self.entities is None:
            raise TypeError("credit along entities needs their number")
        ended = self._ended[:, :: self.team.agents]
        following, over = next_events(self.entities, ended, self.team.entities)
        return self._of_sensors(following), self._of_sensors(over)

    def _cost_advantages(self, cost: int) -> Tensor:
        """The advantages of one cost.  # (steps, n_envs) float32."""
        costs, values = self._of_sensors(self.costs[..., cost]), self.cost_values[..., cost]
        if self.credit.path == "entity" and self.credit.entity_costs[cost]:
            undiscounted = torch.ones_like(costs)
            return entity_advantages(
                costs, values[:-1], self._events, undiscounted, self.gae_lambda, 0.0
            )
        discounts = self._discounts(self.credit.cost_discount, 1.0) * ~self._ended
        return lane_advantages(costs, values[:-1], values[-1], discounts, self.gae_lambda)

    def _normalize_returns(self) -> None:
        exact, counted = self.returns.double(), self._chosen(self.returns).double()
        deviation = counted.std(correction=0)
        self.unit.copy_(torch.where(deviation > _EPSILON, deviation + _EPSILON, 1.0))
        self.returns.copy_((exact - counted.mean()) / self.unit)

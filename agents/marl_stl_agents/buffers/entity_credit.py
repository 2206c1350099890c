"""Advantages along an entity's own events, where actions bear on nothing else."""

from __future__ import annotations

import numpy as np
import torch

from marl_stl_agents.buffers.rollout import TeamRolloutBuffer
from marl_stl_env.envs.base import LastStep
from marl_stl_env.errors import TableError
from marl_stl_env.types import AnyArray, Float32Array, IntArray


class EntityRolloutBuffer(TeamRolloutBuffer):
    """A rollout in which an action answers for the later events of its own entity alone.

    In a response an action changes what comes next for the event's entity and, but for the
    analyst's budget, for no other. The rewards of all other entities are noise to it, and most of
    a lane's later events are theirs. So generalised advantages (Schulman et al. 2016) run along
    the events of each entity, and the discount counts from one of them to the next. Where the
    rollout or the episode has no later event of the entity, it is taken to be worth what this one
    is.
    """

    def reset(self) -> None:
        """Forget all transitions."""
        super().reset()
        self.entities: IntArray = np.zeros((self.buffer_size, self.n_envs), dtype=np.int64)

    def record(self, step: LastStep) -> None:
        """Store the facts of the step.

        Raises:
            TableError: If the table names no entities.
        """
        super().record(step)
        if step.entities is None:
            raise TableError("credit='entity': the table names no entities; use credit='lane'")
        self.entities[self.pos] = step.entities

    def compute_returns_and_advantage(
        self,
        last_values: torch.Tensor,  # noqa: ARG002 - of other entities
        dones: AnyArray,
    ) -> None:
        """Generalised advantages along each entity's events.

        Args:
            last_values: Not used: values of the observations after the rollout.
            dones: Whether the last step ended an episode.  # (n_envs,) bool
        """
        ends = np.vstack([self.episode_starts[1:] > 0, dones[None].astype(np.bool_)])
        self.advantages = entity_advantages(
            self.rewards, self.values, self.entities, ends, self.gamma, self.gae_lambda
        )
        self.returns = self.advantages + self.values


def entity_advantages(
    rewards: Float32Array,
    values: Float32Array,
    entities: IntArray,
    ends: AnyArray,
    discount: float,
    gae_lambda: float,
) -> Float32Array:
    """Generalised advantages along each entity's events.

    Args:
        rewards: Rewards.  # (steps, n_envs) float32
        values: Values.  # (steps, n_envs) float32
        entities: The entity of each event.  # (steps, n_envs) int64
        ends: Whether the step ended an episode.  # (steps, n_envs) bool
        discount: From one event of an entity to its next.
        gae_lambda: Lambda, likewise.

    Returns:
        Advantages.  # (steps, n_envs) float32
    """
    steps, envs = rewards.shape
    names, codes = np.unique(entities, return_inverse=True)
    codes = codes.reshape(steps, envs)
    every = np.arange(envs)
    later_value = np.full((envs, len(names)), np.nan, np.float32)
    later_advantage = np.zeros((envs, len(names)), np.float32)
    advantages = np.empty_like(rewards)
    for step in reversed(range(steps)):
        later_value[ends[step]], later_advantage[ends[step]] = np.nan, 0.0
        at = (every, codes[step])
        following = np.where(np.isnan(later_value[at]), values[step], later_value[at])
        error = rewards[step] + discount * following - values[step]
        advantages[step] = error + discount * gae_lambda * later_advantage[at]
        later_value[at], later_advantage[at] = values[step], advantages[step]
    return advantages

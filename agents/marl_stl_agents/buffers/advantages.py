"""Advantages of rewards and of costs, along a lane or along an entity's own events."""

from __future__ import annotations

import numpy as np

from marl_stl_env.types import AnyArray, BoolArray, Float32Array, IntArray


def lane_advantages(
    rewards: Float32Array, values: Float32Array, discounts: AnyArray, gae_lambda: float
) -> Float32Array:
    """Generalised advantages along each lane (Schulman et al. 2016).

    Args:
        rewards: Rewards of the steps.  # (steps, n_envs) float32
        values: Values before every step and after the last.  # (steps + 1, n_envs) float32
        discounts: Discount of what follows each step, 0 at an episode's end.  # (steps, n_envs)
        gae_lambda: Lambda.

    Returns:
        Advantages.  # (steps, n_envs) float32
    """
    advantages = np.zeros_like(rewards)
    advantage = np.zeros(rewards.shape[1])
    for step in reversed(range(len(rewards))):
        error = rewards[step] + discounts[step] * values[step + 1] - values[step]
        advantage = error + discounts[step] * gae_lambda * advantage
        advantages[step] = advantage
    return advantages


def entity_advantages(
    rewards: Float32Array,
    values: Float32Array,
    entities: IntArray,
    ends: BoolArray,
    discounts: AnyArray,
    gae_lambda: float,
    after_end: float | None = None,
) -> Float32Array:
    """Generalised advantages along the events of each entity.

    In a response an action changes what comes next for the event's entity and, but for shared
    budgets, for no other. What all other entities bring is noise to it, and most of a lane's
    later events are theirs. Where the rollout has no later event of the entity, it is taken to be
    worth what this one is.

    Args:
        rewards: Rewards of the steps.  # (steps, n_envs) float32
        values: Values before every step.  # (steps, n_envs) float32
        entities: The entity of each step's event.  # (steps, n_envs) int64
        ends: Whether the step ended an episode.  # (steps, n_envs) bool
        discounts: From each step to the entity's next one.  # (steps, n_envs)
        gae_lambda: Lambda, likewise.
        after_end: What follows an entity's last event of an episode that ended; None takes the
            value of that event, as at the end of the rollout.

    Returns:
        Advantages.  # (steps, n_envs) float32
    """
    steps, envs = rewards.shape
    names, codes = np.unique(entities, return_inverse=True)
    codes = codes.reshape(steps, envs)
    every = np.arange(envs)
    unknown = np.nan if after_end is None else after_end
    later_value = np.full((envs, len(names)), np.nan, np.float32)
    later_advantage = np.zeros((envs, len(names)), np.float32)
    advantages = np.empty_like(rewards)
    for step in reversed(range(steps)):
        later_value[ends[step]], later_advantage[ends[step]] = unknown, 0.0
        at = (every, codes[step])
        following = np.where(np.isnan(later_value[at]), values[step], later_value[at])
        error = rewards[step] + discounts[step] * following - values[step]
        advantages[step] = error + discounts[step] * gae_lambda * later_advantage[at]
        later_value[at], later_advantage[at] = values[step], advantages[step]
    return advantages

"""Generalised advantages on a device; :mod:`marl_stl_agents.buffers.advantages` in torch."""

from __future__ import annotations

import torch
from torch import Tensor


def lane_advantages(
    rewards: Tensor, values: Tensor, last_values: Tensor, discounts: Tensor, gae_lambda: float
) -> Tensor:
    """Generalised advantages along each lane (Schulman et al. 2016, equation 16).

    Args:
        rewards: Rewards of the steps.  # (steps, n_envs) float32
        values: Values before every step.  # (steps, n_envs) float32
        last_values: Values after the last step.  # (n_envs,) float32
        discounts: Discount of what follows each step, 0 at an episode's end.
            # (steps, n_envs) float32
        gae_lambda: Lambda.

    Returns:
        Advantages.  # (steps, n_envs) float32
    """
    advantages, following = torch.empty_like(rewards), last_values
    running = torch.zeros_like(last_values, dtype=torch.float64)
    for step in reversed(range(len(rewards))):
        discount = discounts[step].double()
        error = rewards[step] + discount * following - values[step]
        running = error + discount * gae_lambda * running
        advantages[step], following = running, values[step]
    return advantages


def next_events(entities: Tensor, ended: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Where each entity's events go on within the rollout and the episode.

    Args:
        entities: The entity of each step's event.  # (steps, lanes) int64
        ended: Whether the step ended an episode.  # (steps, lanes) bool
        count: Entities that there are.

    Returns:
        The step of the entity's next event, -1 where there is none (steps, lanes) int64, and
        whether the episode ended within the rollout (steps, lanes) bool.
    """
    episode = ended.cumsum(dim=0) - ended * 1
    keys, order = (episode * count + entities).sort(dim=0, stable=True)
    follows = torch.full_like(order, -1)
    follows[:-1] = torch.where(keys[1:] == keys[:-1], order[1:], -1)
    following = torch.empty_like(order).scatter_(0, order, follows)
    return following, episode < episode[-1:] + ended[-1:] * 1


def entity_advantages(
    rewards: Tensor,
    values: Tensor,
    events: tuple[Tensor, Tensor],
    discounts: Tensor,
    gae_lambda: float,
    after_end: float | None = None,
) -> Tensor:
    """Generalised advantages along the events of each entity.

    Args:
        rewards: Rewards of the steps.  # (steps, n_envs) float32
        values: Values before every step.  # (steps, n_envs) float32
        events: What :func:`next_events` gives, for every sensor.  # (steps, n_envs) each
        discounts: From each step to the entity's next one.  # (steps, n_envs) float32
        gae_lambda: Lambda, likewise.
        after_end: What follows an entity's last event of an episode that ended; None takes the
            value of that event, as at the end of the rollout.

    Returns:
        Advantages.  # (steps, n_envs) float32
    """
    advantages = torch.empty_like(rewards)
    following, over = events
    places, known = following.clamp(min=0), following >= 0
    for step in reversed(range(len(rewards))):
        place, discount = places[step : step + 1], discounts[step].double()
        nothing = values[step]
        if after_end is not None:
            nothing = torch.where(over[step], after_end, nothing)
        # Where there is no later event, place 0 is read and not used.
        value = torch.where(known[step], values.gather(0, place)[0], nothing)
        later = torch.where(known[step], advantages.gather(0, place)[0], 0.0)
        error = rewards[step] + discount * value - values[step]
        advantages[step] = error + discount * gae_lambda * later
    return advantages

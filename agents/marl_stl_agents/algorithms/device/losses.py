"""The losses of a minibatch, without a point at which the host waits for the device."""

from __future__ import annotations

from typing import NamedTuple

import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from torch import Tensor
from torch.nn import functional

from marl_stl_agents.algorithms.device.heads import heads, of_actions


class Figures(NamedTuple):
    """What one minibatch is worth.  # each () float32."""

    loss: Tensor
    policy_gradient_loss: Tensor
    value_loss: Tensor
    entropy_loss: Tensor
    approx_kl: Tensor
    clip_fraction: Tensor


def losses(
    policy: ActorCriticPolicy,
    batch: RolloutBufferSamples,
    clip: float,
    weights: tuple[float, float],
    *,
    normalized: bool,
) -> Figures:
    """The clipped objective (Schulman et al. 2017, equation 9) and what is logged with it.

    Args:
        policy: The policy of every sensor.
        batch: Transitions; the returns of the reward, then of each cost.
            # (batch, 1 + costs) float32, or (batch,) without costs
        clip: Clipping of the probability ratio.
        weights: Of the entropy bonus and of the value loss, which is the mean over all heads.
        normalized: Whether the advantages get mean 0 and deviation 1.
    """
    log_probs, values = heads(policy, batch.observations)
    entropy = -(log_probs.exp() * log_probs).sum(dim=1)
    advantages = batch.advantages
    if normalized and len(advantages) > 1:
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    log_ratio = of_actions(log_probs, batch.actions) - batch.old_log_prob
    ratio = log_ratio.exp()
    clipped = advantages * ratio.clamp(1.0 - clip, 1.0 + clip)
    policy_loss = -torch.min(advantages * ratio, clipped).mean()
    value_loss = functional.mse_loss(batch.returns.reshape(values.shape), values)
    entropy_loss = -entropy.mean()
    return Figures(
        policy_loss + weights[0] * entropy_loss + weights[1] * value_loss,
        policy_loss,
        value_loss,
        entropy_loss,
        ((ratio - 1.0) - log_ratio).mean().detach(),
        ((ratio - 1.0).abs() > clip).float().mean(),
    )

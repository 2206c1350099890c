"""What a policy's networks compute, without a point at which the host waits for the device."""

from __future__ import annotations

import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor
from torch.nn import functional


def heads(policy: ActorCriticPolicy, observations: Tensor) -> tuple[Tensor, Tensor]:
    """The outputs of both networks.

    SB3's own way there builds a torch distribution, whose check of its arguments makes the host
    wait for CUDA.

    Args:
        policy: The policy of every sensor.
        observations: (batch, width) float32

    Returns:
        Log probabilities (batch, actions) float32, and values of the reward and of each cost
        (batch, 1 + costs) float32.
    """
    latent_pi, latent_vf = policy.mlp_extractor(policy.extract_features(observations))
    log_probs = functional.log_softmax(policy.action_net(latent_pi), dim=1)
    return log_probs, policy.value_net(latent_vf)


def sample(policy: ActorCriticPolicy, observations: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Actions, values and log probabilities, as the policy's ``forward`` gives them.

    ``torch.multinomial`` makes the host wait for CUDA; the exponential race below is what it does
    inside, so that the same random state gives the same actions.

    Args:
        policy: The policy of every sensor.
        observations: (batch, width) float32

    Returns:
        Actions (batch,) int64, values (batch, 1 + costs) float32, log probabilities (batch,)
        float32.
    """
    log_probs, values = heads(policy, observations)
    probs = log_probs.exp()
    actions = (probs / torch.empty_like(probs).exponential_()).argmax(dim=1)
    return actions, values, of_actions(log_probs, actions)


def of_actions(log_probs: Tensor, actions: Tensor) -> Tensor:
    """The log probability of each action.  # (batch,) float32."""
    return log_probs.gather(1, actions[:, None])[:, 0]

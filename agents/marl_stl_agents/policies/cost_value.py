"""A policy whose value function also expects the costs of specifications."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import Tensor, nn


class CostValuePolicy(ActorCriticPolicy):
    """SB3's policy whose value function has one more output for the cost of each specification.

    Only :meth:`evaluate_actions`, with which PPO learns, gives all outputs, the reward's first.

    Args:
        *args: As for SB3's policy.
        specs: Number of specifications.
        **settings: As for SB3's policy.

    Attributes:
        specs: Number of specifications.
    """

    def __init__(self, *args: Any, specs: int, **settings: Any) -> None:
        self.specs = specs
        super().__init__(*args, **settings)

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        self.value_net = nn.Linear(self.mlp_extractor.latent_dim_vf, 1 + self.specs)
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

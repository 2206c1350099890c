"""The policy of a team: one network or one for each sensor, cost heads, masks.

Each part is added to SB3's actor-critic by itself, so that every combination is the same class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import Tensor, nn

from marl_stl_agents.policies.encoding import code_columns
from marl_stl_agents.policies.independent import SensorNetworks
from marl_stl_env.stl.shield import FALLBACK
from marl_stl_env.types import ACTIONS

#: Logit of an action that is not allowed.
FORBIDDEN = -1e8
#: For each action the other one that becomes it when it is masked; itself where there is none.
FALLS_BACK_TO = [
    next((i for i, fallback in enumerate(FALLBACK.tolist()) if fallback == a != i), a)
    for a in range(ACTIONS)
]


class SharedTrunk(nn.Module):
    """Hidden layers that actor and critic have in common; it takes the place of ``MlpExtractor``.

    Args:
        inputs: Columns of the features.
        hidden: Units of each layer.
        activation: Makes what follows each layer.
        critic_only: Columns that the layers see as 0; the critic gets them beside the hidden units.
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        activation: Callable[[], nn.Module],
        critic_only: Sequence[int] = (),
    ) -> None:
        super().__init__()
        widths, layers = [inputs, *hidden], list[nn.Module]()
        for before, after in zip(widths, hidden, strict=False):
            layers += [nn.Linear(before, after), activation()]
        self.layers = nn.Sequential(*layers)
        self.critic_only: Tensor
        columns = torch.tensor(list(critic_only), dtype=torch.int64)
        self.register_buffer("critic_only", columns, persistent=False)
        self.visible: Tensor
        self.register_buffer("visible", _visible(inputs, critic_only), persistent=False)
        self.latent_dim_pi = widths[-1]
        self.latent_dim_vf = widths[-1] + len(critic_only)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """What actor and critic get.  # (batch, latent_dim_pi), (batch, latent_dim_vf) float32."""
        hidden = self.forward_actor(features)
        return hidden, self._with_labels(hidden, features)

    def forward_actor(self, features: Tensor) -> Tensor:
        """The hidden units.  # (batch, latent_dim_pi) float32."""
        seen = features * self.visible if len(self.critic_only) else features
        hidden: Tensor = self.layers(seen)
        return hidden

    def forward_critic(self, features: Tensor) -> Tensor:
        """The hidden units, and what the critic alone sees.  # (batch, latent_dim_vf) float32."""
        return self._with_labels(self.forward_actor(features), features)

    def _with_labels(self, hidden: Tensor, features: Tensor) -> Tensor:
        if not len(self.critic_only):
            return hidden
        return torch.cat([hidden, features.index_select(1, self.critic_only)], dim=1)


class ActorView(nn.Module):
    """What the actor and the critic each take from the same features.

    It stands around SB3's ``MlpExtractor``, or around what takes its place.

    Args:
        networks: The hidden layers of both.
        width: Columns of the features.
        critic_only: Columns that the actor sees as 0.
        mask: Columns of the action mask, which are handed on behind what the actor computes; none
            without a mask.
    """

    def __init__(
        self, networks: Any, width: int, critic_only: Sequence[int], mask: Sequence[int]
    ) -> None:
        super().__init__()
        self.networks = networks
        self._masked, self._alike = bool(mask), not critic_only
        # Tensors: a list would be made one in every call, which takes as long as a layer.
        self.columns: Tensor
        places = torch.tensor(list(mask), dtype=torch.int64)
        self.register_buffer("columns", places, persistent=False)
        self.visible: Tensor
        self.register_buffer("visible", _visible(width, critic_only), persistent=False)
        self.latent_dim_pi = networks.latent_dim_pi + len(mask)
        self.latent_dim_vf = networks.latent_dim_vf

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """What actor and critic compute.  # (batch, width) float32."""
        if self._alike:
            hidden, critic = self.networks(features)
            return self._with_mask(hidden, features), critic
        return self.forward_actor(features), self.forward_critic(features)

    def forward_actor(self, features: Tensor) -> Tensor:
        """The actor's hidden units and the action mask.  # (batch, latent_dim_pi) float32."""
        hidden: Tensor = self.networks.forward_actor(features * self.visible)
        return self._with_mask(hidden, features)

    def _with_mask(self, hidden: Tensor, features: Tensor) -> Tensor:
        if not self._masked:
            return hidden
        return torch.cat([hidden, features.index_select(1, self.columns)], dim=1)

    def forward_critic(self, features: Tensor) -> Tensor:
        """The critic's hidden units.  # (batch, latent_dim_vf) float32."""
        hidden: Tensor = self.networks.forward_critic(features)
        return hidden


class MaskedLogits(nn.Module):
    """Logits of the actions that are allowed; the others get probability 0.

    What an action would have had goes to the one that a shield carries out in its place (Block for
    Quarantine, Allow for Alert). So a sensor that would isolate a host blocks it where it may not,
    without having to learn that.

    Args:
        head: From hidden units to logits.
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head
        self.fallback: Tensor
        self.register_buffer("fallback", torch.tensor(FALLS_BACK_TO), persistent=False)

    def forward(self, latent: Tensor) -> Tensor:
        """Masked logits.

        Args:
            latent: Hidden units, then 1 for each allowed action.  # (batch, units + actions)

        Returns:
            (batch, actions) float32
        """
        logits: Tensor = self.head(latent[:, :-ACTIONS])
        allowed = latent[:, -ACTIONS:] > 0.5
        masked = torch.where(allowed, FORBIDDEN, logits)
        moved = masked.index_select(1, self.fallback)
        return torch.where(allowed, _log_of_sum(logits, moved), FORBIDDEN)


def _visible(width: int, critic_only: Sequence[int]) -> Tensor:
    """1 for the columns that the actor sees, 0 for the others.  # (width,) float32."""
    visible = torch.ones(width)
    visible[list(critic_only)] = 0.0
    return visible


def _log_of_sum(a: Tensor, b: Tensor) -> Tensor:
    """``log(exp(a) + exp(b))``."""
    if torch.compiler.is_exporting():  # ONNX would get this formula as it stands, which overflows
        return torch.maximum(a, b) + (-(a - b).abs()).exp().log1p()
    return torch.logaddexp(a, b)


class TeamPolicy(ActorCriticPolicy):
    """SB3's policy for all sensors of a team.

    The sensors of independent networks share one optimiser, which is Adam and treats every
    parameter by itself. What PPO does across a minibatch still spans all sensors: the
    normalisation of advantages and the clipping of the gradient's norm.

    Args:
        args: Of SB3's policy.
        sensors: Networks, one for each sensor; 0 shares one among all.
        context: Columns after the features of an observation, the indicator of the sensor first.
        costs: Outputs of the value function beside the reward's, one for each priced specification.
        critic_only: Columns of an observation that hold labels: the actor sees 0 there.
        mask: Columns of an observation with the action mask; none without a shield.
        shared_trunk: Whether actor and critic have their hidden layers in common.
        settings: Of SB3's policy.

    Attributes:
        sensors: Networks, one for each sensor; 0 with one for all.
        context: Columns after the features of an observation.
        costs: Outputs of the value function beside the reward's.
        critic_only: Columns that the actor sees as 0.
        mask: Columns with the action mask.
        shared_trunk: Whether actor and critic have their hidden layers in common.
    """

    def __init__(
        self,
        *args: Any,
        sensors: int = 0,
        context: int = 0,
        costs: int = 0,
        critic_only: Sequence[int] = (),
        mask: Sequence[int] = (),
        shared_trunk: bool = False,
        **settings: Any,
    ) -> None:
        self.sensors, self.context, self.costs = sensors, context, costs
        self.critic_only, self.mask = tuple(critic_only), tuple(mask)
        self.shared_trunk = shared_trunk
        super().__init__(*args, **settings)

    def _build_mlp_extractor(self) -> None:
        labels = code_columns(self.features_extractor, self.critic_only)
        if self.sensors:
            first = spaces.flatdim(self.observation_space) - self.context
            indicator = code_columns(self.features_extractor, range(first, first + self.sensors))
            hidden = [int(units) for units in self.net_arch]
            networks: nn.Module = SensorNetworks(
                self.features_dim, hidden, indicator, 1 + self.costs
            )
        elif self.shared_trunk:
            hidden = [int(units) for units in self.net_arch]
            networks = SharedTrunk(self.features_dim, hidden, self.activation_fn, labels)
            labels = []  # the trunk keeps them from the actor
        else:
            super()._build_mlp_extractor()
            networks = self.mlp_extractor
        if labels or self.mask:
            mask = code_columns(self.features_extractor, self.mask)
            networks = ActorView(networks, self.features_dim, labels, mask)
        self.mlp_extractor = cast("Any", networks)

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        if not (self.sensors or self.costs or self.mask):
            return
        heads = cast("Any", self)
        if self.sensors:
            heads.action_net = heads.value_net = nn.Identity()
        elif self.costs:
            self.value_net = nn.Linear(self.mlp_extractor.latent_dim_vf, 1 + self.costs)
            self.init_weights(self.value_net, gain=1)
        if self.mask:
            heads.action_net = MaskedLogits(self._logits())
        optimizer: Any = self.optimizer_class
        self.optimizer = optimizer(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)

    def _logits(self) -> nn.Module:
        """From the actor's hidden units to logits."""
        if self.sensors:
            return nn.Identity()
        head = nn.Linear(self.mlp_extractor.latent_dim_pi - ACTIONS, ACTIONS)
        self.init_weights(head, gain=0.01)
        return head

    def sharpen(self, factor: float) -> None:
        """Multiply the logits: what is most probable becomes more so.

        Args:
            factor: Above 1 to sharpen.
        """
        head: Any = self.action_net.head if self.mask else self.action_net
        if self.sensors:
            networks: Any = self.mlp_extractor
            head = (networks.networks if isinstance(networks, ActorView) else networks).actor[-1]
        with torch.no_grad():
            head.weight.mul_(factor)
            head.bias.mul_(factor)

    def forward(self, obs: Tensor, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Actions, values of the reward and log probabilities."""
        actions, values, log_prob = super().forward(obs, deterministic)
        return actions, values[:, :1], log_prob

    def predict_values(self, obs: PyTorchObs) -> Tensor:
        """Values of the reward.  # (batch, 1) float32."""
        return super().predict_values(obs)[:, :1]

    def predict_costs(self, obs: PyTorchObs) -> Tensor:
        """Expected costs of the priced specifications.  # (batch, costs) float32."""
        return super().predict_values(obs)[:, 1:]

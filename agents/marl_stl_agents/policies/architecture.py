"""The shape of a policy in plain numbers: enough to build it without the data it was trained on."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, TypeAlias

import torch
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.policies import ActorCriticPolicy

from marl_stl_agents.policies.encoding import PiecewiseLinearEncoding
from marl_stl_agents.policies.team import TeamPolicy
from marl_stl_env.errors import ConfigError
from marl_stl_env.types import ACTIONS
from marl_stl_env.validation import check_range, check_types

#: "shared" is one network for all sensors, "independent" one for each, "lstm" remembers the events
#: of its episode.
PolicyKind: TypeAlias = Literal["shared", "independent", "lstm"]

#: Least and greatest value of every number.
_RANGES = {
    "observation_width": (1, 2**16),
    "hidden_width": (0, 2**14),
    "depth": (0, 64),
    "agents": (0, 64),
    "context_columns": (0, 2**16),
    "costs": (0, 1024),
}


@dataclass(frozen=True)
class Architecture:
    """The shape of a policy.

    Attributes:
        kind: Kind of network.
        observation_width: Columns of one sensor's observation.
        hidden_width: Units of each hidden layer, and of each memory; 0 without any.
        depth: Hidden layers of the policy and of the value function.
        shared_trunk: Whether both have their hidden layers in common.
        agents: Networks of an "independent" policy, one a sensor; else 0.
        context_columns: Columns of an "independent" policy's observation after the table's
            features; the one-hot code of the sensor comes first among them. Else 0.
        costs: Cost heads, one for each priced specification.
        critic_only: Columns of an observation that the actor does not see.
        mask: Columns of an observation with the action mask; none without a shield.
        bins: Bins of each column of an observation in the piecewise-linear encoding; none without
            an encoding.

    Raises:
        ConfigError: If a number is out of range or contradicts another one.
    """

    kind: PolicyKind
    observation_width: int
    hidden_width: int
    depth: int
    agents: int = 0
    context_columns: int = 0
    costs: int = 0
    critic_only: tuple[int, ...] = ()
    mask: tuple[int, ...] = ()
    bins: tuple[int, ...] = ()
    shared_trunk: bool = False

    def __post_init__(self) -> None:
        check_types(self)
        for name, (least, greatest) in _RANGES.items():
            check_range(name, getattr(self, name), least, greatest)
        if (self.hidden_width > 0) is not (self.depth > 0 or self.kind == "lstm"):
            raise ConfigError(
                f"hidden_width={self.hidden_width} contradicts depth={self.depth}, "
                f"kind={self.kind!r}"
            )
        if (self.agents > 0) is not (self.kind == "independent"):
            raise ConfigError(f"agents={self.agents} contradicts kind={self.kind!r}")
        if self.shared_trunk and self.kind != "shared":
            raise ConfigError(
                f"shared_trunk=True contradicts kind={self.kind!r}; use shared_trunk=False"
            )
        for column in (*self.critic_only, *self.mask):
            check_range("column", column, 0, self.observation_width - 1)
        if len(self.mask) not in {0, ACTIONS}:
            raise ConfigError(f"mask has {len(self.mask)} columns: it is one for each action")
        if not self.agents <= self.context_columns <= self.observation_width:
            raise ConfigError(
                f"context_columns={self.context_columns} holds the one-hot code of "
                f"agents={self.agents} and is part of observation_width={self.observation_width}"
            )
        if self.bins and len(self.bins) != self.observation_width:
            raise ConfigError(
                f"bins has {len(self.bins)} numbers, one for each of observation_width="
                f"{self.observation_width} columns is needed"
            )
        for bins in self.bins:
            check_range("bins", bins, 1, 2**16)

    def differences(self, other: Architecture) -> str:
        """What the other one has differently, as text; empty where they are the same."""
        return ", ".join(
            f"{one.name}={getattr(self, one.name)!r} instead of {getattr(other, one.name)!r}"
            for one in fields(self)
            if getattr(self, one.name) != getattr(other, one.name)
        )


def architecture_of(policy: ActorCriticPolicy) -> Architecture:
    """The shape of a policy that was built already."""
    extractor = policy.features_extractor
    bins: tuple[int, ...] = ()
    if isinstance(extractor, PiecewiseLinearEncoding):
        bins = tuple(torch.bincount(extractor.columns).tolist())
    hidden = [int(width) for width in policy.net_arch]
    team = policy if isinstance(policy, TeamPolicy) else None
    if isinstance(policy, RecurrentActorCriticPolicy):
        kind: PolicyKind = "lstm"
        width = policy.lstm_actor.hidden_size
    else:
        kind = "independent" if team is not None and team.sensors else "shared"
        width = hidden[0] if hidden else 0
    shape = policy.observation_space.shape
    if shape is None:
        raise ConfigError("a policy's observations are rows of numbers")
    return Architecture(
        kind=kind,
        observation_width=shape[0],
        hidden_width=width,
        depth=len(hidden),
        agents=team.sensors if team else 0,
        context_columns=team.context if team else 0,
        costs=team.costs if team else 0,
        critic_only=team.critic_only if team else (),
        mask=team.mask if team else (),
        bins=bins,
        shared_trunk=team.shared_trunk if team else False,
    )

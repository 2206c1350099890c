"""From settings and data, or from a stated architecture, to a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.policies import ActorCriticPolicy

from marl_stl_agents.config import PPOConfig, TrainConfig
from marl_stl_agents.policies.architecture import Architecture, PolicyKind
from marl_stl_agents.policies.encoding import PiecewiseLinearEncoding, quantile_edges
from marl_stl_agents.policies.team import TeamPolicy
from marl_stl_env.config import EnvConfig
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.spec_monitor import specifications
from marl_stl_env.engine.spec_signals import needs_labels
from marl_stl_env.envs.spaces import action_space
from marl_stl_env.stl.enforcement import classify
from marl_stl_env.types import ACTIONS, Float32Array

#: Of the optimiser that SB3 makes with every policy; a trainer brings its own step size.
_STEP_SIZE = 1e-3


class NoOptimizer:
    """In place of the optimiser of a policy that does not learn."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        del args, settings


@dataclass(frozen=True, eq=False)
class Blueprint:
    """All that shapes a network.

    Attributes:
        architecture: Its sizes.
        edges: The edges of the encoding's bins, column by column; none without encoding.
    """

    architecture: Architecture
    edges: Sequence[Sequence[float]] = ()

    @property
    def policy_class(self) -> type[ActorCriticPolicy]:
        """The class of the network."""
        return RecurrentActorCriticPolicy if self.architecture.kind == "lstm" else TeamPolicy

    @property
    def settings(self) -> dict[str, Any]:
        """The network, as SB3's policies take it."""
        shape = self.architecture
        settings: dict[str, Any] = {
            "net_arch": [shape.hidden_width] * shape.depth,
            "activation_fn": partial(torch.nn.ReLU, inplace=True),
        }
        if self.edges:
            settings["features_extractor_class"] = PiecewiseLinearEncoding
            settings["features_extractor_kwargs"] = {"edges": self.edges}
        if shape.kind == "lstm":
            return settings | {"lstm_hidden_size": shape.hidden_width}
        return settings | {
            "sensors": shape.agents,
            "context": shape.context_columns,
            "costs": shape.costs,
            "critic_only": shape.critic_only,
            "mask": shape.mask,
            "shared_trunk": shape.shared_trunk,
        }

    def build(
        self, observation_space: spaces.Box, device: torch.device, *, learns: bool = True
    ) -> ActorCriticPolicy:
        """An untrained policy.

        Args:
            observation_space: The space of one sensor's observation.  # (width,)
            device: Where it lives.
            learns: Whether it gets an optimiser. A policy that only decides needs none, and the
                first one of a process imports torch's compiler, which takes a second.
        """
        settings = self.settings
        if not learns:
            settings |= {"optimizer_class": NoOptimizer, "ortho_init": False}
        policy = self.policy_class(
            observation_space, action_space(), lambda _: _STEP_SIZE, **settings
        )
        policy.set_training_mode(False)
        return policy.to(device)


def make_blueprint(
    config: TrainConfig, observation_space: spaces.Box, train: TrafficTable
) -> Blueprint:
    """The network that a run asks for.

    Args:
        config: The run.
        observation_space: The space of one sensor's observation.  # (width,)
        train: The scaled training split.
    """
    ppo, width = config.ppo, observation_space.shape[0]
    edges = bin_edges(ppo, observation_space, train.features)
    kind = _kind(config)
    independent = kind == "independent"
    architecture = Architecture(
        kind=kind,
        observation_width=width,
        hidden_width=ppo.width if ppo.depth or kind == "lstm" else 0,
        depth=ppo.depth,
        agents=config.env.agents if independent else 0,
        context_columns=width - train.features.shape[1] if independent else 0,
        costs=len(priced_specs(config.task)) if config.stl == "lagrangian" else 0,
        critic_only=() if kind == "lstm" else columns_with_labels(config.task, width),
        mask=() if kind == "lstm" else mask_columns(config.task, width),
        bins=tuple(len(column) - 1 for column in edges),
        shared_trunk=ppo.shared_trunk,
    )
    return Blueprint(architecture, edges)


def blank_blueprint(architecture: Architecture) -> Blueprint:
    """A network of these sizes whose encoding means nothing yet: to load a saved one into."""
    return Blueprint(architecture, [np.arange(bins + 1.0).tolist() for bins in architecture.bins])


def make_policy(
    config: TrainConfig, observation_space: spaces.Box, train: TrafficTable, device: torch.device
) -> ActorCriticPolicy:
    """The untrained policy of a run.

    Args:
        config: The run.
        observation_space: The space of one sensor's observation.  # (width,)
        train: The scaled training split.
        device: Where it lives.
    """
    return make_blueprint(config, observation_space, train).build(observation_space, device)


def bin_edges(
    config: PPOConfig, observation_space: spaces.Box, features: Float32Array
) -> list[tuple[float, ...]]:
    """The edges of the encoding's bins, column by column.

    Args:
        config: The trainer.
        observation_space: The space of one sensor's observation.  # (width,)
        features: The scaled features of the training split.  # (rows, features) float32
    """
    if not config.bins:
        return []
    lowest: Float32Array = observation_space.low.astype(np.float32)
    return quantile_edges(features, config.bins, lowest)


def priced_specs(task: EnvConfig) -> tuple[int, ...]:
    """The specifications that have a price in training, in the order of the environment's.

    With a shield they are those that it does not enforce.
    """
    specs = specifications(task)
    if not task.stl.shield:
        return tuple(range(len(specs)))
    priced = classify(specs).priced_names
    return tuple(i for i, one in enumerate(specs) if one.name in priced)


def columns_with_labels(task: EnvConfig, width: int) -> tuple[int, ...]:
    """Columns of an observation that no sensor can see once it is deployed.

    They show what is left of the specifications that count labels.

    Args:
        task: The environment.
        width: Columns of an observation.
    """
    if not task.stl.observe:
        return ()
    specs = specifications(task)
    first = width - len(specs) - len(mask_columns(task, width))
    return tuple(first + i for i, one in enumerate(specs) if needs_labels(one.signals))


def mask_columns(task: EnvConfig, width: int) -> tuple[int, ...]:
    """Columns of an observation with the action mask, the last ones; none without a shield.

    Args:
        task: The environment.
        width: Columns of an observation.
    """
    return tuple(range(width - ACTIONS, width)) if task.stl.shield else ()


def _kind(config: TrainConfig) -> PolicyKind:
    if config.ppo.policy == "lstm":
        return "lstm"
    return "independent" if config.ppo.sharing == "independent" else "shared"

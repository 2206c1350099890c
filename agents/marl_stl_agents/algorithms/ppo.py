"""Stable-Baselines3 PPO on the environment: one policy for all sensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib import RecurrentPPO
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3 import PPO
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecEnv, VecMonitor, VecNormalize

from marl_stl_agents.algorithms.device.env import DeviceVecEnv
from marl_stl_agents.algorithms.device.ppo import DevicePPO
from marl_stl_agents.algorithms.lagrangian import CostValuePolicy, LagrangianPPO
from marl_stl_agents.algorithms.recurrent import TeamRecurrentPPO
from marl_stl_agents.algorithms.shaping import SpecShaping
from marl_stl_agents.buffers.returns import buffer_class, within_event
from marl_stl_agents.buffers.rollout import TeamRolloutBuffer
from marl_stl_agents.checkpoints.store import Checkpoint, encoding_sizes, load_weights
from marl_stl_agents.config import Device, PPOConfig, TrainConfig
from marl_stl_agents.policies.encoding import PiecewiseLinearEncoding, quantile_edges
from marl_stl_agents.policies.independent import IndependentPolicy
from marl_stl_agents.policies.prototypes import (
    PrototypeEncoding,
    Prototypes,
    blank_prototypes,
    draw_prototypes,
)
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.spec_monitor import specifications
from marl_stl_env.envs.sb3 import TrafficVecEnv
from marl_stl_env.envs.spaces import action_space
from marl_stl_env.envs.supersuit import supersuit_vec_env
from marl_stl_env.errors import DeviceError
from marl_stl_env.types import Float32Array


def resolve_device(device: Device, threads: int) -> torch.device:
    """The device asked for, with torch's threads set.

    Raises:
        DeviceError: If CUDA was asked for and is not there.
    """
    torch.set_num_threads(threads)
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "device='cuda' was asked for, but torch finds no CUDA device; use --device cpu or "
            "auto, or install a CUDA build of torch"
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def make_vec_env(
    config: TrainConfig, table: TrafficTable | PreparedData | None = None
) -> VecNormalize:
    """The training environment, with episode statistics and, where asked for, scaled rewards.

    Args:
        config: The run.
        table: Prepared data, or a raw table, in place of what ``config.env.data`` names.
    """
    make = TrafficVecEnv if config.backend == "native" else supersuit_vec_env
    venv: VecEnv = VecMonitor(make(config.task, config.lanes, config.seed, table))
    if config.stl == "shape":
        venv = SpecShaping(venv, config.constraints, config.ppo.discount)
    return VecNormalize(
        venv,
        norm_obs=False,
        norm_reward=config.ppo.return_normalization == "running",
        gamma=config.ppo.discount,
    )


def make_trainer(
    config: TrainConfig, table: TrafficTable | PreparedData | None, device: torch.device
) -> OnPolicyAlgorithm:
    """The trainer on its environment, on the path that the configuration names.

    Args:
        config: The run.
        table: Prepared data, or a raw table, in place of what ``config.env.data`` names.
        device: Where the networks live, and on the backend "torch" the environment too.

    Raises:
        DeviceError: If the backend "torch" does not have what the environment asks for.
    """
    prepared = prepare(config.task, table)
    if config.backend == "torch":
        venv: VecEnv = DeviceVecEnv(config.task, config.lanes, config.seed, prepared, device)
    else:
        venv = make_vec_env(config, prepared)
    return make_model(config, venv, prepared.tables["train"], device)


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
    return quantile_edges(
        features, config.bins, observation_space.shape[0], values=config.edges == "values"
    )


def policy_settings(
    config: TrainConfig,
    edges: Sequence[Sequence[float]],
    context: int,
    prototypes: Prototypes | None = None,
) -> dict[str, Any]:
    """The network, as SB3's policies take it.

    Args:
        config: The run.
        edges: The edges of the encoding's bins, column by column; none without encoding.
        context: Columns of an observation after the table's features.
        prototypes: What every second sensor compares events with, if any does.
    """
    ppo = config.ppo
    settings: dict[str, Any] = {
        "net_arch": [ppo.width] * ppo.depth,
        "activation_fn": torch.nn.ReLU,
    }
    if edges:
        settings["features_extractor_class"] = PiecewiseLinearEncoding
        settings["features_extractor_kwargs"] = {"edges": edges}
    if prototypes is not None:
        settings["features_extractor_class"] = PrototypeEncoding
        settings["features_extractor_kwargs"]["prototypes"] = prototypes
    if ppo.policy == "lstm":
        settings["lstm_hidden_size"] = ppo.width
    if ppo.sharing == "independent":
        settings |= {"sensors": config.task.agents, "context": context}
    if specs := priced_specs(config):
        settings["specs"] = specs
    return settings


def priced_specs(config: TrainConfig) -> int:
    """How many specifications have a multiplier and a value function of their own."""
    return len(specifications(config.task)) if config.stl == "lagrangian" else 0


def policy_class(config: TrainConfig) -> type[ActorCriticPolicy]:
    """The class of the network."""
    if config.stl == "lagrangian":
        return CostValuePolicy
    if config.ppo.policy == "lstm":
        return RecurrentActorCriticPolicy
    return IndependentPolicy if config.ppo.sharing == "independent" else ActorCriticPolicy


def learning_rate(config: PPOConfig) -> float | Callable[[float], float]:
    """The step size, as SB3 takes it: a number, or a function of the remaining progress."""
    if config.schedule == "constant":
        return config.learning_rate
    return lambda remaining: remaining * config.learning_rate


def make_model(
    config: TrainConfig, venv: VecEnv, train: TrafficTable, device: torch.device
) -> OnPolicyAlgorithm:
    """PPO with ``normalize_advantage``: the rollout mixes all sensors, and so do its statistics.

    A policy with memory is trained by sb3-contrib's ``RecurrentPPO``.

    Args:
        config: The run.
        venv: The training environment.
        train: The scaled training split.
        device: Where the networks live.
    """
    ppo, space, specs = config.ppo, _box(venv), priced_specs(config)
    edges = bin_edges(ppo, space, train.features)
    context = space.shape[0] - train.features.shape[1]
    prototypes = draw_prototypes(config, train)
    settings: dict[str, Any] = {
        "learning_rate": learning_rate(ppo),
        "n_steps": ppo.n_steps,
        "batch_size": min(ppo.batch_size, ppo.n_steps * venv.num_envs),
        "n_epochs": ppo.n_epochs,
        "gamma": ppo.discount,
        "gae_lambda": ppo.gae_lambda,
        "clip_range": ppo.clip_range,
        "normalize_advantage": True,
        "ent_coef": ppo.entropy_coefficient,
        # With several heads SB3 takes the mean of their losses; the sum is wanted.
        "vf_coef": ppo.value_coefficient * (1 + specs),
        "max_grad_norm": ppo.max_grad_norm,
        "policy_kwargs": policy_settings(config, edges, context, prototypes),
        "seed": config.seed,
        "device": device,
    }
    buffer = buffer_class(config)
    make: Any
    if specs:
        make = partial(LagrangianPPO, constraints=config.constraints)
    elif ppo.policy == "lstm":
        make = RecurrentPPO if buffer is None else TeamRecurrentPPO
    elif isinstance(venv, DeviceVecEnv):
        make = partial(DevicePPO, return_normalization=ppo.return_normalization)
    else:
        make = partial(PPO, rollout_buffer_class=buffer)
    model: OnPolicyAlgorithm = make(policy_class(config), venv, **settings)
    if isinstance(model.rollout_buffer, TeamRolloutBuffer):
        model.rollout_buffer.watch(venv, within_event(config.task))
    return model


def make_policy(
    config: TrainConfig,
    observation_space: spaces.Box,
    edges: Sequence[Sequence[float]],
    device: torch.device,
    prototypes: Prototypes | None = None,
) -> ActorCriticPolicy:
    """An untrained policy of the same shape, to load weights into."""
    # How wide the context is comes with the weights.
    settings = policy_settings(config, edges, config.task.agents, prototypes)
    policy = policy_class(config)(
        observation_space,
        action_space(),
        lambda _: config.ppo.learning_rate,
        **settings,
    )
    policy.set_training_mode(False)
    return policy.to(device)


def saved_policy(
    config: TrainConfig,
    observation_space: spaces.Box,
    checkpoint: Checkpoint,
    device: torch.device,
) -> ActorCriticPolicy:
    """A checkpoint's policy, without the data that it was trained on.

    Raises:
        RunError: If the checkpoint's file is damaged or the shapes differ.
    """
    # Only the sizes shape the encoding; the edges and the prototypes come with the weights.
    sizes = encoding_sizes(checkpoint)
    edges = [np.arange(sizes["columns"] + 1.0).tolist()] if sizes else []
    blank = blank_prototypes(sizes["benign"], sizes["threats"]) if "benign" in sizes else None
    policy = make_policy(config, observation_space, edges, device, blank)
    load_weights(checkpoint, policy, device)
    return policy


def _box(venv: VecEnv) -> spaces.Box:
    space = venv.observation_space
    if not isinstance(space, spaces.Box):
        raise TypeError(f"the environment's observations are a Box, not {space!r}")
    return space

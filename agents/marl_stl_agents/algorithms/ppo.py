"""Stable-Baselines3's PPO on the environment: one policy for all sensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from gymnasium import spaces
from sb3_contrib import RecurrentPPO
from stable_baselines3 import PPO
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecMonitor, VecNormalize

from marl_stl_agents.algorithms.constraints import LagrangianPPO
from marl_stl_agents.algorithms.device.env import DeviceVecEnv
from marl_stl_agents.algorithms.device.ppo import DevicePPO
from marl_stl_agents.algorithms.recurrent import TeamRecurrentPPO
from marl_stl_agents.algorithms.shaping import SpecShaping
from marl_stl_agents.buffers.returns import BatchReturnsBuffer, buffer_class, within_event
from marl_stl_agents.buffers.rollout import TeamRolloutBuffer
from marl_stl_agents.config import Device, PPOConfig, TrainConfig
from marl_stl_agents.policies.build import make_blueprint
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.envs.base import team_env
from marl_stl_env.envs.sb3 import TrafficVecEnv
from marl_stl_env.envs.supersuit import supersuit_vec_env
from marl_stl_env.errors import DeviceError


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
    ppo = config.ppo
    blueprint = make_blueprint(config, _box(venv), train)
    specs = blueprint.architecture.specifications
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
        "policy_kwargs": blueprint.settings,
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
    model: OnPolicyAlgorithm = make(blueprint.policy_class, venv, **settings)
    if isinstance(model.rollout_buffer, TeamRolloutBuffer):
        model.rollout_buffer.watch(team_env(venv), within_event(config.task))
    return model


def reward_unit(model: OnPolicyAlgorithm) -> float:
    """Rewards per unit of the value function's target, as of the last rollout."""
    if isinstance(model, DevicePPO):
        return model.reward_unit
    if isinstance(model.rollout_buffer, BatchReturnsBuffer):
        return model.rollout_buffer.unit
    normalizer = model.get_vec_normalize_env()
    if normalizer is None or not normalizer.norm_reward:
        return 1.0
    return math.sqrt(float(normalizer.ret_rms.var) + normalizer.epsilon)


def _box(venv: VecEnv) -> spaces.Box:
    space = venv.observation_space
    if not isinstance(space, spaces.Box):
        raise TypeError(f"the environment's observations are a Box, not {space!r}")
    return space

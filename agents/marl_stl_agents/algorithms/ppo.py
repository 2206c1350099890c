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
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecMonitor, VecNormalize

from marl_stl_agents.algorithms.constraints import LagrangianPPO
from marl_stl_agents.algorithms.device.env import DeviceVecEnv
from marl_stl_agents.algorithms.device.ppo import DevicePPO
from marl_stl_agents.algorithms.recurrent import TeamRecurrentPPO
from marl_stl_agents.algorithms.shaping import SpecShaping
from marl_stl_agents.buffers.credit import CreditRule, needs_team_buffer, within_event
from marl_stl_agents.buffers.rollout import TeamRolloutBuffer
from marl_stl_agents.config import Device, PPOConfig, TrainConfig
from marl_stl_agents.policies.build import make_blueprint, priced_specs
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.spec_monitor import specifications
from marl_stl_env.engine.spec_signals import of_entity
from marl_stl_env.envs.base import team_env
from marl_stl_env.envs.sb3 import TrafficVecEnv
from marl_stl_env.envs.supersuit import supersuit_vec_env
from marl_stl_env.errors import DeviceError, TableError


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
    native = config.backend == "native"
    make: Any = partial(TrafficVecEnv, copy=False) if native else supersuit_vec_env
    return wrapped(config, make(config.task, config.lanes, config.seed, table))


def wrapped(config: TrainConfig, team: VecEnv) -> VecNormalize:
    """A team's environment with episode statistics and, where asked for, scaled rewards.

    Args:
        config: The run.
        team: All lanes and sensors.
    """
    venv: VecEnv = VecMonitor(team)
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
    """
    prepared = prepare(config.task, table)
    if config.backend == "torch":
        venv: VecEnv = DeviceVecEnv(config.rollouts, config.lanes, config.seed, prepared, device)
    else:
        venv = make_vec_env(config, prepared)
    return make_model(config, venv, prepared.tables["train"], device)


def learning_rate(config: PPOConfig) -> float | Callable[[float], float]:
    """The step size, as SB3 takes it: a number, or a function of the remaining progress."""
    if config.schedule == "constant":
        return config.learning_rate
    return lambda remaining: remaining * config.learning_rate


def minibatch_size(most: int, transitions: int) -> int:
    """Transitions of one minibatch: as few minibatches as ``most`` allows, of equal size.

    Args:
        most: Transitions of one minibatch at most.
        transitions: Those of a rollout.

    Returns:
        The equal size where it is a whole number, else ``most``, with a smaller last minibatch.
    """
    count = -(-transitions // most)
    return transitions // count if transitions % count == 0 else most


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

    Raises:
        TableError: If credit follows entities and the table names none.
    """
    ppo = config.ppo
    if ppo.credit == "entity" and train.entities is None:
        raise TableError(
            f"credit='entity': {train.name!r} names no entities; use --credit lane, or name the "
            "column of the hosts when you bring a table"
        )
    blueprint = make_blueprint(config, _box(venv), train)
    settings: dict[str, Any] = {
        "learning_rate": learning_rate(ppo),
        "n_steps": ppo.n_steps,
        "batch_size": minibatch_size(ppo.batch_size, ppo.n_steps * venv.num_envs),
        "n_epochs": ppo.n_epochs,
        "gamma": ppo.discount,
        "gae_lambda": ppo.gae_lambda,
        "clip_range": ppo.clip_range,
        "normalize_advantage": True,
        "ent_coef": ppo.entropy_coefficient,
        # With several heads SB3 takes the mean of their losses; the sum is wanted.
        "vf_coef": ppo.value_coefficient * (1 + blueprint.architecture.costs),
        "max_grad_norm": ppo.max_grad_norm,
        "policy_kwargs": blueprint.settings,
        "seed": config.seed,
        "device": device,
    }
    make: Any = PPO
    if isinstance(venv, DeviceVecEnv):
        make = partial(
            DevicePPO,
            credit=credit_rule(config),
            constraints=config.constraints,
            scaling=ppo.return_normalization == "running",
            shaping=config.stl == "shape",
        )
    elif needs_team_buffer(config):
        make = _team_trainer(config)
    elif ppo.policy == "lstm":
        make = RecurrentPPO
    model: OnPolicyAlgorithm = make(blueprint.policy_class, venv, **settings)
    model.set_logger(Logger(None, []))  # else learn() leaves a folder in the system's temporary one
    if isinstance(model.rollout_buffer, TeamRolloutBuffer):
        model.rollout_buffer.watch(team_env(venv))
    return model


def _team_trainer(config: TrainConfig) -> Callable[..., OnPolicyAlgorithm]:
    """PPO that collects a team's rollouts."""
    credit = credit_rule(config)
    if config.ppo.policy == "lstm":
        return partial(TeamRecurrentPPO, credit=credit)
    buffer: dict[str, Any] = {
        "rollout_buffer_class": TeamRolloutBuffer,
        "rollout_buffer_kwargs": {"credit": credit},
    }
    if credit.costs:  # none where a shield enforces every specification
        return partial(LagrangianPPO, constraints=config.constraints, **buffer)
    return partial(PPO, **buffer)


def credit_rule(config: TrainConfig) -> CreditRule:
    """Which later rewards and costs the actions of a run answer for."""
    specs = specifications(config.task)
    costs = priced_specs(config.task) if config.stl == "lagrangian" else ()
    return CreditRule(
        path=config.ppo.credit,
        within_event=within_event(config.task),
        cost_discount=config.constraints.cost_discount,
        normalize_returns=config.ppo.return_normalization == "batch",
        costs=costs,
        entity_costs=tuple(of_entity(specs[i].signals) for i in costs),
    )


def reward_unit(model: OnPolicyAlgorithm) -> float:
    """Rewards per unit of the value function's target, as of the last rollout."""
    if isinstance(model, DevicePPO):
        return model.reward_unit
    buffer = model.rollout_buffer
    if isinstance(buffer, TeamRolloutBuffer) and buffer.credit.normalize_returns:
        return buffer.unit
    normalizer = model.get_vec_normalize_env()
    if normalizer is None or not normalizer.norm_reward:
        return 1.0
    return math.sqrt(float(normalizer.ret_rms.var) + normalizer.epsilon)


def _box(venv: VecEnv) -> spaces.Box:
    space = venv.observation_space
    if not isinstance(space, spaces.Box):
        raise TypeError(f"the environment's observations are a Box, not {space!r}")
    return space

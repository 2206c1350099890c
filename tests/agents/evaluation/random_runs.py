"""Runs that were never trained, for what does not depend on how good a team is."""

from __future__ import annotations

from pathlib import Path

import torch
from marl_stl_agents.checkpoints.store import save_checkpoint
from marl_stl_agents.checkpoints.trainer_state import TrainerState
from marl_stl_agents.config import PPOConfig, Stl, TrainConfig
from marl_stl_agents.policies.build import make_policy
from marl_stl_agents.run_data import describe_data
from marl_stl_agents.run_directory import DATA, new_run, write_json

from marl_stl_env.config import EnvConfig
from marl_stl_env.data import prepare
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.spaces import observation_space

CPU = torch.device("cpu")


def make_run(
    folder: Path,
    env: EnvConfig,
    ppo: PPOConfig | None = None,
    stl: Stl | None = None,
    bias: float = 1.0,
    seed: int = 0,
) -> Path:
    """A run whose policy was drawn at random, but is sure of itself.

    Args:
        folder: The run directory.
        env: The environment.
        ppo: The trainer.
        stl: What training does with specifications; None monitors them if the environment does.
        bias: Size of the biases; with 0 decisions differ more from event to event.
        seed: Draws the policy.
    """
    config = TrainConfig(
        env=env,
        ppo=ppo or PPOConfig(width=8),
        run_dir=folder,
        stl=stl or ("monitor" if env.stl.monitor else "off"),
    )
    env = config.task
    prepared, run = prepare(env), new_run(config)
    write_json(run / DATA, describe_data(prepared))
    space = observation_space(Engine(env, prepared.tables["train"], lanes=1))
    torch.manual_seed(seed)
    policy = make_policy(config, space, prepared.tables["train"], CPU)
    for name, weights in policy.named_parameters():
        torch.nn.init.normal_(weights, std=bias if "bias" in name else 1.0)
    save_checkpoint(run, policy, 1, {"reward_per_event": 0.0}, TrainerState({}, {}))
    return run

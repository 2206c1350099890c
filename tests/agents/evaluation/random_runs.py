"""Runs that were never trained, for what does not depend on how good a team is."""

from __future__ import annotations

from pathlib import Path

import torch
from marl_stl_agents.checkpoints.store import save_checkpoint
from marl_stl_agents.checkpoints.trainer_state import TrainerState
from marl_stl_agents.config import PPOConfig, TrainConfig
from marl_stl_agents.policies.build import make_policy
from marl_stl_agents.run_data import describe_data
from marl_stl_agents.run_directory import DATA, new_run, write_json

from marl_stl_env.config import EnvConfig
from marl_stl_env.data import prepare
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.spaces import observation_space

CPU = torch.device("cpu")


def make_run(folder: Path, env: EnvConfig, ppo: PPOConfig | None = None) -> Path:
    """A run whose policy was drawn at random, but is sure of itself."""
    config = TrainConfig(
        env=env,
        ppo=ppo or PPOConfig(width=8),
        run_dir=folder,
        stl="monitor" if env.stl.monitor else "off",
    )
    prepared, run = prepare(env), new_run(config)
    write_json(run / DATA, describe_data(prepared))
    space = observation_space(Engine(env, prepared.tables["train"], lanes=1))
    torch.manual_seed(0)
    policy = make_policy(config, space, prepared.tables["train"], CPU)
    for weights in policy.parameters():
        torch.nn.init.normal_(weights)
    save_checkpoint(run, policy, 1, {"reward_per_event": 0.0}, TrainerState({}, {}))
    return run

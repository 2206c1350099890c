"""Whether a training fits into memory, before it is begun."""

from __future__ import annotations

import torch

from marl_stl_agents.config import TrainConfig
from marl_stl_env.config import EnvConfig
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.spaces import observation_space
from marl_stl_env.validation import check_memory

#: Numbers of a transition besides its observation: actions, values, returns, advantages, ...
_PER_TRANSITION = 10
#: A weight, its gradient and the two moments of Adam.
_PER_WEIGHT = 4
_BYTES = 4


def check_fits(config: TrainConfig, prepared: PreparedData, device: torch.device) -> None:
    """Refuse a training that cannot fit into memory.

    Args:
        config: The run.
        prepared: Its data.
        device: Where it would be trained.

    Raises:
        ConfigError: If it needs more than there is.
    """
    space = observation_space(Engine(config.task, prepared.tables["train"], lanes=1))
    cuda = device.type == "cuda"
    there = torch.cuda.get_device_properties(device).total_memory if cuda else None
    check_memory(needed_bytes(config, space.shape[0]), there)


def needed_bytes(config: TrainConfig, width: int) -> dict[str, float]:
    """A lower bound of the memory that a training needs, by the settings that decide it.

    Args:
        config: The run.
        width: Columns of one observation.
    """
    ppo, agents = config.ppo, config.task.agents
    rollout = ppo.n_steps * config.lanes * agents
    batch = min(ppo.batch_size, rollout)
    codes = width * max(ppo.bins, 1)
    copies = 1 if ppo.shared_trunk else 2
    networks = copies * (agents if ppo.sharing == "independent" else 1)
    weights = networks * (codes * ppo.width + max(ppo.depth - 1, 0) * ppo.width**2)
    hidden = copies * ppo.depth * ppo.width
    return {
        "n_steps and lanes": _BYTES * rollout * (width + _PER_TRANSITION),
        "width, depth and bins": _BYTES * weights * _PER_WEIGHT,
        "batch_size": _BYTES * batch * (codes + hidden),
        "lanes, alert_window and posture_window": config.lanes * _windows(config.task),
    }


def _windows(env: EnvConfig) -> int:
    """Bytes with which a lane remembers what happened."""
    alerts = env.response.alert_window if env.dynamics == "response" else 0
    return alerts + (env.stl.posture_window if env.stl.monitor else 0)

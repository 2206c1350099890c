"""Whether a training fits into memory, before it is begun."""

from __future__ import annotations

import os
import resource

import torch

from marl_stl_agents.config import TrainConfig
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.spaces import observation_space
from marl_stl_env.errors import ConfigError

#: Numbers of a transition besides its observation: actions, values, returns, advantages, ...
_PER_TRANSITION = 10
#: A weight, its gradient and the two moments of Adam.
_PER_WEIGHT = 4
_BYTES = 4


def check_memory(config: TrainConfig, prepared: PreparedData, device: torch.device) -> None:
    """Refuse a training that cannot fit into memory.

    Args:
        config: The run.
        prepared: Its data.
        device: Where it would be trained.

    Raises:
        ConfigError: If it needs more than there is.
    """
    space = observation_space(Engine(config.task, prepared.tables["train"], lanes=1))
    needs = needed_bytes(config, space.shape[0])
    there = _available(device)
    setting, most = max(needs.items(), key=lambda need: need[1])
    if sum(needs.values()) > there:
        raise ConfigError(
            f"the training needs some {sum(needs.values()) / 1e9:,.1f} GB of memory, and there are "
            f"{there / 1e9:,.1f} GB; {most / 1e9:,.1f} GB are for {setting}: choose smaller ones"
        )


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
    networks = 2 * (agents if ppo.sharing == "independent" else 1)
    weights = networks * (codes * ppo.width + max(ppo.depth - 1, 0) * ppo.width**2)
    hidden = 2 * ppo.depth * ppo.width
    return {
        "n_steps and lanes": _BYTES * rollout * (width + _PER_TRANSITION),
        "width, depth and bins": _BYTES * weights * _PER_WEIGHT,
        "batch_size": _BYTES * batch * (codes + hidden),
        "prototypes": _BYTES * 2 * ppo.prototypes * (codes + batch),
    }


def _available(device: torch.device) -> float:
    """Bytes of memory of the device, or of this machine as far as this process may use them."""
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return float(there if limit == resource.RLIM_INFINITY else min(there, limit))

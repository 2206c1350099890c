"""``Traffic-v0``: a labelled stream is replayed (PettingZoo's convention for modules).

No decision changes the events that follow; in :mod:`marl_stl_env.response_v0` it does. Arguments
and errors are those of :func:`marl_stl_env.envs.parallel.parallel_env`. The guide to the
environment says what raises the version.
"""

from __future__ import annotations

from typing import Any

from marl_stl_env.config import EnvConfig
from marl_stl_env.envs.aec import RawAecEnv, TrafficAecEnv, aec_env, raw_aec_env
from marl_stl_env.envs.dynamics import with_dynamics
from marl_stl_env.envs.parallel import TrafficParallelEnv
from marl_stl_env.envs.parallel import parallel_env as any_parallel_env

__all__ = ["env", "parallel_env", "raw_env"]


def parallel_env(config: EnvConfig | None = None, **settings: Any) -> TrafficParallelEnv:
    """All sensors act at once."""
    return any_parallel_env(config, **with_dynamics("replay", config, settings))


def env(config: EnvConfig | None = None, **settings: Any) -> TrafficAecEnv:
    """One sensor acts after another; wrong calls are refused."""
    return aec_env(config, **with_dynamics("replay", config, settings))


def raw_env(config: EnvConfig | None = None, **settings: Any) -> RawAecEnv:
    """As :func:`env`, without the wrapper that refuses calls in a wrong order."""
    return raw_aec_env(config, **with_dynamics("replay", config, settings))

"""``TrafficAdversarial-v0``: sensors against attackers (PettingZoo's convention for modules).

One step ahead, attackers choose a disguise for their own events; the guide to the red team has the
rules. The stream is a replay, or a response with ``dynamics="response"``. Arguments and errors are
those of :func:`marl_stl_env.envs.adversarial.parallel.adversarial_parallel_env`.
"""

from __future__ import annotations

from typing import Any

from marl_stl_env.config import EnvConfig
from marl_stl_env.envs.adversarial.parallel import (
    AdversarialParallelEnv,
    adversarial_parallel_env,
)
from marl_stl_env.envs.aec import RawAecEnv, TrafficAecEnv

__all__ = ["env", "parallel_env", "raw_env"]


def parallel_env(config: EnvConfig | None = None, **settings: Any) -> AdversarialParallelEnv:
    """All sensors and attackers act at once."""
    return adversarial_parallel_env(config, **settings)


def env(config: EnvConfig | None = None, **settings: Any) -> TrafficAecEnv:
    """One agent acts after another; wrong calls are refused."""
    return TrafficAecEnv(parallel_env(config, **settings))


def raw_env(config: EnvConfig | None = None, **settings: Any) -> RawAecEnv:
    """As :func:`env`, without the wrapper that refuses calls in a wrong order."""
    return RawAecEnv(parallel_env(config, **settings))

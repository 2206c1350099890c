"""The environment ids, for ``gymnasium.make`` and ``gymnasium.make_vec``."""

from __future__ import annotations

import gymnasium

from marl_stl_env.config import Dynamics

TRAFFIC_ID = "marl_stl_env/Traffic-v0"
RESPONSE_ID = "marl_stl_env/TrafficResponse-v0"
_DYNAMICS: dict[str, Dynamics] = {TRAFFIC_ID: "replay", RESPONSE_ID: "response"}


def register_environments() -> None:
    """Register the ids with Gymnasium; a second call changes nothing."""
    for name, dynamics in _DYNAMICS.items():
        if name not in gymnasium.registry:
            gymnasium.register(
                id=name,
                entry_point="marl_stl_env.envs.single:TrafficEnv",
                vector_entry_point="marl_stl_env.envs.vector:TrafficVectorEnv",
                kwargs={"dynamics": dynamics},
            )

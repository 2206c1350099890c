"""The environment ids, for ``gymnasium.make`` and ``gymnasium.make_vec``."""

from __future__ import annotations

import gymnasium

TRAFFIC_ID = "marl_stl_env/Traffic-v0"


def register_environments() -> None:
    """Register the ids with Gymnasium; a second call changes nothing."""
    if TRAFFIC_ID not in gymnasium.registry:
        gymnasium.register(
            id=TRAFFIC_ID,
            entry_point="marl_stl_env.envs.single:TrafficEnv",
            vector_entry_point="marl_stl_env.envs.vector:TrafficVectorEnv",
        )

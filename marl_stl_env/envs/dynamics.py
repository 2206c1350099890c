"""The two environments and their names by PettingZoo's convention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marl_stl_env.config import Dynamics, EnvConfig
from marl_stl_env.errors import ConfigError

#: The module, and the name in ``metadata``, of each environment.
NAMES: dict[Dynamics, str] = {"replay": "traffic_v0", "response": "response_v0"}


def with_dynamics(
    dynamics: Dynamics, config: EnvConfig | None, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings of an environment whose dynamics are fixed.

    Args:
        dynamics: What its module is for.
        config: The configuration given, if any. One with the default dynamics fits everywhere.
        settings: Fields to replace.

    Raises:
        ConfigError: If other dynamics are asked for.
    """
    asked = settings.get("dynamics", dynamics)
    if isinstance(config, EnvConfig) and config.dynamics != EnvConfig.dynamics:
        asked = settings.get("dynamics", config.dynamics)
    if asked != dynamics:
        raise ConfigError(
            f"dynamics={asked!r}: {NAMES[dynamics]} has dynamics={dynamics!r}; use "
            f"marl_stl_env.{NAMES.get(asked, 'parallel_env')} or leave it out"
        )
    return {**settings, "dynamics": dynamics}

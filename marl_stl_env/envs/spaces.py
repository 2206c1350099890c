"""The spaces of an engine, as every adapter shows them."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

from marl_stl_env.engine.engine import Engine
from marl_stl_env.types import ACTIONS


def observation_space(engine: Engine) -> spaces.Box:
    """The space of one sensor's observation.  # (width,) float32."""
    model = engine.observations
    return spaces.Box(model.low, model.high, dtype=np.float32)


def state_space(engine: Engine) -> spaces.Box:
    """The space of the unmasked features and of what all sensors are told.

    # (features + told,) float32
    """
    model = engine.observations
    columns = model.shared
    return spaces.Box(model.low[columns], model.high[columns], dtype=np.float32)


def action_space() -> spaces.Discrete:
    """The space of one sensor's action: a member of :class:`marl_stl_env.types.Action`."""
    return spaces.Discrete(ACTIONS)

"""What ``repr()`` of every view says: one line."""

from __future__ import annotations

from typing import Any

from marl_stl_env.config.shown import environment_line
from marl_stl_env.engine.engine import Engine


def describe(view: object, engine: Engine, **more: Any) -> str:
    """A view's class, data, sensors and views, and every setting that is not the default.

    Args:
        view: The environment.
        engine: The engine behind it.
        **more: What else to say, after the sensors; None is left out.
    """
    return environment_line(type(view).__name__, engine.table.name, engine.config, **more)

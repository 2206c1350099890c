"""What ``repr()`` of every view says: one line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from marl_stl_env.config import EnvConfig
from marl_stl_env.engine.engine import Engine

_LONGEST = 60
#: Said first, whether or not they differ from the default.
_SAID = ("agents", "views", "split", "data.dataset")


def describe(view: object, engine: Engine, **more: Any) -> str:
    """A view's class, data, sensors and views, and every setting that is not the default.

    Args:
        view: The environment.
        engine: The engine behind it.
        **more: What else to say, after the sensors; None is left out.
    """
    config = engine.config
    facts = [
        f"{engine.table.name}/{config.split}",
        f"agents={config.agents}",
        f"views={config.views!r}",
        *(f"{name}={_short(value)}" for name, value in more.items() if value is not None),
        *(f"{name}={_short(value)}" for name, value in _changed(config, EnvConfig())),
    ]
    return f"{type(view).__name__}({', '.join(facts)})"


def _changed(given: object, usual: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The settings that differ, nested ones as ``data.split_seed``."""
    for item in fields(given):  # type: ignore[arg-type] # a configuration
        name, value = f"{prefix}{item.name}", getattr(given, item.name)
        default = getattr(usual, item.name)
        if is_dataclass(value):
            yield from _changed(value, default, f"{name}.")
        elif value != default and name not in _SAID:
            yield name, value


def _short(value: Any) -> str:
    text = str(value) if hasattr(value, "joinpath") else repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."

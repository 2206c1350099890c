"""One line that shows of a configuration what is not the default."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any

_LONGEST = 60
#: Of an environment these are shown first, whether or not they differ from the default.
_FIRST = ("agents", "views", "split", "data.dataset")


class ShowsChanges:
    """A configuration whose ``repr`` is the call that makes it: only what differs, in one line.

    A subclass is a dataclass made with ``repr=False``.
    """

    def __repr__(self) -> str:
        """Such as ``EnvConfig(data=DataConfig(split_seed=1), agents=5)``."""
        shown = (f"{name}={_literal(value)}" for name, value in changes(self))
        return f"{type(self).__name__}({', '.join(shown)})"


def changes(config: object) -> Iterator[tuple[str, Any]]:
    """The fields of a dataclass that differ from its defaults, or have none, with their values."""
    for item in fields(config):  # type: ignore[arg-type] # a dataclass
        value, usual = getattr(config, item.name), _default(item)
        if usual is MISSING or value != usual:
            yield item.name, value


def environment_line(kind: str, table: str, config: Any, **more: Any) -> str:
    """An environment in one line: its data, sensors and views, and what differs from the default.

    Args:
        kind: Its class.
        table: Name of its table.
        config: Its :class:`~marl_stl_env.config.EnvConfig`.
        **more: What else to show, after the sensors; None is left out.
    """
    facts = [
        f"{table}/{config.split}",
        f"agents={config.agents}",
        f"views={config.views!r}",
        *(f"{name}={_short(value)}" for name, value in more.items() if value is not None),
        *(f"{name}={_short(value)}" for name, value in _dotted(config)),
    ]
    return f"{kind}({', '.join(facts)})"


def _dotted(config: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The settings that differ, nested ones as ``data.split_seed``."""
    for name, value in changes(config):
        if is_dataclass(value):
            yield from _dotted(value, f"{prefix}{name}.")
        elif f"{prefix}{name}" not in _FIRST:
            yield f"{prefix}{name}", value


def _default(item: Field[Any]) -> Any:
    if item.default_factory is not MISSING:
        return item.default_factory()
    return item.default


def _literal(value: Any) -> str:
    """A value as it is written in Python; configurations take paths as texts."""
    return repr(str(value)) if isinstance(value, Path) else repr(value)


def _short(value: Any) -> str:
    text = str(value) if isinstance(value, Path) else repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."

"""Mappings and lists, as JSON has them, turned into configurations and settings."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from marl_stl_env.errors import ConfigError, UnknownNameError

_Config = TypeVar("_Config")


def as_settings(field: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """A mapping as texts ``name=value``, which hash, print and parse alike everywhere.

    Raises:
        ConfigError: If a value cannot be written as JSON.
    """
    try:
        return tuple(
            f"{name}={value if isinstance(value, str | Path) else json.dumps(value)}"
            for name, value in options.items()
        )
    except TypeError as error:
        raise ConfigError(
            f"{field} holds a value that JSON cannot express ({error}); use text, numbers and "
            "lists, or load the table first and pass it as table="
        ) from None


def absolute_path(setting: str) -> str:
    """A setting ``path=FILE`` with an absolute path, so that it names the same file from anywhere.

    A path that does not exist here stays as it is: it may be one of the data folder.
    """
    name, _, text = setting.partition("=")
    path = Path(text).expanduser()
    return f"path={path.absolute()}" if name == "path" and path.is_file() else setting


def from_plain(config_type: type[_Config], values: Mapping[str, Any]) -> _Config:
    """A configuration from plain mappings and lists, nested to any depth.

    Args:
        config_type: A configuration class.
        values: Field to value; a nested configuration may be a mapping, a tuple a list.

    Raises:
        UnknownNameError: If a key is not a field.
        ConfigError: If a value is not allowed.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{config_type.__name__} is written as a mapping, not {values!r:.80}")
    hints = get_type_hints(config_type)
    known = [item.name for item in fields(config_type)]  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise UnknownNameError("setting", name, known)
    return config_type(**{name: coerce(hints[name], value) for name, value in values.items()})


def coerce(hint: Any, value: Any) -> Any:
    """A value as its field takes it: lists become tuples, mappings configurations."""
    if isinstance(value, Mapping) and is_dataclass(hint) and isinstance(hint, type):
        return from_plain(hint, value)
    options = get_args(hint) if get_origin(hint) in {Union, types.UnionType} else (hint,)
    if isinstance(value, list) and any(get_origin(option) is tuple for option in options):
        return tuple(value)
    if isinstance(value, str) and Path in options and str not in options:
        return Path(value)
    return value

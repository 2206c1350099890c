"""Settings as texts ``name=value``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from marl_stl_env.errors import ConfigError


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

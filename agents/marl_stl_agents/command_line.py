"""Command lines from the configuration classes; typed errors become one line on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import tyro

from marl_stl_agents.printable import printable
from marl_stl_env.errors import MarlStlError

_Config = TypeVar("_Config")

#: Exit status of a command whose input was refused.
REFUSED = 2


def run_command(
    config_type: type[_Config],
    action: Callable[[_Config], None],
    description: str,
    presets: Mapping[str, _Config] | None = None,
) -> int:
    """Parse the command line into a configuration and act on it.

    Args:
        config_type: A frozen dataclass; its fields become flags.
        action: What to do with it.
        description: Shown by ``--help``.
        presets: Other defaults, chosen by ``--preset``, which must be one of the fields.

    Returns:
        0, or 2 where the input was refused.
    """
    try:
        default = chosen_preset(presets) if presets else None
        parsed = tyro.cli(
            config_type,
            description=description,
            default=tyro.MISSING_NONPROP if default is None else default,
            config=(tyro.conf.OmitArgPrefixes,),
        )
        action(parsed)
    except MarlStlError as error:
        sys.stderr.write(f"{type(error).__name__}: {printable(str(error))}\n")
        return REFUSED
    return 0


@dataclass(frozen=True)
class _Choice:
    """The one flag that is read before the others."""

    preset: str | None = None


def chosen_preset(presets: Mapping[str, _Config]) -> _Config | None:
    """The defaults that ``--preset`` names; None without it, or where the name is unknown."""
    choice, _ = tyro.cli(_Choice, return_unknown_args=True, add_help=False)
    return presets.get(choice.preset) if choice.preset is not None else None

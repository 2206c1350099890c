"""The installed commands: each says in one line what is missing where an extra was left out."""

from __future__ import annotations

import sys
from importlib import import_module

_MISSING, _INTERRUPTED = 2, 130


def train() -> int:
    """``marl-stl-train``: train a team."""
    return run("train")


def evaluate() -> int:
    """``marl-stl-evaluate``: evaluate a trained team."""
    return run("evaluate")


def decide() -> int:
    """``marl-stl-decide``: let a trained team decide on new traffic."""
    return run("decide")


def serve() -> int:
    """``marl-stl-serve``: let a trained team decide on a log while it grows."""
    return run("serve")


def adversarial() -> int:
    """``marl-stl-adversarial``: train a team against attackers that learn."""
    return run("adversarial")


def data() -> int:
    """``marl-stl-data``: look at data sets."""
    return run("data")


def run(command: str) -> int:
    """Run a command.

    Args:
        command: A module of :mod:`marl_stl_agents.commands`.

    Returns:
        The exit status; 2 where a library is missing, 130 where the keyboard interrupted it.
    """
    try:
        status: int = import_module(f"marl_stl_agents.commands.{command}").main()
    except KeyboardInterrupt:  # while libraries are imported, which takes seconds
        print("interrupted", file=sys.stderr)  # noqa: T201 - rich may be what was imported
        return _INTERRUPTED
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in {"", "marl_stl_env", "marl_stl_agents"}:
            raise
        print(  # noqa: T201 - rich may be what is missing
            f"marl-stl-{command} needs {library}, which is not installed; install the trainer "
            "with: pip install 'marl-stl-env[train]'",
            file=sys.stderr,
        )
        return _MISSING
    return status

"""The plugins of a run: ``plugins.json``, and their import when the run is loaded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from marl_stl_agents.config import TrainConfig
from marl_stl_agents.run_directory import PLUGINS, read_json, write_json
from marl_stl_env.errors import PluginError, RunError
from marl_stl_env.plugins import Plugin, find_plugin, load_plugins


def record_plugins(run: Path, config: TrainConfig) -> None:
    """Write which plugins a run uses: their names, files and digests; nothing where it has none."""
    found = load_plugins(config.env.plugins)
    if found or (run / PLUGINS).exists():
        rows = [{"name": p.name, "file": str(p.file), "sha256": p.sha256} for p in found]
        write_json(run / PLUGINS, {"plugins": rows})


def with_plugins(run: Path, config: TrainConfig, given: Iterable[str] = ()) -> TrainConfig:
    """The configuration of a run with its plugins imported.

    A plugin that is given takes the place of the run's one of the same name (without folders),
    even if it has changed; others are imported beside those of the run.

    Args:
        run: The run directory.
        config: Its configuration.
        given: Plugins that were given with the command.

    Raises:
        RunError: If a plugin of the run is missing, or has changed and was not given.
        PluginError: If a plugin that was given is not there, or one fails.
    """
    anew = {plugin.stem: plugin.name for plugin in map(find_plugin, given)}
    names = []
    for name in config.env.plugins:
        if _stem(name) not in anew:
            _check_unchanged(run, name)
        names.append(anew.pop(_stem(name), name))
    names += anew.values()
    load_plugins(names)
    return replace(config, env=replace(config.env, plugins=tuple(names)))


def _stem(name: str) -> str:
    """:attr:`~marl_stl_env.plugins.Plugin.stem` of a plugin that may be gone."""
    return Path(name).stem if name.endswith(".py") else name.rpartition(".")[2]


def _check_unchanged(run: Path, name: str) -> None:
    """Refuse a plugin whose file is not what it was in the training.

    Raises:
        RunError: If it is not.
    """
    known = _digests(run).get(name, "unknown")
    try:
        found: Plugin = find_plugin(name)
    except PluginError as error:
        raise RunError(
            f"{run} was trained with a plugin that is not there any more: {error}. If it has "
            f"moved, say where it is: --plugin PATH/{_stem(name)}.py"
        ) from None
    if found.sha256 != known:
        raise RunError(
            f"the plugin {found.file} is not the one that {run} was trained with (SHA-256 "
            f"{found.sha256[:12]}, then {known[:12]}); restore it, or "
            f"accept the new one by naming it again: --plugin {name}"
        )


def _digests(run: Path) -> dict[str, str]:
    content: Any = read_json(run / PLUGINS)
    try:
        return {str(row["name"]): str(row["sha256"]) for row in content["plugins"]}
    except (KeyError, TypeError):
        raise RunError(f"{run / PLUGINS} does not describe the plugins of a run") from None

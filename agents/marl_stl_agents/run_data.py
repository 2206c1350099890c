"""What a run was trained on: ``data.json``, and the check that it is still the same."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from marl_stl_agents.config import TrainConfig
from marl_stl_agents.run_directory import DATA, read_config, read_json
from marl_stl_agents.run_plugins import with_plugins
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.errors import RunError


def config_at(run: Path, data_dir: Path | None, plugins: Iterable[str] = ()) -> TrainConfig:
    """The configuration of a run, its plugins imported.

    Args:
        run: The run directory.
        data_dir: The folder of the data files; None: where they were.
        plugins: Plugins that were given anew; see :func:`~.run_plugins.with_plugins`.

    Raises:
        RunError: If the run is damaged, or a plugin is missing or has changed.
        PluginError: If a plugin fails.
    """
    config = with_plugins(run, read_config(run), plugins)
    if data_dir is None:
        return config
    data = replace(config.env.data, data_dir=data_dir)
    return replace(config, env=replace(config.env, data=data))


def describe_data(prepared: PreparedData) -> dict[str, Any]:
    """What a run was trained on, as JSON has it, to be compared when it is evaluated."""
    facts = {
        "source": dict(prepared.raw.source),
        "splits": {
            name: {"events": len(table), "threats": int(table.labels.sum())}
            for name, table in prepared.tables.items()
        },
        "preprocessor": prepared.preprocessor.to_dict(),
    }
    plain: dict[str, Any] = json.loads(json.dumps(facts))
    return plain


def check_data(run: Path, prepared: PreparedData) -> None:
    """Refuse data that differs from what a run was trained on.

    Raises:
        RunError: If it differs.
    """
    if read_json(run / DATA) != describe_data(prepared):
        raise RunError(
            f"the data differs from what {run} was trained on; point --data-dir to the same files"
        )

"""What a run was trained on: ``data.json``, and the check that it is still the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from marl_stl_agents.config import TrainConfig
from marl_stl_agents.run_directory import DATA, read_config, read_json
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.errors import RunError


def config_at(run: Path, data_dir: Path | None) -> TrainConfig:
    """The configuration of a run whose data files are in this folder; None: where they were."""
    config = read_config(run)
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

"""The run directory: what a training leaves behind, and how it is found again."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from marl_stl_agents.config import TrainConfig
from marl_stl_env.config import Split
from marl_stl_env.errors import RunError
from marl_stl_env.files import write_text

RUNS = Path("runs")
CONFIG, DATA, EVALUATION, VALIDATION, CHECKLIST = (
    "config.json",
    "data.json",
    "evaluation.json",
    "validation.json",
    "checklist.json",
)

_CONFIG_ADAPTER = TypeAdapter(TrainConfig)


def new_run(config: TrainConfig) -> Path:
    """Make the run directory and write the configuration into it.

    Raises:
        RunError: If the directory already holds a run.
    """
    run = config.run_dir or RUNS / f"{datetime.now():%Y%m%d-%H%M%S}-{config.env.data.dataset}"
    if (run / CONFIG).exists():
        raise RunError(f"{run} already holds a run; choose another --run-dir or remove it")
    write_json(run / CONFIG, _CONFIG_ADAPTER.dump_python(config, mode="json"))
    return run


def find_run(run: Path | None) -> Path:
    """The run directory given, or the newest under ``runs``.

    Raises:
        RunError: If there is none.
    """
    if run is None:
        runs = sorted(RUNS.glob(f"*/{CONFIG}"), key=lambda path: path.stat().st_mtime)
        if not runs:
            raise RunError(f"no run under {RUNS.resolve()}; train one with `python train.py`")
        return runs[-1].parent
    if not (run / CONFIG).is_file():
        raise RunError(f"{run} is not a run directory: it has no {CONFIG}")
    return run


def read_config(run: Path) -> TrainConfig:
    """The configuration that the run was trained with.

    Raises:
        RunError: If the file is damaged.
    """
    try:
        return _CONFIG_ADAPTER.validate_python(read_json(run / CONFIG))
    except ValidationError as error:
        raise RunError(f"{run / CONFIG} is not a configuration of this version: {error}") from None


def evaluation_file(run: Path, split: Split) -> Path:
    """Where the figures of a rollout stand."""
    return run / (EVALUATION if split == "test" else f"{split}.json")


def report_file(run: Path, split: Split) -> Path:
    """Where the report of a rollout stands."""
    return run / ("report.html" if split == "test" else f"report-{split}.html")


def write_json(path: Path, content: Any) -> None:
    """Write plain data as JSON, whole or not at all."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def read_json(path: Path) -> Any:
    """Read plain data.

    Raises:
        RunError: If the file is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except FileNotFoundError:
        raise RunError(f"{path} is missing; the run is not complete") from None
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}") from None

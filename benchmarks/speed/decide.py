"""Events per second of ``evaluate.py RUN --input``: reading, scaling, the vote and writing.

    python -m benchmarks.speed.decide --data-dir DIR --out decide.json

Teams of the default size decide on files of their data set's test split, repeated to ``--rows``
rows, as CSV and as Parquet. The policies are untrained, as speed does not depend on weights.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from marl_stl_agents.checkpoints.store import save_checkpoint
from marl_stl_agents.checkpoints.trainer_state import TrainerState
from marl_stl_agents.command_line import run_command
from marl_stl_agents.config import DecideConfig, TrainConfig
from marl_stl_agents.evaluation.new_traffic import decide
from marl_stl_agents.policies.build import make_policy
from marl_stl_agents.run_data import describe_data
from marl_stl_agents.run_directory import DATA, new_run, write_json
from pyarrow import csv, parquet

from benchmarks.common.measure import show, versions
from benchmarks.common.partial import PARTIAL
from marl_stl_env.config import DataConfig, EnvConfig
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.spaces import observation_space
from marl_stl_env.files import write_text


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes:
        data_dir: Folder with NSL-KDD; without it only the synthetic set is measured.
        rows: Events of each file.
        threads: Threads of torch; one more thread reads ahead.
        repeats: The best of this many runs counts.
        out: JSON file for the figures.
    """

    data_dir: Path | None = None
    rows: int = 500_000
    threads: int = 1
    repeats: int = 3
    out: Path | None = None


def untrained_run(folder: Path, env: EnvConfig, prepared: PreparedData) -> Path:
    """A run directory with an untrained policy."""
    config = TrainConfig(env=env, stl="monitor" if env.stl.monitor else "off", run_dir=folder)
    run = new_run(config)
    write_json(run / DATA, describe_data(prepared))
    train = prepared.tables["train"]
    space = observation_space(Engine(env, train, lanes=1))
    policy = make_policy(config, space, train, torch.device("cpu"))
    save_checkpoint(run, policy, 1, {"reward_per_event": 0.0}, TrainerState({}, {}))
    return run


def raw_rows(prepared: PreparedData, rows: int) -> Any:
    """Raw rows of the test split, repeated."""
    raw = prepared.raw
    index = np.resize(prepared.rows["test"], rows)
    columns: dict[str, Any] = {}
    for place, name in enumerate(raw.feature_names):
        values = raw.features[:, place][index]
        if name in raw.categories:
            codes = pa.array(values.astype(np.int32))
            columns[name] = pa.DictionaryArray.from_arrays(codes, raw.categories[name]).cast("str")
        else:
            columns[name] = pa.array(values)
    return pa.table(columns)


def measured(name: str, env: EnvConfig, settings: Settings, folder: Path) -> list[list[Any]]:
    """Events per second with each kind of file."""
    prepared = prepare(env)
    run = untrained_run(folder / name, env, prepared)
    table = raw_rows(prepared, settings.rows)
    rows = []
    for kind, write in (("CSV", csv.write_csv), ("Parquet", parquet.write_table)):
        path = folder / f"{name}.{kind.lower()}"
        write(table, path)
        asked = DecideConfig(path, run, reason_columns=0, device="cpu", threads=settings.threads)
        took, worked = [], []
        for number in range(settings.repeats):
            asked = replace(asked, decisions=folder / f"{name}-{kind}-{number}-out.parquet")
            start, busy = time.perf_counter(), time.process_time()
            decide(asked)
            took.append(time.perf_counter() - start)
            worked.append(time.process_time() - busy)
        megabytes, each = path.stat().st_size / 1e6, 1e6 * min(worked) / settings.rows
        rows.append([name, kind, table.num_columns, megabytes, settings.rows / min(took), each])
    return rows


def main(settings: Settings) -> None:
    """Measure, print and write."""
    sets = {"synthetic": PARTIAL}
    if settings.data_dir is not None:
        sets["nsl-kdd"] = replace(
            PARTIAL, data=DataConfig(dataset="nsl-kdd", data_dir=settings.data_dir)
        )
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, env in sets.items():
            rows += measured(name, env, settings, Path(folder))
    columns = ["data set", "file", "columns", "MB", "events/s", "CPU us/event"]
    show(f"decisions on {settings.rows:,} new events", columns, rows)
    if settings.out is not None:
        figures = [dict(zip(columns, row, strict=True)) for row in rows]
        result = {"versions": versions(), "threads": settings.threads, "figures": figures}
        write_text(settings.out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(run_command(Settings, main, __doc__))

"""Milliseconds of one decision: ``team.step(event)``, and of importing and loading a team.

    python -m benchmarks.speed.step --out step.json

A response team with shield, monitors and what it remembers, and a replay team, both of the default
size on the synthetic set. The policies are untrained, as speed does not depend on weights.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from marl_stl_agents.command_line import run_command
from marl_stl_agents.evaluation.new_traffic import load_team

from benchmarks.common.measure import show, versions
from benchmarks.speed.decide import raw_rows, untrained_run
from marl_stl_env.config import DataConfig, EnvConfig, StlConfig
from marl_stl_env.data.prepare import prepare
from marl_stl_env.files import write_text

DATA = DataConfig(dataset_options=("rows=4000",))
TEAMS = {
    "response, shield, monitors": EnvConfig(
        dynamics="response", stl=StlConfig(monitor=True, observe=True, shield=True), data=DATA
    ),
    "replay": EnvConfig(data=DATA, stl=StlConfig(monitor=False)),
}
_LOAD = """
import sys, time
began = time.perf_counter()
from marl_stl_agents import load_team
team = load_team(sys.argv[1], device="cpu")
print(time.perf_counter() - began)
"""


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes:
        events: Events of each team.
        out: JSON file for the figures.
    """

    events: int = 5000
    out: Path | None = None


def loading(run: Path) -> float:
    """Seconds from the start of Python's own work to a team that can decide; the best of three."""
    line = [sys.executable, "-c", _LOAD, str(run)]
    found = [
        subprocess.run(line, capture_output=True, text=True, check=True).stdout  # noqa: S603
        for _ in range(3)
    ]
    return min(map(float, found))


def measured(name: str, env: EnvConfig, events: int, folder: Path) -> list[list[Any]]:
    """Milliseconds of a step, with and without columns in the reasons."""
    prepared = prepare(env)
    run = untrained_run(folder / name.partition(",")[0], env, prepared)
    rows = raw_rows(prepared, events).to_pylist()
    for number, row in enumerate(rows):
        row |= {"entity": f"10.0.0.{number % 250}", "time": float(number)}
    loaded, found = loading(run), list[list[Any]]()
    for columns in (0, 3):
        stream = load_team(run, device="cpu").stream(reason_columns=columns, specifications=True)
        took = np.empty(events)
        for number, row in enumerate(rows):
            began = time.perf_counter()
            stream.step(row)
            took[number] = time.perf_counter() - began
        p50, p99 = 1e3 * np.quantile(took[10:], [0.5, 0.99])
        found.append([name, columns, float(p50), float(p99), loaded])
    return found


def main(settings: Settings) -> None:
    """Measure, print and write."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, env in TEAMS.items():
            rows += measured(name, env, settings.events, Path(folder))
    columns = ["team", "columns in reasons", "p50 ms", "p99 ms", "import and load s"]
    show(f"one decision, {settings.events:,} events", columns, rows)
    if settings.out is not None:
        figures = [dict(zip(columns, row, strict=True)) for row in rows]
        result = {"versions": versions(), "events": settings.events, "figures": figures}
        write_text(settings.out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(run_command(Settings, main, __doc__))

"""Shared parts of benchmarks: timing, a table of noise, printed tables and result files."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from marl_stl_agents.run_directory import write_json
from rich.console import Console
from rich.table import Table

from marl_stl_env.data.table import TrafficTable

#: Scaled columns of each of NSL-KDD's four views, and its training rows.
VIEW_SIZES = (87, 13, 9, 10)
ROWS = 106_518


def generated_table(rows: int = ROWS, view_sizes: Sequence[int] = VIEW_SIZES) -> TrafficTable:
    """A scaled table of noise, by default as large as NSL-KDD; speed does not depend on values.

    Args:
        rows: Events.
        view_sizes: Columns of each view.
    """
    rng = np.random.default_rng(0)
    ends = np.cumsum(view_sizes).tolist()
    labels = rng.random(rows) < 0.46
    return TrafficTable(
        name="generated",
        features=rng.random((rows, ends[-1]), dtype=np.float32),
        labels=labels,
        families=labels.astype(np.int16),
        family_names=("benign", "threat"),
        feature_names=tuple(f"x{i}" for i in range(ends[-1])),
        views={
            f"view_{i}": tuple(range(end - size, end))
            for i, (end, size) in enumerate(zip(ends, view_sizes, strict=True))
        },
    )


def rate(step: Callable[[], object], agent_steps: int, seconds: float, repeats: int) -> float:
    """Agent-steps per second of ``step``: the best of several runs after a warm-up step."""
    step()
    best = 0.0
    for _ in range(repeats):
        count, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds:
            step()
            count += 1
        best = max(best, count * agent_steps / elapsed)
    return best


def side_by_side(
    steps: Sequence[Callable[[], object]], repeats: int, seconds: float = 0.02
) -> list[float]:
    """Processor seconds of one call of each function: the best of several turns.

    The functions take turns, so that a busy machine is as busy for one as for the other: the
    ratios mean more than the seconds.

    Args:
        steps: The functions.
        repeats: Turns of each.
        seconds: How long a turn is, about.
    """
    counts, best = [], [float("inf")] * len(steps)
    for step in steps:
        began = time.process_time()
        for _ in range(3):
            step()
        counts.append(max(1, int(3 * seconds / max(time.process_time() - began, 1e-6))))
    for _ in range(repeats):
        for number, (step, count) in enumerate(zip(steps, counts, strict=True)):
            began = time.process_time()
            for _ in range(count):
                step()
            best[number] = min(best[number], (time.process_time() - began) / count)
    return best


def versions() -> dict[str, str]:
    """Machine and versions of libraries, on which measurements depend."""
    import stable_baselines3
    import torch

    return {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "stable_baselines3": stable_baselines3.__version__,
    }


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table; numbers from 100 on without decimals, None as an empty cell."""
    table = Table(title=title)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*(_text(value) for value in row))
    Console().print(table)


def write_result(path: Path | None, result: Mapping[str, Any]) -> None:
    """Write a result with its schema and versions as JSON; nothing if there is no path."""
    if path is not None:
        write_json(path, {"schema": 1, **versions(), **result})


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)

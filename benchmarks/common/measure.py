"""What the speed benchmarks share: timing, a table of noise, and the printed result."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from marl_stl_env.data.table import TrafficTable

#: The scaled columns of NSL-KDD's four views, and its training rows.
VIEW_SIZES = (87, 13, 9, 10)
ROWS = 106_518


def generated_table(rows: int = ROWS, view_sizes: Sequence[int] = VIEW_SIZES) -> TrafficTable:
    """A scaled table of noise, by default of NSL-KDD's size: speed does not depend on values.

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
    """Agent-steps per second of ``step``, the best of several runs after one step to warm up."""
    step()
    best = 0.0
    for _ in range(repeats):
        count, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds:
            step()
            count += 1
        best = max(best, count * agent_steps / elapsed)
    return best


def versions() -> dict[str, str]:
    """What a figure depends on besides the code."""
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
    """Print a table; numbers from 100 on without decimals, an absent one as nothing."""
    table = Table(title=title)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*(_text(value) for value in row))
    Console().print(table)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)

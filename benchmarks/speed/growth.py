"""Speed of the engine by lanes, sensors, features and rows, as one figure.

``python -m benchmarks.speed.growth --image docs/images/scaling.png --out scaling.json``
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks.common.measure import VIEW_SIZES, generated_table, rate, show, write_result
from benchmarks.common.partial import PARTIAL
from benchmarks.speed.throughput import engine_rate
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.files import atomic_path

LANES, AGENTS, FEATURES, ROWS = 1024, 4, sum(VIEW_SIZES), 100_000
SIZES: dict[str, tuple[int, ...]] = {
    "lanes": (1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536),
    "sensors": (1, 2, 4, 8, 16, 32, 64),
    "features": (10, 20, 50, 100, 200, 500),
    "rows": (10_000, 100_000, 1_000_000, 4_000_000, 16_000_000),
}
#: Columns of the tables along the axis of rows, so that 16 million rows fit into 6 GiB.
ROWS_FEATURES = 40


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes:
        quick: Only the two smallest sizes of each axis, with short measurements.
        seconds: Time for each measurement.
        repeats: The best of this many measurements counts.
        memory_gib: Sizes whose table and observations need more are skipped with a message.
        image: The figure to write.
        out: JSON file to write.
    """

    quick: bool = False
    seconds: float = 0.4
    repeats: int = 3
    memory_gib: float = 6.0
    image: Path | None = None
    out: Path | None = None


@dataclass(frozen=True)
class Case:
    """One combination of sizes."""

    lanes: int = LANES
    sensors: int = AGENTS
    features: int = FEATURES
    rows: int = ROWS

    @property
    def bytes_per_step(self) -> int:
        """Bytes of the observations that one agent-step writes."""
        return 4 * (self.features + self.sensors)

    @property
    def memory_gib(self) -> float:
        """Memory of the table and two batches of observations, in GiB."""
        batch = 2 * self.lanes * self.sensors * self.bytes_per_step
        return (4 * self.rows * self.features + batch) / 2**30


def cases(axis: str, quick: bool) -> list[Case]:
    """All sizes along one axis; the others have their middle size."""
    sizes = SIZES[axis][:2] if quick else SIZES[axis]
    fixed = {"features": ROWS_FEATURES} if axis == "rows" else {}
    return [Case(**(fixed | {axis: size})) for size in sizes]


def view_sizes(features: int) -> list[int]:
    """Four views in the proportions of NSL-KDD's."""
    sizes = [max(1, features * size // sum(VIEW_SIZES)) for size in VIEW_SIZES]
    return [features - sum(sizes[1:]), *sizes[1:]]


def measure(case: Case, table: TrafficTable, settings: Settings) -> dict[str, Any]:
    """The engine's speed at one size."""
    engine = Engine(replace(PARTIAL, agents=case.sensors), table, case.lanes, seeds=0)
    seconds, repeats = (0.02, 1) if settings.quick else (settings.seconds, settings.repeats)
    found = engine_rate(engine, seconds, repeats)
    target = engine.observe()
    source, agent_steps = target.copy(), case.lanes * case.sensors
    copying = rate(lambda: np.copyto(target, source), agent_steps, seconds, repeats)
    return {
        "lanes": case.lanes,
        "sensors": case.sensors,
        "features": case.features,
        "rows": case.rows,
        "agent_steps_per_s": found,
        "gigabytes_per_s": found * case.bytes_per_step / 1e9,
        "copying_per_s": copying,
    }


def grow(axis: str, settings: Settings) -> list[dict[str, Any]]:
    """The measurements along one axis; tables are reused while their size is the same."""
    found, table = [], None
    for case in cases(axis, settings.quick):
        if case.memory_gib > settings.memory_gib:
            print(f"{axis}: {case} needs {case.memory_gib:.1f} GiB, above --memory-gib: left out")
            continue
        if table is None or table.features.shape != (case.rows, case.features):
            table = None  # the old one goes before the new one comes
            gc.collect()
            table = generated_table(case.rows, view_sizes(case.features))
        found.append(measure(case, table, settings))
    return found


def draw(result: dict[str, Sequence[dict[str, Any]]], image: Path) -> None:
    """Draw agent-steps per second along each axis, beside copies of as many observations."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(SIZES), figsize=(13, 3.2), sharey=True)
    for panel, axis in zip(panels, SIZES, strict=True):
        sizes = [entry[axis] for entry in result[axis]]
        panel.loglog(sizes, [entry["agent_steps_per_s"] for entry in result[axis]], "o-")
        copying = [entry["copying_per_s"] for entry in result[axis]]
        panel.loglog(sizes, copying, "--", color="gray")
        panel.set_xlabel(axis)
        panel.grid(alpha=0.3)
    panels[0].legend(["engine", "copy of the same observations"], fontsize=8)
    panels[0].set_ylabel("agent-steps per second")
    figure.tight_layout()
    with atomic_path(image) as draft:
        figure.savefig(draft, dpi=110)
    plt.close(figure)


def every(result: dict[str, Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """All measurements of all axes."""
    return [entry for axis in SIZES for entry in result[axis]]


def main(settings: Settings) -> None:
    """Measure, print, draw and write."""
    result: dict[str, Sequence[dict[str, Any]]] = {axis: grow(axis, settings) for axis in SIZES}
    show("growth", list(every(result)[0]), [list(entry.values()) for entry in every(result)])
    if settings.image is not None:
        draw(result, settings.image)
    write_result(settings.out, result)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))

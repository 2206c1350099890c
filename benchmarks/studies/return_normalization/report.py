"""Table and figure of the study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from marl_stl_agents.config import ReturnNormalization
from rich.console import Console
from rich.table import Table

from benchmarks.studies.return_normalization.history import LAST
from marl_stl_env.files import atomic_path

MODES: tuple[ReturnNormalization, ...] = get_args(ReturnNormalization)
#: Curves of the figure and their scales.
CURVES = {
    "value_loss": ("value loss, as optimised", "log"),
    "value_loss_reward_units": ("value loss, reward units", "log"),
    "explained_variance": ("explained variance", "linear"),
    "episode_reward": ("episode reward of a sensor", "linear"),
    "f1": ("F1, greedy, validation", "linear"),
}


def chosen(runs: Sequence[dict[str, Any]], mode: str, discount: float) -> list[dict[str, Any]]:
    """The curves of every seed of one setting."""
    return [one["curves"] for one in runs if (one["mode"], one["discount"]) == (mode, discount)]


def settings_of(runs: Sequence[dict[str, Any]]) -> list[tuple[str, float]]:
    """Normalisations and discounts, in the order of the table."""
    found = {(one["mode"], one["discount"]) for one in runs}
    return sorted(found, key=lambda pair: (-pair[1], MODES.index(pair[0])))


def summary(curves: Sequence[dict[str, list[float]]]) -> dict[str, str]:
    """Values of the table: mean (smallest to largest) over the seeds."""
    loss = "value_loss_reward_units"
    columns: dict[str, list[float]] = {
        f"{loss}, first": [one[loss][0] for one in curves],
        f"{loss}, largest": [max(one[loss]) for one in curves],
    }
    for name in curves[0]:
        last = 1 if name in {"f1", "validation_reward"} else LAST
        columns[name] = [float(np.mean(one[name][-last:])) for one in curves]
    return {name: spread(values) for name, values in columns.items()}


def spread(values: Sequence[float]) -> str:
    """Mean (smallest to largest)."""
    return f"{np.mean(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def show(runs: Sequence[dict[str, Any]]) -> None:
    """Print one column for each setting."""
    columns = {
        f"{mode}, {discount:g}": summary(chosen(runs, mode, discount))
        for mode, discount in settings_of(runs)
    }
    names = dict.fromkeys(name for column in columns.values() for name in column)
    table = Table("", *columns, title=f"mean over seeds; the last {LAST} iterations unless stated")
    for name in names:
        table.add_row(name, *(column.get(name, "") for column in columns.values()))
    Console(width=220).print(table)


def draw(runs: Sequence[dict[str, Any]], image: Path) -> None:
    """Draw a row for each discount, with thin lines for seeds and a thick one for their mean."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    discounts = sorted({discount for _, discount in settings_of(runs)}, reverse=True)
    figure = Figure(figsize=(16, 3.2 * len(discounts)), layout="constrained")
    panels = figure.subplots(len(discounts), len(CURVES), squeeze=False, sharey="col")
    for row, discount in zip(panels, discounts, strict=True):
        for panel, (name, (title, scale)) in zip(row, CURVES.items(), strict=True):
            for mode, colour in zip(MODES, ("tab:green", "tab:orange", "tab:blue"), strict=True):
                lines = [one[name] for one in chosen(runs, mode, discount)]
                if lines:
                    plot(panel, lines, colour, mode, LAST if name == "f1" else 1)
            panel.set_yscale(scale)
            panel.set_title(title, fontsize=10)
            panel.set_xlabel("iteration")
            panel.grid(alpha=0.3)
        row[0].set_ylabel(f"discount {discount:g}", fontsize=12)
        row[0].axhline(1.0, color="gray", linestyle=":", linewidth=1)
        row[3].legend(fontsize=8, loc="lower right")
    with atomic_path(image) as draft:
        figure.savefig(draft, dpi=100)


def plot(panel: Any, lines: Sequence[Sequence[float]], colour: str, label: str, step: int) -> None:
    """The seeds of one setting in one panel, a point for every ``step`` iterations."""
    iterations = step * np.arange(1, len(lines[0]) + 1)
    for line in lines:
        panel.plot(iterations, line, color=colour, alpha=0.25, linewidth=0.8)
    panel.plot(iterations, np.mean(lines, axis=0), color=colour, label=label)

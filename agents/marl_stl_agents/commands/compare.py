"""Runs side by side: ``python -m marl_stl_agents.commands.compare --help``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from marl_stl_agents.command_line import run_command
from marl_stl_agents.console.output import say, show, warn
from marl_stl_agents.reporting.comparison import (
    METRICS,
    ComparedRun,
    differences,
    read_runs,
    warnings,
)
from marl_stl_env.config import Split
from marl_stl_env.validation import check_types


@dataclass(frozen=True)
class CompareConfig:
    """One comparison of runs that were evaluated on the same data.

    Attributes:
        runs: Two run directories or more.
        split: Which of their evaluations: that of ``evaluate.py`` on the test split, or that of
            another one.
        report: Also write the comparison as one self-contained page.
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    split: Split = "test"
    report: Path | None = None

    def __post_init__(self) -> None:
        check_types(self)


def show_comparison(runs: Sequence[ComparedRun], console: Console | None = None) -> None:
    """Print the metrics of the runs, the best in bold, and the settings in which they differ."""
    result = runs[0].result
    title = f"{result.dataset}, {result.split} split: {result.events:,} events"
    table = _table(title, "metric", runs)
    rows = {run.name: run.metrics for run in runs}
    for title in METRICS:
        values = [rows[run.name][title] for run in runs]
        table.add_row(title, *_cells(values, title))
    show(table, console)
    differing = differences(runs)
    if differing:
        table = _table("settings that differ", "setting", runs)
        for name, settings in differing.items():
            table.add_row(name, *settings)
        show(table, console)
    else:
        say("the settings do not differ", console)
    for warning in warnings(runs):
        warn(warning, console)


def _table(title: str, first: str, runs: Sequence[ComparedRun]) -> Table:
    table = Table(title=title)
    table.add_column(first)
    for run in runs:
        table.add_column(run.name, justify="right")
    return table


def _cells(values: Sequence[float | None], title: str) -> list[Text]:
    seconds = title == "training seconds"
    known = [value for value in values if value is not None]
    best = (min if seconds else max)(known, default=None)
    cells = []
    for value in values:
        text = "" if value is None else f"{value:.0f}" if seconds else f"{value:.3f}"
        cells.append(Text(text, "bold" if value is not None and value == best else ""))
    return cells


def main(settings: CompareConfig) -> None:
    """Print a comparison and, with ``--report``, write it as a page."""
    runs = read_runs(settings.runs, settings.split)
    show_comparison(runs)
    if settings.report is not None:
        from marl_stl_agents.reporting.compare_page import write_comparison

        write_comparison(runs, settings.report)
        say(f"report: {settings.report}")


if __name__ == "__main__":
    sys.exit(run_command(CompareConfig, main, "Put runs side by side."))

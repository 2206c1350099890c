"""Runs side by side: ``python -m marl_stl_agents.commands.compare --help``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from marl_stl_agents.command_line import run_command
from marl_stl_agents.console.output import say, show, warn
from marl_stl_agents.console.seeds import show_differences, show_groups
from marl_stl_agents.evaluation.seeds.folder import is_seeds
from marl_stl_agents.reporting.comparison import (
    COSTS,
    METRICS,
    ComparedRun,
    differences,
    warnings,
)
from marl_stl_agents.reporting.groups import (
    Comparison,
    Group,
    compare_groups,
    read_groups,
    write_json,
)
from marl_stl_env.config import Split
from marl_stl_env.validation import check_types


@dataclass(frozen=True)
class CompareConfig:
    """One comparison of runs that were evaluated on the same data.

    Attributes:
        runs: Two run directories or more, or folders of seeds. A folder of seeds is one group: its
            metrics are interquartile means with 95 % intervals, and the others are tested for
            differences from the first.
        split: Which of their evaluations: that of ``evaluate.py`` on the test split, or that of
            another one.
        report: Also write the comparison as one self-contained page.
        json: Also write the estimates and tests as JSON.
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    split: Split = "test"
    report: Path | None = None
    json: Path | None = None

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
    _show_settings(runs, console)


def _show_settings(runs: Sequence[ComparedRun], console: Console | None) -> None:
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
    better = min if title in COSTS else max
    known = [value for value in values if value is not None]
    best = better(known, default=None)
    cells = []
    for value in values:
        text = "" if value is None else f"{value:.0f}" if seconds else f"{value:.3f}"
        cells.append(Text(text, "bold" if value is not None and value == best else ""))
    return cells


def main(settings: CompareConfig) -> None:
    """Print a comparison and, with ``--report`` and ``--json``, write it as a page and as JSON."""
    several = any(is_seeds(path) for path in settings.runs)
    groups = read_groups(settings.runs, settings.split)
    runs = [run for group in groups for run in group.runs]
    found = compare_groups(groups, settings.split)
    if several:
        show_comparison_of_groups(groups, found)
    else:
        show_comparison(runs)
    if settings.json is not None:
        write_json(found, settings.json)
        say(f"JSON: {settings.json}")
    if settings.report is not None:
        from marl_stl_agents.reporting.compare_page import write_comparison

        write_comparison(runs, settings.report, found if several else None)
        say(f"report: {settings.report}")


def show_comparison_of_groups(
    groups: Sequence[Group], found: Comparison, console: Console | None = None
) -> None:
    """Print the metrics of groups, their differences, and the settings in which they differ."""
    result = groups[0].runs[0].result
    title = f"{result.dataset}, {result.split} split: {result.events:,} events"
    show_groups(title, found.groups, console)
    show_differences(found.differences, console)
    first = [replace(group.runs[0], name=group.name) for group in groups]
    _show_settings(first, console)


if __name__ == "__main__":
    sys.exit(run_command(CompareConfig, main, "Put runs side by side."))

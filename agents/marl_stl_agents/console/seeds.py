"""Estimates over seeds, and differences between groups of runs, as tables in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from marl_stl_agents.console.output import say, show
from marl_stl_agents.evaluation.seeds.statistics import SCORES, Difference, Estimate

_FEW = 5


def show_estimates(
    estimates: Mapping[str, Estimate],
    seeds: Sequence[int],
    split: str,
    console: Console | None = None,
) -> None:
    """Print mean, IQM with its interval, and extremes of every metric."""
    table = Table(title=f"{len(seeds)} seeds ({', '.join(map(str, seeds))}), {split} split")
    table.add_column("metric")
    for column in ("mean", "IQM", "95 % interval", "least", "most"):
        table.add_column(column, justify="right")
    for name, one in estimates.items():
        cells = (f"{one.mean:.3f}", f"{one.iqm:.3f}", interval(one.low, one.high))
        extremes = (f"{min(one.values):.3f}", f"{max(one.values):.3f}")
        table.add_row(SCORES[name].title, *cells, *extremes)
    show(table, console)
    if len(seeds) < _FEW:
        say(f"{len(seeds)} seeds are few: intervals of so few runs are too narrow", console)


def show_groups(
    title: str, groups: Mapping[str, Mapping[str, Estimate]], console: Console | None = None
) -> None:
    """Print the IQM of every metric and group, with its interval."""
    table = Table(title=title)
    table.add_column("metric, IQM [95 % interval]")
    for name, estimates in groups.items():
        count = len(next(iter(estimates.values())).values)
        table.add_column(f"{name} ({count} {'run' if count == 1 else 'runs'})", justify="right")
    for name, cells in group_rows(groups):
        table.add_row(name, *cells)
    show(table, console)


def show_differences(differences: Sequence[Difference], console: Console | None = None) -> None:
    """Print how each group differs from the first."""
    if not differences:
        return
    table = Table(title=f"differences from {differences[0].reference}")
    for place, column in enumerate(DIFFERENCE_COLUMNS):
        table.add_column(column, justify="left" if place < 3 else "right")
    for row in difference_rows(differences):
        table.add_row(*row)
    show(table, console)
    say(f"{P_VALUE_NOTE} {min(one.least_p_value for one in differences):.3g}", console)


DIFFERENCE_COLUMNS = (
    "group",
    "metric",
    "runs compared",
    "mean difference",
    "p",
    "probability of improvement",
    "95 % interval",
)
P_VALUE_NOTE = "p: permutation test, two-sided; the smallest that so many runs can give is"


def group_rows(
    groups: Mapping[str, Mapping[str, Estimate]],
) -> list[tuple[str, tuple[str, ...]]]:
    """Title and cells of every metric that some group has."""
    rows = []
    for name, score in SCORES.items():
        found = [estimates.get(name) for estimates in groups.values()]
        if any(one is not None for one in found):
            rows.append((score.title, tuple(map(_cell, found))))
    return rows


def difference_rows(differences: Sequence[Difference]) -> list[tuple[str, ...]]:
    """The cells of :data:`DIFFERENCE_COLUMNS`."""
    return [
        (
            one.group,
            SCORES[one.metric].title,
            "of the same seed" if one.paired else "all with all",
            f"{one.difference:+.3f}",
            f"{one.p_value:.3g}",
            f"{one.improvement:.2f}",
            interval(one.low, one.high, 2),
        )
        for one in differences
    ]


def interval(low: float | None, high: float | None, digits: int = 3) -> str:
    """Both ends in brackets; nothing where there is no interval."""
    return "" if low is None or high is None else f"[{low:.{digits}f}, {high:.{digits}f}]"


def _cell(one: Estimate | None) -> str:
    return "" if one is None else f"{one.iqm:.3f} {interval(one.low, one.high)}".rstrip()

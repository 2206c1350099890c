"""How a preflight looks in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from marl_stl_agents.diagnostics.preflight import Policy, Preflight

_FAMILIES = 12
_GOOD, _POOR = 0.8, 0.3


def show_preflight(report: Preflight, console: Console | None = None) -> None:
    """Print the splits, the reference policies, the classifiers and the verdict."""
    console = console or Console()
    console.print(_splits(report))
    for note in report.notes:
        console.print(note, soft_wrap=True, highlight=False)
    for column, reason in report.dropped.items():
        console.print(f"not used: [bold]{column}[/] ({reason})", soft_wrap=True, highlight=False)
    console.print(_policies(report))
    for column, auc in report.suspects.items():
        console.print(f"[bold red]possible label leak:[/] {column} alone has an AUC of {auc:.4f}")
    console.print(f"[bold {_colour(report)}]verdict:[/] {report.verdict}", soft_wrap=True)


def _splits(report: Preflight) -> Table:
    table = Table(title=f"splits of {report.dataset}")
    table.add_column("")
    for name in report.splits:
        table.add_column(name, justify="right")
    facts = list(report.splits.values())
    table.add_row("events", *(f"{fact.rows:,}" for fact in facts))
    table.add_row("threats", *(f"{fact.threats:,}" for fact in facts))
    table.add_row("threat rate", *(f"{fact.threats / fact.rows:.2%}" for fact in facts))
    total: dict[str, int] = {}
    for fact in facts:
        for family, count in fact.families.items():
            total[family] = total.get(family, 0) + count
    ranked = sorted(total, key=lambda family: -total[family])
    for family in ranked[:_FAMILIES]:
        table.add_row(family, *(f"{fact.families.get(family, 0):,}" for fact in facts), style="dim")
    if ranked[_FAMILIES:]:
        rest = [sum(fact.families.get(f, 0) for f in ranked[_FAMILIES:]) for fact in facts]
        table.add_row(
            f"{len(ranked) - _FAMILIES} more families", *(f"{n:,}" for n in rest), style="dim"
        )
    return table


def _policies(report: Preflight) -> Table:
    table = Table(
        title=f"reference policies and classifiers on {report.evaluated} (fitted on at most "
        f"{report.fitted_rows:,} training events)"
    )
    for column in ("policy", "precision", "recall", "F1", "mean reward"):
        table.add_column(column, justify="left" if column == "policy" else "right")
    for policy in report.policies:
        table.add_row(*_cells(policy), style="dim")
    table.add_section()
    for policy in report.classifiers:
        table.add_row(*_cells(policy), style="bold" if policy is report.best else None)
    if report.bound is not None:
        table.add_section()
        table.add_row(*_cells(report.bound))
    return table


def _cells(policy: Policy) -> tuple[str, ...]:
    return (
        policy.name.replace("_", " "),
        f"{policy.precision:.3f}",
        f"{policy.recall:.3f}",
        f"{policy.f1:.3f}",
        f"{policy.reward:+.3f}",
    )


def _colour(report: Preflight) -> str:
    share = report.share or 0.0
    if report.suspects or share < _POOR:
        return "red"
    return "green" if share >= _GOOD else "yellow"

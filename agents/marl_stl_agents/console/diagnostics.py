"""The preflight and the checklist in the terminal, and the checklist in TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from marl_stl_agents.console.output import labelled, say, show
from marl_stl_agents.console.sentences import checklist_sentence
from marl_stl_agents.diagnostics.checklist import Check, Checklist
from marl_stl_agents.diagnostics.facts import DataFacts
from marl_stl_agents.diagnostics.preflight import Policy, Preflight
from marl_stl_agents.evaluation.result import EvaluationResult
from marl_stl_agents.printable import printable

_FAMILIES = 12
_GOOD, _POOR = 0.8, 0.3
_SIGNS = {"passed": "holds", "failed": "FAILED", "unknown": "not yet known"}


def show_preflight(report: Preflight, console: Console | None = None) -> None:
    """Print the splits, the reference policies, the classifiers and the verdict."""
    show_facts(report.facts, console)
    show_references(report, console)


def show_facts(facts: DataFacts, console: Console | None = None) -> None:
    """Print the splits, what is left out, and columns that may hold the label."""
    show(_splits(facts), console)
    for note in facts.notes:
        say(note, console)
    for column, reason in facts.dropped.items():
        say(f"not used: {column} ({reason})", console)
    for column, auc in facts.suspects.items():
        say(
            labelled("possible label leak", f"{column} alone has an AUC of {auc:.4f}", "bold red"),
            console,
        )


def show_references(report: Preflight, console: Console | None = None) -> None:
    """Print the reference policies, the classifiers and the verdict."""
    show(_policies(report), console)
    say(labelled("verdict", report.verdict, f"bold {_colour(report)}"), console)


def _splits(known: DataFacts) -> Table:
    table = Table(title=f"splits of {known.dataset}")
    table.add_column("")
    for name in known.splits:
        table.add_column(name, justify="right")
    facts = list(known.splits.values())
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
        policy.name,
        f"{policy.precision:.3f}",
        f"{policy.recall:.3f}",
        f"{policy.f1:.3f}",
        f"{policy.reward:+.3f}",
    )


def _colour(report: Preflight) -> str:
    share = report.share or 0.0
    if report.facts.suspects or share < _POOR:
        return "red"
    return "green" if share >= _GOOD else "yellow"


def say_how_both_fit(checklist: Checklist, result: EvaluationResult) -> None:
    """Relate the last result of the checklist to the verdict, where they seem to disagree."""
    last = checklist.checked[-1].checks if checklist.checked else []
    if sentence := checklist_sentence(last, result.verdict):
        say(sentence)


def show_checklist(iteration: int, checks: Sequence[Check]) -> None:
    """Print the failed checks as a table, then one line with the totals."""
    failed = [check for check in checks if check.status == "failed"]
    unknown = [check.name for check in checks if check.status == "unknown"]
    summary = f"{len(checks) - len(failed) - len(unknown)} of {len(checks)} hold"
    if unknown:
        summary += f"; too early to tell: {', '.join(unknown)}"
    if failed:
        show(_failed(iteration, failed))
        summary += "; docs/guide/training.md explains every check"
    say(f"checklist after iteration {iteration}: {summary}")


def _failed(iteration: int, failed: Sequence[Check]) -> Table:
    table = Table(
        title=Text(f"checklist after iteration {iteration}: {len(failed)} failed", "bold red"),
        show_header=False,
        show_lines=True,
    )
    for check in failed:
        facts = {
            "should hold": check.expectation,
            "measured": check.measured,
            "likely cause": check.cause,
            "try": check.remedy,
        }
        text = Table.grid(padding=(0, 1))
        for title, fact in facts.items():
            text.add_row(Text(title, "dim"), Text(printable(fact or "")))
        table.add_row(Text(check.name, "bold red"), text)
    return table


def as_markdown(checks: Sequence[Check]) -> str:
    """All lines as a table, the failed ones first."""
    titles = ("", "check", "should hold", "measured", "likely cause", "try")
    rows = [titles, ("---",) * len(titles)]
    for one in sorted(checks, key=lambda check: check.status != "failed"):
        facts = (one.name, one.expectation, one.measured, one.cause or "", one.remedy or "")
        rows.append((_SIGNS[one.status], *facts))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)

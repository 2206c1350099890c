"""How the checklist looks in the terminal and in TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from marl_stl_agents.console.output import say, show
from marl_stl_agents.diagnostics.checks import Check
from marl_stl_agents.printable import printable

_SIGNS = {"passed": "holds", "failed": "FAILED", "unknown": "not yet known"}


def show_checklist(iteration: int, checks: Sequence[Check], console: Console | None = None) -> None:
    """Print the failed checks as a table, then one line with the totals."""
    failed = [check for check in checks if check.status == "failed"]
    unknown = [check.name for check in checks if check.status == "unknown"]
    summary = f"{len(checks) - len(failed) - len(unknown)} of {len(checks)} hold"
    if unknown:
        summary += f"; too early to tell: {', '.join(unknown)}"
    if failed:
        show(_table(iteration, failed), console)
        summary += "; docs/training.md explains every check"
    say(f"checklist after iteration {iteration}: {summary}", console)


def _table(iteration: int, failed: Sequence[Check]) -> Table:
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

"""How the checklist looks in the terminal and in TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agents.checks import Check

_SIGNS = {"passed": "holds", "failed": "FAILED", "unknown": "not yet known"}


def show_checklist(iteration: int, checks: Sequence[Check], console: Console | None = None) -> None:
    """Print one line where all holds, and else every failed line with its cause and remedy."""
    console = console or Console()
    failed = [check for check in checks if check.status == "failed"]
    unknown = [check.name for check in checks if check.status == "unknown"]
    passed = len(checks) - len(failed) - len(unknown)
    rest = f"{passed} of {len(checks)} hold"
    if unknown:
        rest += f", too early to tell: {', '.join(unknown)}"
    title = f"checklist after iteration {iteration}: "
    if not failed:
        console.print(title + rest, soft_wrap=True, highlight=False)
        return
    table = Table(title=f"[bold red]{title}{len(failed)} failed[/]", show_lines=True)
    for column in ("failed", "should hold", "measured", "likely cause", "try"):
        table.add_column(column, overflow="fold")
    for check in failed:
        cells = (check.name, check.expectation, check.measured, check.cause, check.remedy)
        table.add_row(
            *(escape(cell or "") for cell in cells), style="bold" if check is failed[0] else None
        )
    console.print(table)
    console.print(f"{rest}; docs/training.md explains every line", soft_wrap=True, highlight=False)


def as_markdown(checks: Sequence[Check]) -> str:
    """All lines as a table, the failed ones first."""
    titles = ("", "check", "should hold", "measured", "likely cause", "try")
    rows = [titles, ("---",) * len(titles)]
    for one in sorted(checks, key=lambda check: check.status != "failed"):
        told = (one.name, one.expectation, one.measured, one.cause or "", one.remedy or "")
        rows.append((_SIGNS[one.status], *told))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)

"""``python -m marl_stl_env.stl check "FORMULA" trace.csv``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from marl_stl_env.errors import MarlStlError
from marl_stl_env.stl.parser import parse
from marl_stl_env.stl.robustness import Verdict, first_violation, robustness, satisfied, verdict
from marl_stl_env.stl.traces import read_traces

KEPT, BROKEN, FAILED = 0, 1, 2


def check(
    formula: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FORMULA")],
    trace: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="TRACE.CSV")],
    /,
    by_row: bool = False,
) -> int:
    """Check a formula on a recorded trace.

    Exits with 0 if every lane satisfies the formula, with 1 if one violates it, with 2 on an error.

    Args:
        formula: For example "always(threat -> eventually[0,5] contained)".
        trace: CSV file with one column per signal; a column "lane" tells lanes apart. Intervals
            count rows; a column "time" must agree and grow by 1 a row.
        by_row: Count rows whatever the column of times says.
    """
    parsed = parse(formula)
    traces, lanes, clock = read_traces(trace, parsed, by_row=by_row)
    kept, decided = satisfied(parsed, traces), verdict(parsed, traces)
    values, broken = robustness(parsed, traces)[:, 0], first_violation(parsed, traces)
    table = Table("lane", "verdict", "robustness", "first violation", title_justify="left")
    for i, lane in enumerate(lanes):
        word = "satisfied" if kept[i] else "violated"
        word += "" if decided[i] != Verdict.UNDECIDED else " so far"
        time = "-" if kept[i] else str(broken[i])
        table.add_row(_printable(lane) or "-", word, f"{values[i]:g}", time)
    console = Console(markup=False)
    console.print(str(parsed), markup=False, highlight=False, soft_wrap=True)
    console.print(table)
    if clock is not None:
        name = _printable(clock)
        console.print(
            f"intervals count rows, not the units of the column '{name}'", highlight=False
        )
    if (decided == Verdict.UNDECIDED).any():
        console.print("so far: samples after the end of the trace could still change the verdict")
    return KEPT if kept.all() else BROKEN


def _printable(text: str) -> str:
    """The text without control and bidirectional characters."""
    return "".join(c if c.isprintable() else "?" for c in text)


def main() -> int:
    """Run the command line; returns the exit code."""
    try:
        code: int = tyro.extras.subcommand_cli_from_dict(
            {"check": check}, prog="python -m marl_stl_env.stl", description="Temporal logic tools."
        )
    except MarlStlError as error:
        errors = Console(stderr=True, style="red", markup=False, highlight=False, soft_wrap=True)
        errors.print(str(error))
        return FAILED
    return code


if __name__ == "__main__":
    sys.exit(main())

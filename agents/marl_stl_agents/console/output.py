"""What every command prints through: no string is ever markup."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from marl_stl_agents.printable import printable


class PlainConsole(Console):
    """A console for which strings are text: no markup, no emoji codes, no control characters.

    Styled text is a :class:`rich.text.Text` made from the program's own words.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        """The string as it is, unsafe characters escaped (cells, titles and lines come here)."""
        return super().render_str(
            printable(text), **{**options, "markup": False, "emoji": False, "highlight": False}
        )


_console = PlainConsole()


def show(renderable: object, console: Console | None = None) -> None:
    """Print a table or a text; a name that does not fit is broken, and no letter left out."""
    if isinstance(renderable, Table):
        for column in renderable.columns:
            column.overflow = "fold"
    (console or _console).print(renderable)


def say(text: str | Text, console: Console | None = None) -> None:
    """Print a line, without breaking paths."""
    (console or _console).print(text, soft_wrap=True, highlight=False)


@contextmanager
def working(console: Console | None = None) -> Iterator[Callable[[str], None]]:
    """Yield a function that says, in one line each, what is being done.

    In a terminal a bar with the time that the present step has taken moves below the lines.
    """
    target = console or _console
    columns = (SpinnerColumn(), BarColumn(20), TimeElapsedColumn())
    with Progress(
        *columns,
        console=target,
        transient=True,
        refresh_per_second=4,
        disable=not target.is_terminal,
    ) as progress:
        bar = progress.add_task("", total=None)

        def begin(step: str) -> None:
            say(f"{step} ...", target)
            progress.reset(bar, total=None)

        yield begin


class _Rate(ProgressColumn):
    """Agent-steps a second: what a training counts."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} agent-steps/s")


def training_bar() -> Progress:
    """A bar over the agent-steps of a training, with what it is doing; only in a terminal."""
    columns = (
        "{task.percentage:>3.0f}%", BarColumn(), "{task.completed:,}/{task.total:,}", _Rate(),
        TimeElapsedColumn(), "{task.description}",
    )  # fmt: skip
    return Progress(*columns, console=_console, disable=not _console.is_terminal)


def warn(text: str, console: Console | None = None) -> None:
    """Print a warning."""
    say(labelled("warning", text, "bold yellow"), console)


def labelled(label: str, text: str, style: str) -> Text:
    """``label: text``, the label in a style."""
    return Text.assemble((printable(label), style), ": ", printable(text))

"""What every command prints through: no string is ever markup."""

from __future__ import annotations

from typing import Any

from rich.console import Console
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
    """Print a table or a text."""
    (console or _console).print(renderable)


def say(text: str | Text, console: Console | None = None) -> None:
    """Print a line, without breaking paths."""
    (console or _console).print(text, soft_wrap=True, highlight=False)


def warn(text: str, console: Console | None = None) -> None:
    """Print a warning."""
    say(labelled("warning", text, "bold yellow"), console)


def labelled(label: str, text: str, style: str) -> Text:
    """``label: text``, the label in a style."""
    return Text.assemble((printable(label), style), ": ", printable(text))

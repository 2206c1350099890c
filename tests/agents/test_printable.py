"""User text in a terminal: no markup, no control or bidirectional characters."""

from __future__ import annotations

import io
import shlex
from pathlib import Path

import pytest
from marl_stl_agents.console.output import PlainConsole, say, show, warn
from marl_stl_agents.printable import command_line, printable
from rich.table import Table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;x\x07", "\\x1b]0;x\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202eb\u2066", "a\\u202eb\\u2066"),
        ("\ud800", "\\ud800"),
        ("größe\t日本\n", "größe\t日本\n"),
    ],
)
def test_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_command_can_be_copied_into_a_shell() -> None:
    words = ["train", "--resume", "runs/my run; ls", "$HOME"]
    assert shlex.split(command_line(*words)) == ["marl-stl-train", *words[1:]]
    assert command_line("evaluate", Path("runs/one")) == "marl-stl-evaluate runs/one"


@pytest.mark.parametrize("text", ["q[/x].csv", "k[red]k", "a:x:b", "[link=http://x]y[/link]"])
def test_text_is_never_markup(text: str) -> None:
    console = PlainConsole(file=io.StringIO(), width=120, force_terminal=True)
    table = Table(title=text)
    table.add_column(text)
    table.add_row(text)
    say(text, console)
    warn(text, console)
    show(table, console)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count(text) == 5

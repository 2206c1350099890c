"""Text of users and data, made safe to show in a terminal or a page."""

from __future__ import annotations

import re
import shlex

#: Control characters but tab and newline, lone surrogates, line separators, bidirectional controls.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)


def printable(text: str) -> str:
    r"""The text with every character escaped that would command the terminal or reorder words.

    ESC becomes ``\x1b``, a right-to-left override ``\u202e``. Letters of all scripts, tabs and
    newlines stay.
    """
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def command_line(command: str, *words: object) -> str:
    """A command of this package as a shell takes it, paths with spaces quoted.

    Args:
        command: What follows ``marl-stl-`` in its name.
        words: Its arguments.
    """
    return shlex.join([f"marl-stl-{command}", *map(str, words)])

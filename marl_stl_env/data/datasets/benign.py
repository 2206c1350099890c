"""Which labels of a user's table are benign.

Labels are compared by meaning, not by spelling. If it is ambiguous which of them are benign, the
user is asked to name those.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from marl_stl_env.data.ingest.batch import Batch
from marl_stl_env.data.ingest.build import Target
from marl_stl_env.data.ingest.coder import Coder
from marl_stl_env.data.ingest.texts import MISSING, is_number
from marl_stl_env.errors import LabelError

#: Labels that are benign by default.
BENIGN_VALUES = ("0", "false", "benign", "normal")
#: Labels that may be benign as well.
_SOUNDS_BENIGN = re.compile(
    r"(?:non|not|no)[ _-]?(?:attack|malicious|malware|threat|anomal|intrusion|botnet)"
    r"|^(?:benign|normal|legit|clean|background|harmless|innocent|goodware)"
    r"|^(?:good|safe|ok|okay|regular|none|no|negative)$"
)
#: Names of columns in which 1 or "true" means benign.
_ASKS_FOR_BENIGN = re.compile(r"benign|normal|legit|clean|harmless|innocent|safe|good", re.I)
_ASKS_FOR_THREAT = re.compile(r"abnormal|\bnot|non[ _-]?", re.I)


def spelled(text: str) -> str:
    """The normal spelling of a label: numbers by value, words in lower case without final dots.

    >>> [spelled(text) for text in ("-0.0", "1.00", " Benign. ", "normal")]
    ['0', '1', 'benign', 'normal']
    """
    name = " ".join(text.split())
    if is_number(name):
        value = float(name)
        if value.is_integer():
            return str(int(value))
        return str(value)
    return name.rstrip(".").rstrip().lower()


def label_name(text: str, missing: frozenset[str] = MISSING) -> str:
    """The name of a label; numbers with the same value have the same name.

    Raises:
        ValueError: If the label is missing or not finite.
    """
    name = " ".join(text.split())
    if name in missing or name.lower() in ("nan", "inf", "-inf", "infinity", "-infinity"):
        raise ValueError(f"{text!r} is no label; remove the row or give it one")
    return spelled(name) if is_number(name) else name


def count_benign(
    file: str, column: str, labels: Coder, benign: frozenset[str], *, given: bool
) -> dict[str, int]:
    """Benign label to its number of rows, the most frequent first.

    Args:
        file: File of the table.
        column: Name of the column of labels.
        labels: Coder of all labels that occur.
        benign: Benign labels, as :func:`spelled`.
        given: Whether the user named them.

    Raises:
        LabelError: If it is not clear which labels are benign.
    """
    problem = _problem(column, labels.names, benign, given=given)
    if problem is not None:
        shown = ", ".join(labels.names[:20])
        raise LabelError(
            file,
            f"{problem}; the labels are {shown}. Name the benign ones with benign_values=",
            column=column,
        )
    counts = {name: rows for name, rows in labels.counts.items() if spelled(name) in benign}
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def clear(
    target: Callable[[Batch], Target], column: str, labels: Coder, benign: frozenset[str]
) -> Callable[[Batch], Target]:
    """A target of new traffic that refuses labels of which it is not clear which are benign.

    Args:
        target: The target; it codes the labels.
        column: Name of the column of labels.
        labels: Coder of all labels that have occurred.
        benign: Benign labels, as :func:`spelled`.
    """

    def checked(batch: Batch) -> Target:
        found = target(batch)
        problem = _ambiguity(column, labels.names, benign)
        if problem is not None:
            shown = ", ".join(labels.names[:20])
            raise LabelError(
                batch.file,
                f"{problem}; the labels are {shown}. Write them as in the training files, or leave "
                "the column out",
                column=column,
            )
        return found

    return checked


def _problem(
    column: str, names: Sequence[str], benign: frozenset[str], *, given: bool
) -> str | None:
    """Why it is not clear which labels are benign, or None if it is."""
    absent = benign - {spelled(name) for name in names}
    if absent if given else absent == benign:
        return f"benign_values {', '.join(sorted(absent))} do not occur"
    return None if given else _ambiguity(column, names, benign)


def _ambiguity(column: str, names: Sequence[str], benign: frozenset[str]) -> str | None:
    found = {spelled(name) for name in names}
    numbers = {name for name in found if is_number(name)}
    truths = found & {"true", "false"}
    words = found - numbers - truths
    also = [n for n in names if _SOUNDS_BENIGN.search(spelled(n)) and spelled(n) not in benign]
    if numbers - {"0", "1"}:
        return "numbered classes do not say which of them is benign"
    if numbers and (words or truths):
        return "numbers and words are mixed"
    if not words and _ASKS_FOR_BENIGN.search(column) and not _ASKS_FOR_THREAT.search(column):
        return f"the name {column!r} suggests that {'1' if numbers else 'true'} is benign"
    if also:
        taken = [name for name in names if spelled(name) in benign]
        if not taken:
            return f"{', '.join(also)} may be benign"
        return f"{', '.join(taken)} would be benign, but {', '.join(also)} may be as well"
    return None

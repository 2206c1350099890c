"""Which labels of a table are benign, where nobody knows the publisher's words for it.

Labels are compared by what they mean, not by how they are spelled. Where they could mean more
than one thing, the user is asked to name the benign ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from marl_stl_env.data.ingest.texts import MISSING, is_number

#: What counts as benign where ``benign_values`` does not say otherwise.
BENIGN_VALUES = ("0", "false", "benign", "normal")
#: Words of labels that may be benign as well.
_SOUNDS_BENIGN = re.compile(
    r"(?:non|not|no)[ _-]?(?:attack|malicious|malware|threat|anomal|intrusion|botnet)"
    r"|^(?:benign|normal|legit|clean|background|harmless|innocent|goodware)"
    r"|^(?:good|safe|ok|okay|regular|none|no|negative)$"
)
#: Names of columns in which a 1 or "true" would be benign.
_ASKS_FOR_BENIGN = re.compile(r"benign|normal|legit|clean|harmless|innocent|safe|good", re.I)
_ASKS_FOR_THREAT = re.compile(r"abnormal|\bnot|non[ _-]?", re.I)


def spelled(text: str) -> str:
    """A label in one spelling: numbers by their value, words in lower case without dots at the end.

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
    """The name of a label; numbers of one value share one.

    Raises:
        ValueError: If it is missing or not finite.
    """
    name = " ".join(text.split())
    if name in missing or name.lower() in ("nan", "inf", "-inf", "infinity", "-infinity"):
        raise ValueError(f"{text!r} is no label; remove the row or give it one")
    return spelled(name) if is_number(name) else name


def benign_problem(
    column: str, labels: Iterable[str], benign: frozenset[str], *, given: bool
) -> str | None:
    """Why it is not clear which labels are benign, or None where it is.

    Args:
        column: Name of the column of labels.
        labels: All labels that occur.
        benign: The benign ones, as :func:`spelled`.
        given: Whether the user named them.
    """
    names = list(labels)
    absent = benign - {spelled(name) for name in names}
    if absent if given else absent == benign:
        return f"benign_values {', '.join(sorted(absent))} do not occur"
    return None if given else _ambiguity(column, names, benign)


def _ambiguity(column: str, names: list[str], benign: frozenset[str]) -> str | None:
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
        return f"{', '.join(taken)} would be benign, but {', '.join(also)} may be as well"
    return None

"""What an analyst found out of events, as a column of new traffic."""

from __future__ import annotations

import numpy as np

from marl_stl_env.data.ingest.batch import Batch
from marl_stl_env.data.ingest.coder import Coder
from marl_stl_env.errors import LabelError
from marl_stl_env.types import Int8Array

#: How a verdict may be spelled, in any case.
THREAT = ("1", "true", "threat", "attack", "malicious")
BENIGN = ("0", "false", "benign", "normal")
#: Texts, beside the marks for "no value", that say that nothing was found out.
UNKNOWN = ("unknown", "-1")


def read_verdicts(batch: Batch, column: str) -> Int8Array:
    """The verdicts of a column.

    Args:
        batch: The rows.
        column: Its name. A field is one of :data:`THREAT`, :data:`BENIGN` and :data:`UNKNOWN`, a
            truth value, or empty for unknown.

    Returns:
        1 for a threat, 0 for benign, -1 for unknown.  # (rows,) int8

    Raises:
        LabelError: If a field is something else.
    """
    absent = batch.absent(column)
    coder = Coder(_plain, limit=1000, kind=LabelError)
    codes = coder.codes(batch.as_text([column]), column)
    known = [value_of(name) for name in coder.names]
    values = np.array([_NONE if one is None else one for one in known], np.int8)
    found = np.where(absent, np.int8(-1), values[codes])
    if (found == _NONE).any():
        at = int((found == _NONE).argmax())
        raise batch.error(
            f"{batch.shown(column, at)} is no verdict; write threat, benign, or nothing where none "
            "was given",
            at, column, LabelError,
        )  # fmt: skip
    return found


_NONE = -2


def _plain(text: str) -> str:
    name = text.strip().lower()
    return name.removesuffix(".0")


def value_of(text: str) -> int | None:
    """A verdict: 1 for a threat, 0 for benign, -1 for unknown; None where a text is none."""
    name = _plain(text)
    for value, names in ((1, THREAT), (0, BENIGN), (-1, UNKNOWN)):
        if name in names:
            return value
    return None

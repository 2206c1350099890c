"""What the columns of an unknown table hold, as far as its first rows tell."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from marl_stl_env.data.ingest.batch import Batch
from marl_stl_env.data.ingest.batches import Batches
from marl_stl_env.data.ingest.build import MAX_ENTITIES
from marl_stl_env.data.ingest.coder import Coder
from marl_stl_env.data.ingest.texts import as_text_category
from marl_stl_env.errors import DataFormatError

_ROW_NUMBER = re.compile(
    r"#|(unnamed.*|index|idx|(row|record|line|flow|event|sample|serial|sl|s)?[ ._-]*"
    r"(id|no|nr|num|number|index|idx|seq)\.?|row|record|seq(uence)?)",
    re.I,
)
_IDENTIFIER_NAME = re.compile(
    r"(^|[ ._-])(id|uid|uuid|guid|ip|ipv4|ipv6|addr|address|mac|host|hostname|user|username|port|"
    r"session|hash)($|[ ._-])|(src|dst|source|dest)[ ._-]?(ip|addr|port)",
    re.I,
)
_TIME_NAME = re.compile(r"(^|[ ._-])(ts|timestamp|stime|ltime|datetime|date|epoch)($|[ ._-])", re.I)
_ISO_TIME = re.compile(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}([ T]\d|$)|\d{1,2}:\d{2}(:\d{2})?")
_EPOCHS = ((9e8, 4e9), (9e11, 4e12), (9e14, 4e15), (9e17, 4e18))  # s, ms, us, ns; 1998 to 2096
_MANY = 100


def first_batch(source: Batches, features: Sequence[str]) -> Batch:
    """The first rows of a source.

    Raises:
        DataFormatError: If there is no row.
    """
    first = next(iter(source.read(features)), None)
    if first is None:
        raise DataFormatError(source.file, "there are no rows below the header")
    return first


def are_categorical(first: Batch, features: Sequence[str], texts: Sequence[str]) -> tuple[str, ...]:
    """The features that hold text, judged by the first batch, and those of ``texts``.

    Raises:
        DataFormatError: If a column holds times, numbers in another notation, or numbers and
            words.
    """
    return tuple(name for name in features if name in texts or not _is_numeric(first, name))


def row_numbers(first: Batch, features: Sequence[str]) -> list[str]:
    """The features that count the rows, by their names and by the first batch."""
    named = [name for name in features if _ROW_NUMBER.fullmatch(name.strip())]
    return [name for name in named if _counts_rows(first, name)]


def suspicious(first: Batch, features: Sequence[str]) -> list[str]:
    """Lines that name features that look like identifiers or times, judged by the first batch."""
    found: dict[str, list[str]] = {"identifiers": [], "times": []}
    for name in features:
        kind = _kind(first, name)
        if kind is not None:
            found[kind].append(name)
    remedy = {
        "identifiers": "a model learns them by heart; name one entity=, drop= the others",
        "times": "a model learns the hour of the attacks; name one time=, drop= the others",
    }
    return [
        f"features that look like {kind}: {', '.join(names)} ({remedy[kind]})"
        for kind, names in found.items()
        if names
    ]


def _is_numeric(batch: Batch, column: str) -> bool:
    import pyarrow as pa

    if pa.types.is_temporal(batch.columns[column].type):
        raise DataFormatError(
            batch.file, "a column of times is no feature; name it time= or drop= it", column=column
        )
    try:
        batch.numbers(column, missing=True)
    except DataFormatError as error:
        if error.row is None:  # no text, and no numbers either
            raise
        try:
            Coder(as_text_category, limit=MAX_ENTITIES).codes(batch, column)
        except DataFormatError as mixed:
            if "is a number" not in mixed.problem:
                raise
            what = error.problem.partition(";")[0]
            raise DataFormatError(
                batch.file,
                f"{what}, though other rows hold numbers; mend it, add it to missing= "
                "where it means no value, drop= the column, or take it for text with categorical=",
                row=error.row,
                column=column,
            ) from None
        return False
    return True


def _counts_rows(batch: Batch, column: str) -> bool:
    try:
        values = batch.numbers(column, missing=False)
    except DataFormatError:
        return False
    return len(values) > 1 and bool((np.diff(values) == 1).all())


def _kind(batch: Batch, column: str) -> str | None:
    """Whether a feature looks like identifiers or times."""
    try:
        values = batch.numbers(column, missing=True)
    except DataFormatError:
        texts = Coder(limit=MAX_ENTITIES, fallback="latin-1")
        texts.codes(batch, column)
        names = [name for name in texts.names if name not in batch.missing]
        if names and all(_ISO_TIME.match(name) for name in names):
            return "times"
        many = len(names) > _MANY and len(names) > len(batch) / 2
        return "identifiers" if many or _IDENTIFIER_NAME.search(column) else None
    finite = values[np.isfinite(values)]
    if finite.size and any(low < finite.min() and finite.max() < high for low, high in _EPOCHS):
        return "times"
    if _TIME_NAME.search(column):
        return "times"
    counts = finite.size > _MANY and bool((np.diff(finite) == 1).all())
    return "identifiers" if counts or _IDENTIFIER_NAME.search(column) else None

"""The file of decisions: where it may stand, and the formats that it is written in."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from marl_stl_env.errors import DecidingError
from marl_stl_env.files import atomic_path, output_errors

#: Name of the file of decisions in its run directory, without its ending.
DECISIONS = "decisions"
#: The endings that name a format.
ENDINGS = (".csv", ".parquet", ".ndjson")
_REMEDY = "choose another --decisions"


class DecisionWriter(Protocol):
    """Takes the decisions, some thousand rows at a time."""

    def write_batch(self, batch: Any) -> None:
        """Write rows of one schema (a record batch of arrow)."""


def check_target(target: Path, source: Path, run: Path) -> Path:
    """Refuse a place for the decisions where something would be lost or mistaken.

    Args:
        target: The file of decisions.
        source: The input.
        run: The run directory.

    Returns:
        Where the summary is written: the same name with the ending ``.json``.

    Raises:
        DecidingError: If the ending names no format; if the decisions or their summary would
            replace the input or another file, or stand among the files of the run.
    """
    if target.suffix.lower() not in ENDINGS:
        raise DecidingError(
            f"the ending of {target} names no format; let --decisions end in "
            f"{', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}"
        )
    summary = target.with_suffix(".json")
    for what, path in (("the decisions", target), ("the summary beside them", summary)):
        if _is_same(path, source):
            raise DecidingError(f"{what} cannot be written to their input {source}; {_REMEDY}")
        _check_free(what, path)
    # Not Path.resolve, which fails at a loop of links.
    folder, home = Path(os.path.realpath(target.parent)), Path(os.path.realpath(run))
    if home in (folder, *folder.parents) and not (
        folder == home and target.name.startswith(DECISIONS)
    ):
        raise DecidingError(
            f"{target} would stand among the files of the run {run}; there the decisions can only "
            f"be called {DECISIONS}*, or {_REMEDY} outside"
        )
    return summary


def _is_same(path: Path, source: Path) -> bool:
    try:
        return path.samefile(source)
    except OSError:  # one of them is not there
        return False


def _check_free(what: str, path: Path) -> None:
    if os.path.lexists(path):
        raise DecidingError(f"{what} would replace {path}, which exists; remove it, or {_REMEDY}")


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yield a draft that becomes a new file whole or not at all; an existing one stays.

    Raises:
        OutputError: If it cannot be written.
        DecidingError: If a file of this name has come up meanwhile.
    """
    with output_errors(path), atomic_path(path) as draft:
        yield draft
        _check_free("the file", path)


@contextmanager
def decision_writer(draft: Path, schema: Any, ending: str) -> Iterator[DecisionWriter]:
    """A writer of the format that an ending names.

    Args:
        draft: The file to write.
        schema: The arrow schema of the rows.
        ending: One of :data:`ENDINGS`.
    """
    draft = draft.absolute()  # pyarrow would take a folder "~" for the home folder
    if ending.lower() == ".parquet":
        from pyarrow import parquet

        with parquet.ParquetWriter(draft, schema) as writer:
            yield writer
    elif ending.lower() == ".csv":
        from pyarrow import csv

        with csv.CSVWriter(draft, _plain_schema(schema)) as writer:
            yield _Plain(writer, _plain_schema(schema))
    else:
        with draft.open("w", encoding="utf-8") as handle:
            yield _Plain(_JsonLines(handle), _plain_schema(schema))


def _plain_schema(schema: Any) -> Any:
    """The schema without dictionaries."""
    kinds = [(one.name, one.type.value_type if _is_coded(one) else one.type) for one in schema]
    return pa.schema(kinds)


def _is_coded(field: Any) -> bool:
    return bool(pa.types.is_dictionary(field.type))


class _Plain:
    """Spells out dictionaries before it writes."""

    def __init__(self, writer: DecisionWriter, schema: Any) -> None:
        self._writer, self._schema = writer, schema

    def write_batch(self, batch: Any) -> None:
        columns = [
            column.cast(field.type) if column.type != field.type else column
            for column, field in zip(batch.columns, self._schema, strict=True)
        ]
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))


class _JsonLines:
    """An object a line; what JSON cannot hold becomes text, and what is no number null."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def write_batch(self, batch: Any) -> None:
        for row in batch.to_pylist():
            plain = {name: _finite(value) for name, value in row.items()}
            self._handle.write(json.dumps(plain, default=str, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value

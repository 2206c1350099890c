"""Sources of rows: CSV and Parquet files and pandas DataFrames, in batches of a bounded size."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from marl_stl_env.data.ingest.batch import Batch
from marl_stl_env.data.ingest.readers.csv_rows import Dialect, first_fields, read_csv
from marl_stl_env.data.ingest.readers.decode import decoded
from marl_stl_env.errors import (
    DataFileNotFoundError,
    DataFormatError,
    DuplicateColumnError,
    MissingColumnError,
)

BATCH_ROWS = 1 << 16
INDEX = "Unnamed: 0"  # pandas' name for a first column without one: the index that it wrote

Rename = Callable[[list[str]], list[str]]


@dataclass(frozen=True)
class Batches:
    """A source of rows, to be read once.

    Attributes:
        file: Path or description, for messages.
        names: Its columns.
        read: Starts reading; yields the asked columns.
        index: Those of its columns that hold the index of a DataFrame.
    """

    file: str
    names: tuple[str, ...]
    read: Callable[[Sequence[str]], Iterator[Batch]]
    index: tuple[str, ...] = ()

    def need(self, columns: Sequence[str], hint: str) -> None:
        """Refuse a source that lacks one of the columns.

        Raises:
            MissingColumnError: If a column is not there.
        """
        for column in columns:
            if column not in self.names:
                raise MissingColumnError(self.file, column, self.names, hint)


def csv_batches(
    path: Path,
    *,
    names: Sequence[str] | None = None,
    rename: Rename | None = None,
    quoted: bool = True,
    form: Dialect | None = None,
) -> Batches:
    """A CSV file, gzipped or not.

    Args:
        path: The file.
        names: Its columns where it has no header line; None reads the header.
        rename: Cleans the names of the header before they are checked.
        quoted: Whether ``"`` quotes a field.
        form: How it is written; None is UTF-8 with commas.

    Raises:
        DataFileNotFoundError: If there is no such file.
        DataFormatError: If it is empty, not text, or its header is not usable.
    """
    form = form or Dialect()
    first = first_fields(path, quoted=quoted, form=form)
    header = names is None
    raw = first if names is None else list(names)
    clean = column_names(raw, rename)
    if header:
        if len(clean) > 1 and not clean[0]:
            clean[0] = INDEX
        check_header(path, clean)

    def read(columns: Sequence[str]) -> Iterator[Batch]:
        return read_csv(path, clean, columns, skip=int(header), quoted=quoted, form=form)

    return Batches(str(path), tuple(clean), read, _unnamed(clean))


def table_batches(
    path: Path,
    *,
    header: Sequence[str] = (),
    optional: int = 0,
    rename: Rename | None = None,
    quoted: bool = True,
    whole: bool = True,
    form: Dialect | None = None,
) -> Batches:
    """A Parquet file, or a CSV file with or without a header line.

    Args:
        path: The file; Parquet where its name ends with ``.parquet`` or ``.pq``.
        header: The columns of files of this kind that have no header line: a first line without
            any of these names is a row.
        optional: How many of the last of them rows may lack.
        rename: Cleans the names of a header before they are checked.
        quoted: Whether ``"`` quotes a field of a file without a header line.
        whole: Refuse files without a header line whose rows lack more of these columns.
        form: How a CSV file is written.

    Raises:
        DataFileNotFoundError: If there is no such file.
        DataFormatError: If it is damaged, or its header is not usable.
    """
    if path.suffix.lower() in (".parquet", ".pq"):
        return parquet_batches(path, rename=rename, form=form)
    if header:
        first = [name.strip().lower() for name in first_fields(path, form=form)]
        if not set(first) & {name.lower() for name in header}:
            short = not whole or len(header) - optional <= len(first) < len(header)
            names = header[: len(first)] if short else header
            return csv_batches(path, names=names, rename=rename, quoted=quoted, form=form)
    return csv_batches(path, rename=rename, form=form)


def column_names(raw: Sequence[str], rename: Rename | None = None) -> list[str]:
    """The names of columns as all sources spell them: cleaned, or without spaces around them."""
    return rename(list(raw)) if rename else [name.strip() for name in raw]


def _unnamed(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(n for n in names if n.startswith("Unnamed: ") or n.startswith("__index_level_"))


def check_header(path: Path, names: list[str]) -> None:
    """Refuse names of columns that are empty, unreadable or not unique.

    Raises:
        DataFormatError: If there is one.
    """
    for place, name in enumerate(names, 1):
        if not name:
            raise DataFormatError(path, f"the name of column {place} is empty; name it", row=1)
        if "\ufffd" in name:
            raise DataFormatError(
                path, f"the name of column {place} is not UTF-8 text; give encoding=", row=1
            )
        if names.count(name) > 1:
            raise DuplicateColumnError(
                path, "two columns have this name; rename one", row=1, column=name
            )


def parquet_batches(
    path: Path, *, rename: Rename | None = None, form: Dialect | None = None
) -> Batches:
    """A Parquet file.

    Args:
        path: The file.
        rename: Cleans the names of its columns before they are checked.
        form: Which texts stand for "no value".

    Raises:
        DataFileNotFoundError: If there is no such file.
        DataFormatError: If it is damaged.
    """
    import pyarrow as pa
    from pyarrow import parquet

    if not path.is_file():
        raise DataFileNotFoundError(f"{path} is not a file; check the path")
    damaged = (pa.ArrowException, OSError, ValueError, UnicodeDecodeError)
    try:
        schema = parquet.read_schema(path)
        names = list(schema.names)
    except damaged as error:
        raise DataFormatError(
            path, f"no Parquet file, or cut off ({error}); get the file again"
        ) from None
    clean = column_names(names, rename)
    check_header(path, clean)
    place = dict(zip(clean, names, strict=True))
    index = {name for name in clean if place[name] in _index_of(schema)}
    missing = (form or Dialect()).missing

    def read(columns: Sequence[str]) -> Iterator[Batch]:
        try:
            with parquet.ParquetFile(path) as file:
                row = 1
                asked = [place[name] for name in columns]
                for chunk in file.iter_batches(BATCH_ROWS, columns=asked):
                    found = dict(zip(chunk.schema.names, chunk.columns, strict=True))
                    rows = np.arange(row, row + chunk.num_rows)
                    plain = {n: _decoded(path, n, found[place[n]]) for n in columns}
                    yield Batch(str(path), plain, rows, missing)
                    row += chunk.num_rows
        except damaged as error:
            raise DataFormatError(path, f"it is damaged ({error}); get the file again") from None

    return Batches(str(path), tuple(clean), read, tuple(sorted({*index, *_unnamed(clean)})))


def _index_of(schema: Any) -> set[str]:
    """The columns in which pandas keeps the index, as ``pandas.read_parquet`` knows them."""
    try:
        kept = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))["index_columns"]
    except (ValueError, KeyError, TypeError):
        return set()
    return {name for name in kept if isinstance(name, str)}


def _decoded(file: Path | str, name: str, array: Any) -> Any:
    import pyarrow as pa

    try:
        return decoded(array)
    except pa.ArrowException as error:
        raise DataFormatError(
            file, f"type {array.type} cannot be read ({error}); drop the column", column=name
        ) from None


def frame_batches(
    frame: Any, form: Dialect | None = None, *, rename: Rename | None = None
) -> Batches:
    """A pandas DataFrame; its index is left out, rows count from 1.

    Args:
        frame: The DataFrame.
        form: Which texts stand for "no value".
        rename: Cleans the names of its columns before they are checked.

    Raises:
        DataFormatError: If a column mixes types, or its name is not text.
    """
    import pandas as pd
    import pyarrow as pa

    what = "the DataFrame"
    if not isinstance(frame, pd.DataFrame):
        raise DataFormatError(
            "frame", f"{type(frame).__name__} is no pandas DataFrame; read the file into one"
        )
    for name in frame.columns:
        if not isinstance(name, str):
            raise DataFormatError(what, f"the column name {name!r} is not text; rename it")
    clean = column_names(list(frame.columns), rename)
    check_header(Path(what), clean)
    place = dict(zip(clean, frame.columns, strict=True))

    def read(columns: Sequence[str]) -> Iterator[Batch]:
        arrays = {}
        for name in columns:
            try:
                array = pa.array(frame[place[name]], from_pandas=True)
            except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
                raise DataFormatError(
                    what, f"the column mixes types ({error}); give it one", column=name
                ) from None
            if isinstance(array, pa.ChunkedArray):
                array = array.combine_chunks()
            arrays[name] = _decoded(what, name, array)
        missing = (form or Dialect()).missing
        for start in range(0, len(frame), BATCH_ROWS):
            rows = np.arange(start + 1, min(start + BATCH_ROWS, len(frame)) + 1)
            parts = {n: a.slice(start, BATCH_ROWS) for n, a in arrays.items()}
            yield Batch(what, parts, rows, missing)

    return Batches(what, tuple(clean), read, _unnamed(clean))

"""Rows of CSV, Parquet and pandas sources, in batches of a bounded size.

CSV fields stay text until a loader asks for numbers, so that every refusal can name file, row
and column. Row numbers are those of the lines of the file, counted from 1.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from marl_stl_env.data.ingest.batch import Batch
from marl_stl_env.errors import (
    DataFileNotFoundError,
    DataFormatError,
    DuplicateColumnError,
    MissingColumnError,
)

BLOCK_BYTES = 8 << 20
BATCH_ROWS = 1 << 16
_NOT_CSV = {
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"PAR1": "a Parquet file; name it *.parquet",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
    b"<!DO": "a web page; the download went wrong, get the file again",
    b"<htm": "a web page; the download went wrong, get the file again",
}

#: Arrow's words for a row with too many or too few fields.
_WRONG_FIELDS = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")

Rename = Callable[[list[str]], list[str]]


@dataclass(frozen=True)
class Batches:
    """A source of rows, to be read once.

    Attributes:
        file: Path or description, for messages.
        names: Its columns.
        read: Starts reading; yields the asked columns.
    """

    file: str
    names: tuple[str, ...]
    read: Callable[[Sequence[str]], Iterator[Batch]]

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
) -> Batches:
    """A CSV file, gzipped or not.

    Args:
        path: The file.
        names: Its columns where it has no header line; None reads the header.
        rename: Cleans the names of the header before they are checked.
        quoted: Whether ``"`` quotes a field.

    Raises:
        DataFileNotFoundError: If there is no such file.
        DataFormatError: If it is empty, not text, or its header is not usable.
    """
    first = first_fields(path, quoted=quoted)
    header = names is None
    raw = first if names is None else list(names)
    clean = rename(raw) if rename else [name.strip() for name in raw]
    if header:
        _check_header(path, clean)

    def read(columns: Sequence[str]) -> Iterator[Batch]:
        return _read_csv(path, clean, columns, skip=int(header), quoted=quoted)

    return Batches(str(path), tuple(clean), read)


def table_batches(
    path: Path,
    *,
    header: Sequence[str] = (),
    rename: Rename | None = None,
    quoted: bool = True,
    whole: bool = True,
) -> Batches:
    """A Parquet file, or a CSV file with or without a header line.

    Args:
        path: The file; Parquet where its name ends with ``.parquet`` or ``.pq``.
        header: The columns of files of this kind that have no header line: a first line without
            any of these names is a row.
        rename: Cleans the names of a header before they are checked.
        quoted: Whether ``"`` quotes a field of a file without a header line.
        whole: Refuse files without a header line whose rows lack the last of these columns.

    Raises:
        DataFileNotFoundError: If there is no such file.
        DataFormatError: If it is damaged, or its header is not usable.
    """
    if path.suffix.lower() in (".parquet", ".pq"):
        return parquet_batches(path, rename=rename)
    if header:
        first = [name.strip().lower() for name in first_fields(path)]
        if not set(first) & {name.lower() for name in header}:
            names = header if whole else header[: len(first)]
            return csv_batches(path, names=names, rename=rename, quoted=quoted)
    return csv_batches(path, rename=rename)


def first_fields(path: Path, *, quoted: bool = True) -> list[str]:
    """The fields of a CSV file's first line.

    Raises:
        DataFileNotFoundError: If there is no such file.
        DataFormatError: If it is empty or plainly no CSV.
    """
    if not path.is_file():
        raise DataFileNotFoundError(f"{path} is not a file; check the path")
    with path.open("rb") as handle:
        start = handle.read(4)
    for magic, what in _NOT_CSV.items():
        if start.lower().startswith(magic.lower()):
            raise DataFormatError(path, f"this is {what}")
    try:
        with gzip.open(path) if _is_gzip(path) else path.open("rb") as handle:
            line = handle.readline(1 << 20)
    except (OSError, EOFError, zlib.error) as error:
        raise DataFormatError(path, f"it cannot be unpacked ({error}); get it again") from None
    text = line.decode("utf-8-sig", errors="replace").rstrip("\r\n")
    if not text.strip():
        raise DataFormatError(path, "the file or its first line is empty", row=1)
    if "\x00" in text or "\r" in text:
        raise DataFormatError(path, "this is no text with usual line ends", row=1)
    try:
        return next(csv.reader([text], strict=True)) if quoted else text.split(",")
    except csv.Error as error:
        raise DataFormatError(path, f"the header cannot be read: {error}", row=1) from None


def _check_header(path: Path, names: list[str]) -> None:
    for place, name in enumerate(names, 1):
        if not name:
            raise DataFormatError(path, f"the name of column {place} is empty; name it", row=1)
        if names.count(name) > 1:
            raise DuplicateColumnError(
                path, "two columns have this name; rename one", row=1, column=name
            )


def _read_csv(
    path: Path, names: list[str], columns: Sequence[str], *, skip: int, quoted: bool
) -> Iterator[Batch]:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    place = {name: str(number) for number, name in enumerate(names)}
    try:
        with pa.input_stream(str(path), compression="gzip" if _is_gzip(path) else None) as stream:
            reader = arrow_csv.open_csv(
                stream,
                arrow_csv.ReadOptions(
                    block_size=BLOCK_BYTES,
                    use_threads=False,  # row numbers are known only then
                    column_names=list(place.values()),
                    skip_rows=skip,
                ),
                arrow_csv.ParseOptions(
                    quote_char='"' if quoted else False,
                    ignore_empty_lines=False,
                ),
                arrow_csv.ConvertOptions(
                    column_types={place[name]: pa.binary() for name in columns},
                    include_columns=[place[name] for name in columns],
                    strings_can_be_null=False,
                ),
            )
            row = skip + 1
            for chunk in reader:
                rows = np.arange(row, row + chunk.num_rows)
                yield Batch(str(path), dict(zip(columns, chunk.columns, strict=True)), rows)
                row += chunk.num_rows
    except (pa.ArrowException, OSError, EOFError) as error:
        raise _csv_error(path, error) from None


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(2) == b"\x1f\x8b"


def _csv_error(path: Path, error: Exception) -> DataFormatError:
    told = str(error)
    fields = _WRONG_FIELDS.search(told)
    if fields is None:
        return DataFormatError(path, f"it cannot be read ({told[:200]}); get the file again")
    row, expected, found = map(int, fields.groups())
    return DataFormatError(
        path,
        f"{found} fields instead of {expected}; a line is cut off, or a field holds a comma or a "
        "line break",
        row=row,
    )


def parquet_batches(path: Path, *, rename: Rename | None = None) -> Batches:
    """A Parquet file.

    Args:
        path: The file.
        rename: Cleans the names of its columns before they are checked.

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
        names = list(parquet.read_schema(path).names)
    except damaged as error:
        raise DataFormatError(
            path, f"no Parquet file, or cut off ({error}); get the file again"
        ) from None
    clean = rename(names) if rename else names
    _check_header(path, clean)
    place = dict(zip(clean, names, strict=True))

    def read(columns: Sequence[str]) -> Iterator[Batch]:
        try:
            with parquet.ParquetFile(path) as file:
                row = 1
                asked = [place[name] for name in columns]
                for chunk in file.iter_batches(BATCH_ROWS, columns=asked):
                    found = dict(zip(chunk.schema.names, chunk.columns, strict=True))
                    rows = np.arange(row, row + chunk.num_rows)
                    yield Batch(str(path), {name: found[place[name]] for name in columns}, rows)
                    row += chunk.num_rows
        except damaged as error:
            raise DataFormatError(path, f"it is damaged ({error}); get the file again") from None

    return Batches(str(path), tuple(clean), read)


def frame_batches(frame: Any) -> Batches:
    """A pandas DataFrame; its index is left out, rows count from 1.

    Raises:
        DataFormatError: If a column mixes types, or its name is not text.
    """
    import pandas as pd
    import pyarrow as pa

    what = "the DataFrame"
    if not isinstance(frame, pd.DataFrame):
        raise DataFormatError("frame", f"{type(frame).__name__} is no pandas DataFrame")
    for name in frame.columns:
        if not isinstance(name, str):
            raise DataFormatError(what, f"the column name {name!r} is not text; rename it")
    names = list(frame.columns)
    _check_header(Path(what), names)

    def read(columns: Sequence[str]) -> Iterator[Batch]:
        arrays = {}
        for name in columns:
            try:
                array = pa.array(frame[name], from_pandas=True)
            except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
                raise DataFormatError(
                    what, f"the column mixes types ({error}); give it one", column=name
                ) from None
            if isinstance(array, pa.ChunkedArray):
                array = array.combine_chunks()
            arrays[name] = array
        for start in range(0, len(frame), BATCH_ROWS):
            rows = np.arange(start + 1, min(start + BATCH_ROWS, len(frame)) + 1)
            yield Batch(what, {n: a.slice(start, BATCH_ROWS) for n, a in arrays.items()}, rows)

    return Batches(what, tuple(names), read)

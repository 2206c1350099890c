"""Files of a source as batches of rows with the columns of a run."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from marl_stl_env.data.ingest.batch import Batch
from marl_stl_env.data.ingest.batches import Batches, parquet_batches
from marl_stl_env.data.ingest.readers.kind import check_kind, is_gzip
from marl_stl_env.data.ingest.sources.apply import Columns
from marl_stl_env.data.ingest.sources.lines import LineReader, Malformed, Parsed
from marl_stl_env.errors import DataFileNotFoundError, DataFormatError
from marl_stl_env.types import BoolArray

if TYPE_CHECKING:
    import pandas as pd

#: Bytes that are read at a time.
BLOCK_BYTES = 8 << 20
#: Malformed lines that are kept with their places; the others are counted.
MOST_SHOWN = 20


@dataclass
class MalformedLines:
    """The malformed lines of an input.

    Attributes:
        skip: Whether they are passed over; otherwise the first one is an error.
        count: How many there were.
        first: The first ones.
    """

    skip: bool = False
    count: int = 0
    first: list[Malformed] = field(default_factory=list)

    def add(self, file: str, found: Sequence[Malformed]) -> None:
        """Count some lines.

        Raises:
            DataFormatError: If there is one and they are not passed over.
        """
        if found and not self.skip:
            raise DataFormatError(
                file,
                f"{found[0].problem}; mend the line, or pass over such lines (--malformed skip)",
                row=found[0].line,
            )
        self.count += len(found)
        self.first += found[: MOST_SHOWN - len(self.first)]


def line_batches(path: Path, reader: LineReader, malformed: MalformedLines) -> Batches:
    """A text file, gzipped or not.

    Its columns are those that the fields of its first records give.

    Args:
        path: The file.
        reader: What reads its lines, at their beginning.
        malformed: Takes the lines that are no records.

    Raises:
        DataFileNotFoundError: If there is no such file.
        DataFormatError: If it cannot be unpacked or is plainly no text.
    """
    if not path.is_file():
        raise DataFileNotFoundError(f"{path} is not a file; check the path")
    found = _parsed(path, reader)
    first = next(found, None)
    fields = first.fields if first is not None else frozenset()

    def read(asked: Sequence[str]) -> Iterator[Batch]:
        for parsed in found if first is None else chain([first], found):
            malformed.add(str(path), parsed.malformed)
            if len(parsed.batch):
                yield parsed.batch.only(asked)

    return Batches(str(path), reader.columns.mapping.given(fields), read)


def _parsed(path: Path, reader: LineReader) -> Iterator[Parsed]:
    try:
        check_kind(path, None)
        with _opened(path) as handle:
            rest = b""
            while block := handle.read(BLOCK_BYTES):
                parsed = reader.parse(rest + block)
                rest = (rest + block)[parsed.used :]
                if parsed.fields or parsed.malformed:
                    yield parsed
            yield reader.parse(rest, last=True)
    except (OSError, EOFError, zlib.error) as error:
        raise DataFormatError(path, f"it cannot be unpacked ({error}); get it again") from None


def _opened(path: Path) -> BinaryIO:
    return gzip.open(path) if is_gzip(path) else path.open("rb")  # type: ignore[return-value]


def as_frame(source: Batches) -> pd.DataFrame:
    """All rows of a source as a pandas DataFrame; text is text."""
    import pandas as pd
    import pyarrow as pa

    frames = []
    for batch in source.read(source.names):
        plain = {
            name: array.cast(pa.string()) if pa.types.is_binary(array.type) else array
            for name, array in batch.columns.items()
        }
        frames.append(pa.table(plain).to_pandas())
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=source.names)


def good_rows(problems: Sequence[str | None]) -> BoolArray:
    """The rows without a problem.  # (rows,) bool."""
    return np.array([problem is None for problem in problems], np.bool_)


def parquet_rows(path: Path, columns: Columns, malformed: MalformedLines) -> Batches:
    """A Parquet file.

    Args:
        path: The file.
        columns: What makes the columns of its fields.
        malformed: Takes the rows that are no records; their offset is their number less one.

    Raises:
        DataFileNotFoundError: If there is no such file.
        DataFormatError: If it is damaged.
    """
    stored = parquet_batches(path)
    fields = [name for name in stored.names if name in columns.mapping.fields]

    def read(asked: Sequence[str]) -> Iterator[Batch]:
        for batch in stored.read(fields):
            made, bad = columns.make(batch.as_text(fields).columns, len(batch))
            found = [(int(row), text) for row, text in zip(batch.rows, bad, strict=True) if text]
            malformed.add(str(path), [Malformed(row, row - 1, text) for row, text in found])
            yield replace(batch, columns=made).only(asked).where(good_rows(bad))

    return Batches(str(path), columns.mapping.given(fields), read)

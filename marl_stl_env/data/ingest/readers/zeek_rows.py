"""Rows of Zeek logs: tab-separated text with a header of ``#`` lines, or JSON lines."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from marl_stl_env.data.ingest.batch import Batch
from marl_stl_env.data.ingest.batches import BATCH_ROWS, Batches, Rename, check_header
from marl_stl_env.data.ingest.readers.csv_rows import Dialect, read_csv
from marl_stl_env.data.ingest.readers.decode import decoded
from marl_stl_env.data.ingest.readers.kind import is_gzip
from marl_stl_env.errors import DataFileNotFoundError, DataFormatError

_HEADER_LINES = 100
_JOINED = re.compile(r" {2,}")  # IoT-23 joins three names, and their values, with three spaces


def zeek_batches(path: Path, *, rename: Rename | None = None) -> Batches:
    """A Zeek log, gzipped or not. Lines that begin with ``#`` are no rows.

    Args:
        path: The file.
        rename: Cleans the names of its columns.

    Raises:
        DataFileNotFoundError: If there is no such file.
        DataFormatError: If it is no Zeek log.
    """
    if not path.is_file():
        raise DataFileNotFoundError(f"{path} is not a file; check the path")
    lines = _head(path)
    if lines and lines[0].lstrip().startswith("{"):
        return _json_batches(path, rename)
    header = next((n for n, line in enumerate(lines) if line.startswith("#fields\t")), None)
    if header is None:
        raise DataFormatError(
            path, "this is no Zeek log: it has no #fields line, and is no JSON; use data set custom"
        )
    skip = header + 1
    while skip < len(lines) and lines[skip].startswith("#"):
        skip += 1
    fields = lines[header].split("\t")[1:]
    names = [name for field in fields for name in _JOINED.split(field.strip())]
    clean = rename(names) if rename else names
    check_header(path, clean)
    joined = _JOINED.split(fields[-1].strip())
    last = clean[len(clean) - len(joined) :] if len(joined) > 1 else []
    columns = [*clean[: len(clean) - len(last)], *(["joined"] if last else [])]
    form = Dialect(sep="\t", comments=True)

    def read(asked: Sequence[str]) -> Iterator[Batch]:
        stored = list(dict.fromkeys("joined" if name in last else name for name in asked))
        for batch in read_csv(path, columns, stored, skip=skip, quoted=False, form=form):
            yield _split(batch, last) if "joined" in stored and len(batch) else batch

    return Batches(str(path), tuple(clean), read)


def _head(path: Path) -> list[str]:
    try:
        with gzip.open(path) if is_gzip(path) else path.open("rb") as handle:
            found = [handle.readline(1 << 20) for _ in range(_HEADER_LINES)]
    except (OSError, EOFError, zlib.error) as error:
        raise DataFormatError(path, f"it cannot be unpacked ({error}); get it again") from None
    return [line.decode("utf-8-sig", errors="replace").rstrip("\r\n") for line in found if line]


def _split(batch: Batch, names: Sequence[str]) -> Batch:
    """The batch with its last column split into the columns that it joins."""
    import pyarrow as pa
    import pyarrow.compute as pc

    options = pc.CastOptions(pa.string(), allow_invalid_utf8=True)
    text = pc.utf8_trim_whitespace(pc.cast(batch.columns["joined"], options=options))
    parts = pc.split_pattern_regex(text, " {2,}|\t")
    wrong = np.asarray(pc.list_value_length(parts).to_numpy(zero_copy_only=False)) != len(names)
    if wrong.any():
        at = int(wrong.argmax())
        raise batch.error(
            f"{batch.shown('joined', at)} is not {len(names)} values with spaces between them",
            at, names[-1],
        )  # fmt: skip
    columns = {name: column for name, column in batch.columns.items() if name != "joined"}
    for place, name in enumerate(names):
        columns[name] = pc.list_element(parts, place).cast(pa.binary())
    return replace(batch, columns=columns)


def _json_batches(path: Path, rename: Rename | None) -> Batches:
    """JSON lines, read as a whole; fields that a line lacks are missing."""
    import pyarrow as pa
    from pyarrow import json

    try:
        with pa.input_stream(str(path), compression="gzip" if is_gzip(path) else None) as stream:
            table = json.read_json(stream, json.ReadOptions(use_threads=False))
    except (pa.ArrowException, OSError) as error:
        raise DataFormatError(path, f"it is no JSON lines ({error})") from None
    clean = rename(list(table.column_names)) if rename else list(table.column_names)
    check_header(path, clean)
    table = table.rename_columns(clean)

    def read(asked: Sequence[str]) -> Iterator[Batch]:
        row = 1
        for chunk in table.select(list(asked)).to_batches(BATCH_ROWS):
            columns: dict[str, Any] = {
                name: decoded(column) for name, column in zip(asked, chunk.columns, strict=True)
            }
            yield Batch(str(path), columns, np.arange(row, row + chunk.num_rows))
            row += chunk.num_rows

    return Batches(str(path), tuple(clean), read)

"""Rows of CSV files.

Fields stay text until a loader asks for numbers, so that every refusal can name file, row and
column. Row numbers are those of the lines of the file, counted from 1.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from marl_stl_env.data.ingest.batch import Batch
from marl_stl_env.data.ingest.readers.kind import check_kind, is_gzip
from marl_stl_env.data.ingest.texts import MISSING
from marl_stl_env.errors import ConfigError, DataFileNotFoundError, DataFormatError
from marl_stl_env.types import IntArray

BLOCK_BYTES = 8 << 20
_SEPARATORS = {"tab": "\t", "\\t": "\t", "semicolon": ";", "comma": ",", "space": " ", "pipe": "|"}
_COMMENT = re.compile(rb"^#[^\r\n]*", re.MULTILINE)
#: Arrow's words for a row with too many or too few fields.
_WRONG_FIELDS = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")


@dataclass(frozen=True)
class Dialect:
    """How a text file is written.

    Attributes:
        sep: What separates fields: one character.
        encoding: Name of the encoding; None is UTF-8 (other bytes are then refused where they
            matter).
        missing: Texts that stand for "no value".
        comments: Whether lines that begin with ``#`` are no rows.
    """

    sep: str = ","
    encoding: str | None = None
    missing: frozenset[str] = MISSING
    comments: bool = False

    def __post_init__(self) -> None:
        if len(self.sep) != 1 or self.sep in '"\r\n' or not self.sep.isascii():
            raise ConfigError(f"sep={self.sep!r} is not one character, such as ';' or 'tab'")
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
            except (LookupError, TypeError):
                raise ConfigError(
                    f"encoding={self.encoding!r} is not known; common ones are utf-8, utf-16, "
                    "cp1252 and latin-1"
                ) from None


def dialect(sep: Any = None, encoding: Any = None, missing: Any = None) -> Dialect:
    """The dialect that the options of a data set ask for.

    Args:
        sep: A character, or tab, semicolon, comma, space or pipe; None is a comma.
        encoding: Name of an encoding; None is UTF-8.
        missing: Further texts that stand for "no value": a list, or one text with commas.

    Raises:
        ConfigError: If one of them is not usable.
    """
    if isinstance(missing, str):
        missing = missing.split(",")
    given = missing if isinstance(missing, list | tuple | set | frozenset) else [missing]
    further = frozenset(str(text).strip() for text in given if text is not None)
    sep = "," if sep is None else str(sep)
    return Dialect(
        _SEPARATORS.get(sep.lower(), sep),
        None if encoding is None else str(encoding),
        MISSING | further,
    )


def first_fields(path: Path, *, quoted: bool = True, form: Dialect | None = None) -> list[str]:
    """The fields of a CSV file's first line.

    Raises:
        DataFileNotFoundError: If there is no such file.
        DataFormatError: If it is empty or plainly no CSV.
    """
    form = form or Dialect()
    if not path.is_file():
        raise DataFileNotFoundError(f"{path} is not a file; check the path")
    try:
        check_kind(path, form.encoding)
        with _opened(path, form) as handle:
            text = handle.readline(1 << 20).rstrip("\r\n")
    except (OSError, EOFError, zlib.error) as error:
        raise DataFormatError(path, f"it cannot be unpacked ({error}); get it again") from None
    except UnicodeDecodeError as error:
        raise _encoding_error(path, form, error) from None
    if not text.strip():
        raise DataFormatError(path, "the file or its first line is empty", row=1)
    if "\x00" in text or "\r" in text:
        raise DataFormatError(path, "this is no text with usual line ends", row=1)
    if text[:1] == "{" and '":' in text:
        raise DataFormatError(
            path, "these are JSON lines, not CSV: a team decides on them with --source table, and "
            "learns from CSV or Parquet", row=1,
        )  # fmt: skip
    try:
        fields = (
            next(csv.reader([text], delimiter=form.sep, strict=True))
            if quoted
            else text.split(form.sep)
        )
    except csv.Error as error:
        raise DataFormatError(path, f"the header cannot be read: {error}", row=1) from None
    other = max(";\t|,", key=lambda sep: text.count(sep) if sep != form.sep else 0)
    if len(fields) == 1 and other in text and other != form.sep:
        named = {"\t": "tab", ";": "semicolon", "|": "pipe", ",": "comma"}[other]
        raise DataFormatError(
            path, f"the fields seem to be separated by {other!r}; give sep={named}, or save the "
            "file with commas", row=1,
        )  # fmt: skip
    return fields


def _opened(path: Path, form: Dialect) -> TextIO:
    encoding, errors = (
        ("utf-8-sig", "replace") if form.encoding is None else (form.encoding, "strict")
    )
    if is_gzip(path):
        return gzip.open(path, "rt", encoding=encoding, errors=errors, newline="\n")
    return path.open(encoding=encoding, errors=errors, newline="\n")


def read_csv(
    path: Path,
    names: Sequence[str],
    columns: Sequence[str],
    *,
    skip: int,
    quoted: bool,
    form: Dialect,
) -> Iterator[Batch]:
    """The rows of a file, blank lines left out.

    Args:
        path: The file.
        names: All its columns.
        columns: Those to read.
        skip: Lines before the first row.
        quoted: Whether ``"`` quotes a field.
        form: How it is written.

    Raises:
        DataFormatError: If a line has another number of fields, or cannot be decoded.
    """
    import pyarrow as pa

    blank = _BlankLines(path, form)
    row = skip + 1
    try:
        with pa.input_stream(str(path), compression="gzip" if is_gzip(path) else None) as stream:
            source = _Uncommented(stream) if form.comments else stream
            for chunk in _chunks(source, names, columns, skip, quoted, form):
                rows = np.arange(row, row + chunk.num_rows)
                row += chunk.num_rows
                found = dict(zip(columns, chunk.columns, strict=True))
                batch = Batch(str(path), found, rows, form.missing)
                yield batch.where(~blank.among(batch))
    except UnicodeDecodeError as error:
        raise _encoding_error(path, form, error) from None
    except (pa.ArrowException, OSError, EOFError) as error:
        raise _csv_error(path, error) from None


def _chunks(
    stream: Any,
    names: Sequence[str],
    columns: Sequence[str],
    skip: int,
    quoted: bool,
    form: Dialect,
) -> Any:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    place = {name: str(number) for number, name in enumerate(names)}

    return arrow_csv.open_csv(
        stream,
        arrow_csv.ReadOptions(
            block_size=BLOCK_BYTES,
            use_threads=False,  # row numbers are known only then
            column_names=list(place.values()),
            skip_rows=skip,
            encoding=form.encoding or "utf8",
        ),
        arrow_csv.ParseOptions(
            delimiter=form.sep,
            quote_char='"' if quoted else False,
            ignore_empty_lines=False,
        ),
        arrow_csv.ConvertOptions(
            column_types={place[name]: pa.binary() for name in columns},
            include_columns=[place[name] for name in columns],
            strings_can_be_null=False,
        ),
    )


class _Uncommented:
    """A stream whose comment lines are blank, so that the lines keep their numbers."""

    closed = False

    def __init__(self, stream: Any) -> None:
        self._stream, self._rest = stream, b""

    def read(self, size: int = BLOCK_BYTES) -> bytes:
        """About so many bytes of whole lines."""
        block = self._rest + self._stream.read(max(size, 1 << 16))
        whole = len(block) if len(block) == len(self._rest) else block.rfind(b"\n") + 1
        self._rest = block[whole:]
        found = _COMMENT.sub(b"", block[:whole])
        return found if found or not block else self.read(size)


class _BlankLines:
    """Tells the blank lines of a file from rows whose asked fields are empty."""

    def __init__(self, path: Path, form: Dialect) -> None:
        self._path, self._form = path, form
        self._known: IntArray | None = None

    def among(self, batch: Batch) -> Any:
        """Where a row is a blank line.  # (rows,) bool."""
        maybe = batch.blank()
        if maybe.any():
            maybe &= np.isin(batch.rows, self._lines())
        return maybe

    def _is_blank(self, line: str) -> bool:
        return line in ("\n", "\r\n") or (self._form.comments and line.startswith("#"))

    def _lines(self) -> IntArray:
        if self._known is None:
            with _opened(self._path, self._form) as lines:
                found = [n for n, line in enumerate(lines, 1) if self._is_blank(line)]
            self._known = np.array(found, np.int64)
        return self._known


def _encoding_error(path: Path, form: Dialect, error: UnicodeError) -> DataFormatError:
    return DataFormatError(
        path, f"it is not encoded in {form.encoding or 'UTF-8'} ({error}); give another encoding="
    )


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

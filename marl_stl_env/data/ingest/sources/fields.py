"""Lines of a file as fields by name."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from marl_stl_env.data.ingest.sources.source import Source
from marl_stl_env.types import IntArray

_JOINED = re.compile(rb" {2,}")
_MARK = b"\xef\xbb\xbf"
_TORN = "a carriage return or a quote without its partner stands in it"
Problem = tuple[int, str]


@dataclass(frozen=True, eq=False)
class Fields:
    """The records among some lines.

    Attributes:
        columns: Asked field to its texts, an arrow array of binary.  # each (rows,)
        names: All fields that these records have.
        lines: Which of the lines each record begins at.  # (rows,) int64
        bad: Lines that are no record, and what is wrong with them.
        used: Lines that were read; the rest belongs to a record that is not complete.
    """

    columns: dict[str, Any]
    names: frozenset[str]
    lines: IntArray
    bad: tuple[Problem, ...]
    used: int


class DelimitedLines:
    """Lines of fields with a separator between them.

    Args:
        source: How they are written.
        names: The fields, where the line that names them was read before.
        ended: Whether a footer has begun.
        joined: Whether that line joined some of them.
    """

    def __init__(
        self, source: Source, names: Sequence[str] = (), ended: bool = False, joined: bool = False
    ) -> None:
        self._source, self.names, self.ended, self.joined = source, tuple(names), ended, joined
        sep = re.escape(source.sep.encode())
        field = rb'(?:"(?:[^"]|"")*+"|(?!"))[^%b]*+' % sep
        self._closed = re.compile(rb"%b(?:%b%b)*+" % (field, sep, field))

    def read(self, lines: Sequence[bytes], asked: Collection[str], last: bool) -> Fields:
        """The records among these lines, each of them whole."""
        del last
        text = b"\n".join(lines)
        if self._is_plain(text):
            found = self._segment(text, np.arange(len(lines)), asked, len(lines))
            if found is not None and self._ends(lines[-1]):
                return found
        parts = [self._below(lines, rows, asked) for rows in self._segments(lines)]
        return _joined(parts, asked, frozenset(self.names), len(lines))

    def _below(self, lines: Sequence[bytes], rows: list[int], asked: Collection[str]) -> Fields:
        """The records below a line of names; what does not end with its line is none."""
        texts = {place: _bare(lines[place]) for place in rows}
        torn = tuple((place, _TORN) for place, text in texts.items() if not self._ends(text))
        for place, _ in torn:
            del texts[place]
        used, whole = len(lines), np.array([*texts], np.int64)
        if texts:
            found = self._segment(b"\n".join(texts.values()), whole, asked, used)
            if found is not None:
                return replace(found, bad=(*found.bad, *torn))
        return Fields({}, frozenset(self.names), np.zeros(0, np.int64), torn, used)

    def _ends(self, text: bytes) -> bool:
        """Whether arrow, too, takes a line for one record."""
        quoted = not self._source.names_after and b'"' in text
        if b"\r" in text or text.startswith(_MARK):
            return False
        return not quoted or self._closed.fullmatch(text) is not None

    def _is_plain(self, text: bytes) -> bool:
        """Whether each line is a record, as nearly always: then none is looked at by itself."""
        source = self._source
        header = source.names_after or source.sep.encode().join(n.encode() for n in self.names)
        marks = (header, source.footer, b"\r", b"\n\n", _MARK)
        return (
            bool(self.names and text)
            and not self.ended
            and text[:1] != b"\n" and text[-1:] != b"\n"
            and not any(mark and mark in text for mark in marks)
            and not (source.comment and b"\n" + source.comment in b"\n" + text)
        )  # fmt: skip

    def _segments(self, lines: Sequence[bytes]) -> Iterator[list[int]]:
        """The places of the rows below each line of names."""
        source, rows = self._source, list[int]()
        sep = source.sep.encode()
        header = sep.join(name.encode() for name in self.names)
        for place, line in enumerate(lines):
            text = _bare(line)
            if source.names_after:
                is_header = text.startswith(source.names_after)
            else:
                is_header = bool(text) and (not self.names or text == header)
            if is_header:
                if rows:
                    yield rows
                rows, self.ended = [], False
                self.names = self._named(text)
                header = sep.join(name.encode() for name in self.names)
            elif source.footer and text == source.footer:
                self.ended = True
            elif text and not self.ended and not (source.comment and text[:1] == source.comment):
                rows.append(place)
        if rows:
            yield rows

    def _named(self, text: bytes) -> tuple[str, ...]:
        text = text[len(self._source.names_after) :]
        apart = _JOINED.sub(self._source.sep.encode(), text) if self._source.joined else text
        text, self.joined = apart, apart != text
        line, sep = text.decode("utf-8", "replace"), self._source.sep
        quoted = not self._source.names_after and '"' in line
        names = next(csv.reader([line], delimiter=sep)) if quoted else line.split(sep)
        return tuple(name.strip().strip('"') for name in names)

    def _segment(
        self, text: bytes, rows: IntArray, asked: Collection[str], used: int
    ) -> Fields | None:
        """The records of some lines; None where they are not as many as the lines."""
        if not self.names:
            problem = "there is no line before it that names the fields"
            first: Problem = (int(rows[0]), problem)
            return Fields({}, frozenset(), np.zeros(0, np.int64), (first,), used)
        if self.joined:
            text = _JOINED.sub(self._source.sep.encode(), text)
        wrong: dict[int, str] = {}

        def skip(row: Any) -> str:
            wrong[row.number - 1] = f"{row.actual_columns} fields, not {row.expected_columns}"
            return "skip"

        numbered = {name: str(place) for place, name in enumerate(self.names)}
        found = [name for name in numbered if name in asked]
        read = [numbered[name] for name in found or [self.names[0]]]
        if _is_text(text):
            table = self._table(text, read, skip)
        else:  # arrow decodes a wrong row for its handler, and fails where it is no UTF-8
            table = self._table(text.decode("utf-8", "replace").encode(), read, skip)
            right = [line for row, line in enumerate(text.split(b"\n")) if row not in wrong]
            if right:
                table = self._table(b"\n".join(right), read, skip)
        if table.num_rows + len(wrong) != len(rows):
            return None
        kept = np.delete(rows, [*wrong])
        columns = {name: _whole(table.column(number)) for number, name in enumerate(found)}
        bad = tuple((int(rows[row]), problem) for row, problem in wrong.items())
        return Fields(columns, frozenset(self.names), kept, bad, used)

    def _table(self, text: bytes, read: Sequence[str], skip: Callable[[Any], str]) -> Any:
        """Some columns, by their places, of lines without a header."""
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        return arrow_csv.read_csv(
            pa.BufferReader(text),
            arrow_csv.ReadOptions(
                use_threads=False,
                block_size=len(text) + 1,
                column_names=[str(place) for place in range(len(self.names))],
            ),
            arrow_csv.ParseOptions(
                delimiter=self._source.sep,
                quote_char=False if self._source.names_after else '"',
                ignore_empty_lines=False,
                invalid_row_handler=skip,
            ),
            arrow_csv.ConvertOptions(
                column_types={place: pa.binary() for place in read},
                include_columns=read,
                strings_can_be_null=False,
            ),
        ).combine_chunks()


def _bare(line: bytes) -> bytes:
    """A line without its end, and without the mark that begins a file."""
    return line.rstrip(b"\r\n").removeprefix(_MARK)


def _is_text(text: bytes) -> bool:
    try:
        return text.isascii() or bool(text.decode())
    except UnicodeDecodeError:
        return False


def _whole(column: Any) -> Any:
    import pyarrow as pa

    array = column.combine_chunks()
    return pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array


def _joined(
    parts: Sequence[Fields], asked: Collection[str], names: frozenset[str], used: int
) -> Fields:
    """The records of several segments."""
    import pyarrow as pa

    if len(parts) == 1:
        return parts[0]
    columns = {}
    for name in asked:
        if any(name in part.columns for part in parts):
            columns[name] = pa.concat_arrays(
                [p.columns.get(name, pa.nulls(len(p.lines), pa.binary())) for p in parts]
            )
    lines = np.concatenate([np.zeros(0, np.int64), *(part.lines for part in parts)])
    return Fields(columns, names, lines, tuple(b for part in parts for b in part.bad), used)

"""Bytes of a growing file as rows with the columns of a run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from marl_stl_env.data.ingest.batch import Batch
from marl_stl_env.data.ingest.batches import Batches
from marl_stl_env.data.ingest.sources.apply import Columns
from marl_stl_env.data.ingest.sources.fields import DelimitedLines, Fields
from marl_stl_env.data.ingest.sources.json_lines import JsonLines
from marl_stl_env.data.ingest.sources.source import Source
from marl_stl_env.errors import StateError
from marl_stl_env.types import IntArray

_AROUND = b" \t\r\n\xef\xbb\xbf"


@dataclass(frozen=True)
class Malformed:
    """A line that is no record.

    Attributes:
        line: Its number, from 1.
        offset: Where it begins, in bytes from the beginning of the file (of what it unpacks to).
        problem: What is wrong with it.
    """

    line: int
    offset: int
    problem: str


@dataclass(frozen=True, eq=False)
class Parsed:
    """What some bytes of a file hold.

    Attributes:
        batch: The rows; its columns are those of the run, its ``rows`` the numbers of their lines.
        offsets: Where each row begins, in bytes from the beginning of the file.  # (rows,) int64
        malformed: The lines that are no records.
        fields: The fields that the records have.
        used: Bytes that were read; the others belong to a line or record that is not complete.
    """

    batch: Batch
    offsets: IntArray
    malformed: tuple[Malformed, ...]
    fields: frozenset[str]
    used: int

    def records(self) -> list[dict[str, Any]]:
        """The rows, each as column to value: float, text, or None."""
        columns = {
            name: [v.decode() if isinstance(v, bytes) else v for v in column.to_pylist()]
            for name, column in self.batch.columns.items()
        }
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


class LineReader:
    """Reads the lines of a file, block after block, and knows where it is.

    Args:
        file: Name of the file, for messages.
        source: How its records are written.
        columns: What makes the columns of the fields. Numbers are float64, NaN for no value;
            others are binary texts.

    Attributes:
        columns: What makes the columns of the fields.
        offset: Bytes read so far.
        line: Lines read so far.
    """

    def __init__(self, file: str, source: Source, columns: Columns) -> None:
        self._file, self._source, self.columns = file, source, columns
        self._asked = columns.mapping.fields
        self.rewind()

    def rewind(self) -> None:
        """Begin anew: the file was replaced or cut to nothing."""
        self.offset, self.line = 0, 0
        self._lines: DelimitedLines | JsonLines | None = None

    def batches(self, fields: Collection[str]) -> Batches:
        """What comes, as a source with the columns that these fields give, and without rows yet.

        Args:
            fields: Those of the first records, :attr:`Parsed.fields`.
        """
        return Batches(self._file, self.columns.mapping.given(fields), lambda _: iter(()))

    def parse(self, block: bytes, *, last: bool = False) -> Parsed:
        """The rows of the next bytes.

        Args:
            block: Bytes from :attr:`offset` on. What is not used must be given again, with what
                follows it.
            last: Whether the file ends here, so that a line without an end counts as one.
        """
        lines = block.split(b"\n")
        if not last or not lines[-1]:
            lines.pop()  # not complete, or nothing
        found = self._read(lines, last)
        lengths = [len(line) + 1 for line in lines[: found.used]]
        starts = self.offset + np.cumsum([0, *lengths], dtype=np.int64)
        columns, wrong = self.columns.make(found.columns, len(found.lines))
        bad = [(int(found.lines[at]), text) for at, text in enumerate(wrong) if text is not None]
        malformed = tuple(
            Malformed(self.line + 1 + place, int(starts[place]), problem)
            for place, problem in sorted([*found.bad, *bad])
        )
        good = np.array([text is None for text in wrong], np.bool_)
        rows = self.line + 1 + found.lines
        batch = Batch(self._file, columns, rows, self.columns.missing).where(good)
        used = min(int(starts[-1]) - self.offset, len(block))  # a last line may have no end
        self.offset, self.line = self.offset + used, self.line + found.used
        return Parsed(batch, starts[found.lines][good], malformed, found.names, used)

    def _read(self, lines: Sequence[bytes], last: bool) -> Fields:
        if self._lines is None:
            first = next((text for line in lines if (text := line.strip(_AROUND))), b"")
            if not first:
                return Fields({}, frozenset(), np.zeros(0, np.int64), (), len(lines))
            json = self._source.json or first[:1] in (b"{", b"[")
            self._lines = JsonLines(self._source) if json else DelimitedLines(self._source)
        return self._lines.read(lines, self._asked, last)

    def get_state(self) -> dict[str, Any]:
        """Where it is and what it knows of the file, in JSON types."""
        lines = self._lines
        state: dict[str, Any] = {"offset": self.offset, "line": self.line, "kind": None}
        if isinstance(lines, DelimitedLines):
            known = {"names": list(lines.names), "ended": lines.ended, "joined": lines.joined}
            return state | {"kind": "delimited", "delimited": known}
        return state if lines is None else state | {"kind": "json"}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on where :meth:`get_state` was called.

        Raises:
            StateError: If this is no such state.
        """
        try:
            offset, line, kind = int(state["offset"]), int(state["line"]), state["kind"]
            lines: DelimitedLines | JsonLines | None = None
            if kind == "delimited":
                known = state["delimited"]
                flags = bool(known["ended"]), bool(known["joined"])
                lines = DelimitedLines(self._source, known["names"], *flags)
            elif kind == "json":
                lines = JsonLines(self._source)
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"this is no state of a reader of lines: {error!r}") from None
        self.offset, self.line, self._lines = offset, line, lines

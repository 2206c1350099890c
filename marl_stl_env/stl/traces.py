"""Reads traces from CSV files: one column per signal, one row per sample.

Intervals of a formula count rows. A column of times that says otherwise is refused, unless the
caller says that rows are meant.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from marl_stl_env.errors import DataFileNotFoundError, DataFormatError, UnknownNameError
from marl_stl_env.stl.formula import Formula, Node
from marl_stl_env.stl.signals import Traces
from marl_stl_env.types import AnyArray

#: The column that tells lanes apart; without it all rows are one lane.
LANE = "lane"
#: Columns of times, in any case; the first one found must not fall within a lane.
TIMES = ("time", "timestamp", "t", "ts")
#: How far two times may differ from 1 and still be one unit apart.
_TOLERANCE = 1e-6
_TRUTHS = {"true": True, "false": False}
_FLOAT64_EXACT = 2**53
#: Longer integers exceed 64 bits and are read as floats.
_MOST_DIGITS = 20


class RecordedTraces(NamedTuple):
    """What a file holds.

    Attributes:
        traces: The signals.
        lanes: The name of each lane.
        time: The column of times; None if there is none.
    """

    traces: Traces
    lanes: list[str]
    time: str | None


def read_traces(path: Path, formula: Formula, *, by_row: bool = False) -> RecordedTraces:
    """Read the signals of a formula.

    Rows of a lane are in time order: a column named as in :data:`TIMES` may repeat a time but not
    fall. Where the formula has an interval such as ``[0,5]``, its times must grow by 1 a row, so
    that rows and units of time are the same; ``by_row`` takes any times. Booleans are written
    ``true`` and ``false``; in a column that the formula uses as a condition also 1 and 0. Digits
    alone are read as integers. Other columns are ignored.

    Args:
        path: A UTF-8 CSV file with a header.
        formula: The formula whose signals are wanted.
        by_row: Whether intervals count rows even where the times do not grow by 1 a row.

    Returns:
        The traces, the name of each lane, and the column of times.

    Raises:
        DataFileNotFoundError: If there is no such file.
        DataFormatError: With row and column, if a value is missing or malformed, a time falls,
            or rows and units of time differ.
        UnknownNameError: If a signal has no column.
    """
    conditions = formula.propositions()
    with _table(path) as (columns, rows):
        for name in sorted(formula.signals() - set(columns)):
            raise UnknownNameError("signal", name, columns)
        wanted = sorted(formula.signals()) or columns[:1]
        time = next((name for name in columns if name.lower() in TIMES), None)
        lanes: dict[str, list[list[float | bool]]] = {}
        clock = _Clock(path, time, by_unit=_counts_steps(formula) and not by_row)
        for number, row in rows:
            key = row.get(LANE) or ""
            clock.check(key, number, row)
            lanes.setdefault(key, []).append(
                [_value(path, number, name, row[name]) for name in wanted]
            )
    if not lanes:
        raise DataFormatError(path, "there is no row below the header; a trace needs a sample")
    values = {
        name: _signal(path, name, [[r[i] for r in rows] for rows in lanes.values()], conditions)
        for i, name in enumerate(wanted)
    }
    lengths = np.array([len(rows) for rows in lanes.values()])
    return RecordedTraces(Traces(values, lengths), list(lanes), time)


def _counts_steps(node: Node) -> bool:
    """Whether an interval of the formula says a number of steps: any but [0,0] and [0,inf)."""
    interval = getattr(node, "interval", None)
    if interval is not None and (interval.start, interval.end) not in {(0, 0), (0, None)}:
        return True
    return any(map(_counts_steps, node.children))


class _Clock:
    """Refuses a time that falls within its lane and, ``by_unit``, one that does not grow by 1."""

    def __init__(self, path: Path, column: str | None, *, by_unit: bool) -> None:
        self._path, self._column, self._by_unit = path, column, by_unit
        self._last: dict[str, float] = {}

    def check(self, lane: str, number: int, row: dict[str, str]) -> None:
        if self._column is None:
            return
        now = _time(self._path, number, self._column, row[self._column])
        last = self._last.get(lane)
        self._last[lane] = now
        if last is None:
            return
        if now < last:
            problem = f"the time {row[self._column]} lies before that of the row above"
            remedy = "sort the rows of each lane by time, or rename the column"
        elif self._by_unit and not math.isclose(now - last, 1, abs_tol=_TOLERANCE):
            problem = (
                f"the time grows by {now - last:g} from the row above, but the intervals of the "
                "formula count rows"
            )
            remedy = (
                "write one row per unit of time, or say that rows are meant: --by-row on the "
                "command line, by_row=True in Python"
            )
        else:
            return
        raise DataFormatError(self._path, f"{problem}; {remedy}", row=number, column=self._column)


def _time(path: Path, row: int, column: str, text: str) -> float:
    """A number, or a date in seconds."""
    try:
        value = _number(text.strip())
        if math.isfinite(value):
            return value
    except (ValueError, OverflowError):
        pass
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        problem = f"{text!r} is neither a number nor an ISO 8601 time"
        raise DataFormatError(path, problem, row=row, column=column) from None


_Rows = Iterator[tuple[int, dict[str, str]]]


@contextmanager
def _table(path: Path) -> Iterator[tuple[list[str], _Rows]]:
    """The columns of a CSV file, and its rows with their line numbers."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.reader(handle)
            columns = [name.strip() for name in next(reader, [])]
            twice = sorted({name for name in columns if columns.count(name) > 1})
            if not columns or twice:
                problem = f"columns occur twice: {', '.join(twice)}" if twice else "no header"
                raise DataFormatError(path, f"{problem}; write one name per column", row=1)
            yield columns, _rows(path, reader, columns)
    except FileNotFoundError:
        raise DataFileNotFoundError(f"there is no trace file {path}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataFormatError(path, f"cannot be read as UTF-8 CSV: {error}") from None


def _rows(path: Path, reader: Iterator[list[str]], columns: list[str]) -> _Rows:
    for number, fields in enumerate(reader, start=2):
        if not fields:
            continue
        if len(fields) != len(columns):
            problem = f"{len(fields)} values for {len(columns)} columns"
            raise DataFormatError(path, problem, row=number)
        yield number, dict(zip(columns, fields, strict=True))


def _value(path: Path, row: int, column: str, text: str) -> float | bool:
    text = text.strip().lower()
    if text in _TRUTHS:
        return _TRUTHS[text]
    try:
        value = _number(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        problem = f"{text!r} is no finite number, 'true' or 'false'"
        raise DataFormatError(path, problem, row=row, column=column)
    return value


def _signal(
    path: Path, name: str, lanes: list[list[float | bool]], conditions: frozenset[str]
) -> AnyArray:
    """Pad the lanes to one length and choose the type of the column."""
    seen = {value for lane in lanes for value in lane}
    whole: set[int] = {int(value) for value in seen if isinstance(value, int)}
    kinds = {type(value) for lane in lanes for value in lane}
    if bool in kinds and len(kinds) > 1:
        raise DataFormatError(path, "numbers and truth values are mixed", column=name)
    boolean = kinds == {bool} or (name in conditions and seen <= {0, 1})
    kind = np.dtype("bool") if boolean else _kind(path, name, kinds, whole)
    array = np.zeros((len(lanes), max(map(len, lanes))), kind)
    for row, lane in zip(array, lanes, strict=True):
        row[: len(lane)] = lane
    return array


def _number(text: str) -> float:
    """Digits alone are an integer; anything else that Python reads is a float."""
    digits = text.removeprefix("-")
    return int(text) if digits.isdecimal() and len(digits) <= _MOST_DIGITS else float(text)


def _kind(path: Path, name: str, kinds: set[type], whole: set[int]) -> np.dtype[Any]:
    """The type that holds every number of a column exactly."""
    least, most = min(whole, default=0), max(whole, default=0)
    if kinds == {int} and least >= -(2**63) and most < 2**63:
        return np.dtype("int64")
    if kinds == {int} and least >= 0 and most < 2**64:
        return np.dtype("uint64")
    if max(-least, most) > _FLOAT64_EXACT:
        problem = (
            "holds integers that no number type here holds beside its other values; write "
            "integers only, within 64 bits, or scale the column"
        )
        raise DataFormatError(path, problem, column=name)
    return np.dtype("float64")

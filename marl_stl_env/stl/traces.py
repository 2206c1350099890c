"""Reads traces from CSV files: one column per signal, one row per sample."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np

from marl_stl_env.errors import DataFileNotFoundError, DataFormatError, UnknownNameError
from marl_stl_env.stl.formula import Comparison, Formula, Node
from marl_stl_env.stl.signals import Traces
from marl_stl_env.types import AnyArray

#: The column that tells lanes apart; without it all rows are one lane.
LANE = "lane"
_TRUTHS = {"true": True, "false": False}


def read_traces(path: Path, formula: Formula) -> tuple[Traces, list[str]]:
    """Read the signals of a formula.

    Rows of a lane are in time order. Booleans are written ``true`` and ``false``; in a column that
    the formula uses only as a condition also 1 and 0. Other columns are ignored.

    Args:
        path: A UTF-8 CSV file with a header.
        formula: The formula whose signals are wanted.

    Returns:
        The traces, and the name of each lane.

    Raises:
        DataFileNotFoundError: If there is no such file.
        DataFormatError: With row and column, if a value is missing or malformed.
        UnknownNameError: If a signal has no column.
    """
    conditions = formula.propositions() - _numbers(formula)
    with _table(path) as (columns, rows):
        for name in sorted(formula.signals() - set(columns)):
            raise UnknownNameError("signal", name, columns)
        wanted = sorted(formula.signals()) or columns[:1]
        lanes: dict[str, list[list[float | bool]]] = {}
        for number, row in rows:
            lane = lanes.setdefault(row.get(LANE) or "", [])
            lane.append([_value(path, number, name, row[name]) for name in wanted])
    if not lanes:
        raise DataFormatError(path, "there is no row below the header; a trace needs a sample")
    values = {
        name: _signal(path, name, [[r[i] for r in rows] for rows in lanes.values()], conditions)
        for i, name in enumerate(wanted)
    }
    lengths = np.array([len(rows) for rows in lanes.values()])
    return Traces(values, lengths), list(lanes)


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
        value = float(text)
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
    kinds = {type(value) for lane in lanes for value in lane}
    if len(kinds) > 1:
        raise DataFormatError(path, "numbers and truth values are mixed", column=name)
    boolean = kinds == {bool} or (name in conditions and seen <= {0, 1})
    kind: Literal["bool", "float64"] = "bool" if boolean else "float64"
    array = np.zeros((len(lanes), max(map(len, lanes))), kind)
    for row, lane in zip(array, lanes, strict=True):
        row[: len(lane)] = lane
    return array


def _numbers(node: Node) -> frozenset[str]:
    """The names of the signals used as numbers."""
    if isinstance(node, Comparison):
        return node.signals()
    return frozenset[str]().union(*map(_numbers, node.children))

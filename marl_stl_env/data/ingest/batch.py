"""A few thousand rows of a source, and how their columns become numbers and texts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from marl_stl_env.data.ingest.texts import MISSING
from marl_stl_env.errors import DataFormatError
from marl_stl_env.types import AnyArray, BoolArray, Float32Array, Float64Array, IntArray

_LARGEST = float(np.finfo(np.float32).max)
_EXACT = float(2**24)  # float32 holds every integer up to here
_MERGED, _STEPS = 0.05, 2**14
Error = type[DataFormatError]


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows of a source.

    Attributes:
        file: Where they are from, for messages.
        columns: Column to its arrow array, decoded.
        rows: Line number of each row.  # (rows,) int64
        missing: Texts that stand for "no value".
    """

    file: str
    columns: dict[str, Any]
    rows: IntArray
    missing: frozenset[str] = MISSING

    def __len__(self) -> int:
        return len(self.rows)

    def error(self, problem: str, at: int, column: str, kind: Error = DataFormatError) -> Exception:
        """An error that names the file, the row and the column."""
        return kind(self.file, problem, row=int(self.rows[at]), column=column)

    def only(self, columns: Iterable[str]) -> Batch:
        """The rows with these columns alone."""
        return replace(self, columns={name: self.columns[name] for name in columns})

    def where(self, keep: BoolArray) -> Batch:
        """The rows for which ``keep`` is True."""
        if keep.all():
            return self
        import pyarrow as pa

        mask = pa.array(keep)
        kept = {name: column.filter(mask) for name, column in self.columns.items()}
        return replace(self, columns=kept, rows=self.rows[keep])

    def as_text(self, columns: Iterable[str]) -> Batch:
        """The rows with these columns, numbers and truth values among them, as text."""
        import pyarrow as pa

        texts = {}
        for name in columns:
            array = self.columns[name]
            if not pa.types.is_binary(array.type):
                array = array.cast(pa.string()).cast(pa.binary())
            texts[name] = array
        return replace(self, columns={**self.columns, **texts})

    def equals(self, column: str, text: str) -> BoolArray:
        """Where a text column holds exactly this text.  # (rows,) bool."""
        import pyarrow.compute as pc

        same = pc.fill_null(pc.equal(self.columns[column], text.encode()), False)
        return np.asarray(same.to_numpy(zero_copy_only=False), np.bool_)

    def blank(self) -> BoolArray:
        """Where every field of a row is empty.  # (rows,) bool."""
        import pyarrow as pa
        import pyarrow.compute as pc

        blank = np.ones(len(self), bool)
        for column in self.columns.values():
            if not blank.any():
                break
            empty = (
                pc.fill_null(pc.equal(pc.binary_length(column), 0), True)
                if pa.types.is_binary(column.type)
                else column.is_null()
            )
            blank &= empty.to_numpy(zero_copy_only=False)
        return blank

    def absent(self, column: str) -> BoolArray:
        """Where a column holds no value: null, NaN, or one of the marks.  # (rows,) bool."""
        import pyarrow as pa
        import pyarrow.compute as pc

        array = self.columns[column]
        absent = array.is_null(nan_is_null=pa.types.is_floating(array.type))
        if pa.types.is_binary(array.type):
            marks = pa.array([mark.encode() for mark in sorted(self.missing)], pa.binary())
            trimmed = _trimmed(array)
            absent = pc.or_(absent, pc.is_in(trimmed, marks))
        return np.asarray(absent.to_numpy(zero_copy_only=False), np.bool_)

    def numbers(self, column: str, *, missing: bool) -> Float64Array:
        """A column as numbers.

        Args:
            column: Its name.
            missing: Whether NaN, infinities and empty fields are let through (the last as NaN).

        Returns:
            (rows,) float64

        Raises:
            DataFormatError: If a field is no number, or not finite where it must be.
        """
        values = _numbers(self, column)
        if not missing and not np.isfinite(values).all():
            at = int(np.argmin(np.isfinite(values)))
            raise self.error(f"{self.shown(column, at)} is not a finite number", at, column)
        return values

    def features(self, column: str, *, missing: bool) -> Float32Array:
        """A column as numbers of single precision.

        Raises:
            DataFormatError: As :meth:`numbers`, or if a number is too large.
        """
        values = self.numbers(column, missing=missing)
        large = np.isfinite(values) & (np.abs(values) > _LARGEST)
        if large.any():
            at = int(large.argmax())
            raise self.error(f"{self.shown(column, at)} exceeds {_LARGEST:.4g}", at, column)
        return values.astype(np.float32)

    def check_precision(self, column: str, values: Float32Array) -> None:
        """Refuse a column whose numbers single precision would merge.

        Large numbers may lose digits, as long as what is left tells them apart: where more than
        5 % of the distinct values of the batch would fall onto another one, the middle 90 % of
        them must span at least 2**14 steps of single precision at the largest.

        Args:
            column: Its name.
            values: The column as features.  # (rows,) float32

        Raises:
            DataFormatError: If they do not, with the first row whose value is merged.
        """
        if not (np.isfinite(values) & (np.abs(values) >= _EXACT)).any():
            return
        known = np.flatnonzero(np.isfinite(values))
        exact, first = np.unique(_exact_numbers(self, column)[known], return_index=True)
        rounded = exact.astype(np.float32)
        merged = rounded[1:] == rounded[:-1]
        low, high = exact[[int(0.05 * (len(exact) - 1)), -1 - int(0.05 * (len(exact) - 1))]]
        step = float(np.spacing(np.abs(rounded).max()))
        if not len(merged) or merged.mean() <= _MERGED or int(high) - int(low) >= _STEPS * step:
            return
        at = int(known[first[1:][merged]].min())
        raise self.error(
            f"{self.shown(column, at)} and its neighbours are too large to be told apart in single "
            f"precision ({merged.mean():.0%} of the values would be merged): subtract a base or "
            "divide; name it time= or entity= where it is one; or drop= it",
            at, column,
        )  # fmt: skip

    def shown(self, column: str, at: int) -> str:
        """A field as it shall stand in a message."""
        value = self.columns[column][at].as_py()
        value = value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."


def _numbers(batch: Batch, column: str) -> Float64Array:
    import pyarrow as pa

    array = batch.columns[column]
    kind = array.type
    if pa.types.is_binary(kind):
        array = _parse(batch, column, array)
    elif pa.types.is_boolean(kind):
        array = array.cast(pa.int8())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise DataFormatError(
            batch.file, f"values of type {kind} are no numbers; drop the column", column=column
        )
    array = array.cast(pa.float64(), safe=False)
    return np.asarray(array.to_numpy(zero_copy_only=False), np.float64)


def _exact_numbers(batch: Batch, column: str) -> AnyArray:
    """A column in its own type, so that integers beyond 2**53 stay apart; 0 for no value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = batch.columns[column]
    if pa.types.is_binary(array.type):
        array = _integers(_without_marks(array, batch.missing))
    if array is None or not (pa.types.is_integer(array.type) or pa.types.is_decimal(array.type)):
        return batch.numbers(column, missing=True)
    exact: AnyArray = pc.fill_null(array, pa.scalar(0).cast(array.type)).to_numpy(
        zero_copy_only=False
    )
    return exact


def _integers(texts: Any) -> Any:
    """Text as integers of the narrowest type that holds them all; None where it holds others."""
    import pyarrow as pa

    for kind in (pa.int64(), pa.uint64(), pa.decimal256(76, 0)):
        try:
            return texts.cast(kind)
        except (pa.ArrowInvalid, UnicodeDecodeError):
            continue
    return None


def _without_marks(array: Any, missing: frozenset[str]) -> Any:
    """Text without spaces around it; the marks for "no value" become null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    options = pc.CastOptions(pa.string(), allow_invalid_utf8=True)
    trimmed = pc.ascii_trim_whitespace(pc.cast(array, options=options))
    absent = pc.is_in(trimmed, pa.array(sorted(missing), trimmed.type))
    return pc.if_else(absent, pa.scalar(None, trimmed.type), trimmed)


def _trimmed(array: Any) -> Any:
    """Text without spaces around it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    options = pc.CastOptions(pa.string(), allow_invalid_utf8=True)
    return pc.ascii_trim_whitespace(pc.cast(array, options=options)).cast(pa.binary())


def _parse(batch: Batch, column: str, array: Any) -> Any:
    """Text to numbers; missing values become null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    options = pc.CastOptions(pa.string(), allow_invalid_utf8=True)
    array = pc.cast(array, options=options)
    try:
        return array.cast(pa.float64())
    except pa.ArrowInvalid:
        pass
    trimmed = _without_marks(array, batch.missing)
    try:
        return trimmed.cast(pa.float64())
    except pa.ArrowInvalid:
        at = _first_failure(trimmed)
        problem = f"{batch.shown(column, at)} is not a number; correct it, or leave it empty"
        raise batch.error(problem, at, column) from None


def _first_failure(array: Any) -> int:
    """Position of the first text that is no number, by bisection."""
    import pyarrow as pa

    low, high = 0, len(array)  # array[:low] parses, array[:high] does not
    while high - low > 1:
        middle = (low + high) // 2
        try:
            array.slice(low, middle - low).cast(pa.float64())
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low

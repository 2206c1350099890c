"""A few thousand rows of a source, and how their columns become numbers, texts and times."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from marl_stl_env.errors import DataFormatError
from marl_stl_env.types import BoolArray, Float32Array, Float64Array, IntArray

MISSING = ("", "NA", "N/A", "null", "NULL", "None")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LARGEST = float(np.finfo(np.float32).max)
Error = type[DataFormatError]


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows of a source.

    Attributes:
        file: Where they are from, for messages.
        columns: Column to its arrow array.
        rows: Line number of each row.  # (rows,) int64
    """

    file: str
    columns: dict[str, Any]
    rows: IntArray

    def __len__(self) -> int:
        return len(self.rows)

    def error(self, problem: str, at: int, column: str, kind: Error = DataFormatError) -> Exception:
        """An error that names the file, the row and the column."""
        return kind(self.file, problem, row=int(self.rows[at]), column=column)

    def where(self, keep: BoolArray) -> Batch:
        """The rows for which ``keep`` is True."""
        if keep.all():
            return self
        import pyarrow as pa

        mask = pa.array(keep)
        kept = {name: column.filter(mask) for name, column in self.columns.items()}
        return Batch(self.file, kept, self.rows[keep])

    def as_text(self, columns: Iterable[str]) -> Batch:
        """The rows with these columns, numbers and truth values among them, as text."""
        import pyarrow as pa

        texts = {}
        for name in columns:
            array = self.columns[name]
            if pa.types.is_dictionary(array.type):
                array = array.dictionary_decode()
            if not pa.types.is_binary(array.type):
                array = array.cast(pa.string()).cast(pa.binary())
            texts[name] = array
        return Batch(self.file, {**self.columns, **texts}, self.rows)

    def equals(self, column: str, text: str) -> BoolArray:
        """Where a text column holds exactly this text.  # (rows,) bool."""
        import pyarrow.compute as pc

        same: BoolArray = pc.equal(self.columns[column], text.encode()).to_numpy(
            zero_copy_only=False
        )
        return same

    def blank(self) -> BoolArray:
        """Where every field of a CSV row is empty.  # (rows,) bool."""
        import pyarrow.compute as pc

        blank = np.ones(len(self), bool)
        for column in self.columns.values():
            if not blank.any():
                break
            blank &= pc.equal(pc.binary_length(column), 0).to_numpy(zero_copy_only=False)
        return blank

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

    def shown(self, column: str, at: int) -> str:
        """A field as it shall stand in a message."""
        value = self.columns[column][at].as_py()
        value = value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."


class Coder:
    """Gives every distinct text of a column a code, in the order of appearance.

    Args:
        clean: Turns a text into its name; texts with one name share a code. It may raise
            ``ValueError`` with what is wrong and how to mend it.
        limit: Most names allowed.
        fallback: Encoding of files that are not UTF-8; None refuses them.
        kind: The error raised.
    """

    def __init__(
        self,
        clean: Callable[[str], str] = str.strip,
        *,
        limit: int,
        fallback: str | None = None,
        kind: Error = DataFormatError,
    ) -> None:
        self._clean, self._limit, self._fallback, self._kind = clean, limit, fallback, kind
        self._code: dict[str, int] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the codes 0, 1, ..."""
        return tuple(self._code)

    def add(self, name: str) -> int:
        """The code of a name."""
        return self._code.setdefault(name, len(self._code))

    def codes(self, batch: Batch, column: str) -> IntArray:
        """The codes of a column.

        Returns:
            (rows,) int64

        Raises:
            DataFormatError: If a text cannot be read or cleaned, or there are too many names.
        """
        encoded = batch.columns[column]
        if not hasattr(encoded, "dictionary"):
            encoded = encoded.dictionary_encode()
        places: IntArray = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        code_of = np.empty(len(encoded.dictionary) + 1, np.int64)
        texts = [*encoded.dictionary.to_pylist(), None]
        for place in np.unique(places):
            try:
                code_of[place] = self.add(self._name(texts[place]))
            except ValueError as error:
                raise batch.error(
                    str(error), int((places == place).argmax()), column, self._kind
                ) from None
        if len(self._code) > self._limit:
            at = int((code_of[places] >= self._limit).argmax())
            raise batch.error(
                f"more than {self._limit:,} different texts: this seems to be an identifier, or "
                "numbers with some text among them; drop the column or mend it",
                at, column,
            )  # fmt: skip
        return code_of[places]

    def _name(self, text: Any) -> str:
        if isinstance(text, bytes):
            try:
                text = text.decode("utf-8")
            except UnicodeDecodeError:
                if self._fallback is None:
                    raise ValueError(f"{text[:30]!r} is not UTF-8 text") from None
                text = text.decode(self._fallback, errors="replace")
        text = "" if text is None else str(text)
        if _CONTROL.search(text):
            raise ValueError(f"{text[:30]!r} holds a line break or a control character")
        return self._clean(text)


def _numbers(batch: Batch, column: str) -> Float64Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    array = batch.columns[column]
    kind = array.type
    if pa.types.is_dictionary(kind):
        array, kind = array.dictionary_decode(), kind.value_type
    if pa.types.is_binary(kind):
        options = pc.CastOptions(pa.string(), allow_invalid_utf8=True)
        array = pc.cast(array, options=options)
        kind = array.type
    if pa.types.is_boolean(kind):
        array = array.cast(pa.int8())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        array = _parse(batch, column, array)
    elif not _is_number(kind):
        raise DataFormatError(
            batch.file, f"values of type {kind} are no numbers; drop the column", column=column
        )
    array = array.cast(pa.float64(), safe=False)
    return np.asarray(array.to_numpy(zero_copy_only=False), np.float64)


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    tests = (types.is_integer, types.is_floating, types.is_decimal, types.is_null)
    return any(test(kind) for test in tests)


def _parse(batch: Batch, column: str, array: Any) -> Any:
    """Text to numbers; missing values become null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return array.cast(pa.float64())
    except pa.ArrowInvalid:
        pass
    trimmed = pc.ascii_trim_whitespace(array)
    absent = pc.is_in(trimmed, pa.array(MISSING, trimmed.type))
    trimmed = pc.if_else(absent, pa.scalar(None, trimmed.type), trimmed)
    try:
        return trimmed.cast(pa.float64())
    except pa.ArrowInvalid:
        at = _first_failure(trimmed)
        raise batch.error(f"{batch.shown(column, at)} is not a number", at, column) from None


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

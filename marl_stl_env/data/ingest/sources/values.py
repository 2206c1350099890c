"""Texts of fields as numbers, times and categories; what cannot be read is marked, not raised."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from marl_stl_env.data.ingest.texts import MISSING
from marl_stl_env.types import BoolArray, Float64Array

_LARGEST = float(np.finfo(np.float32).max)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def no_value(array: Any, missing: frozenset[str] = MISSING) -> Any:
    """Binary texts as text without spaces around them; the marks for "no value" become null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    text = pc.cast(array, options=pc.CastOptions(pa.string(), allow_invalid_utf8=True))
    text = pc.ascii_trim_whitespace(text)
    absent = pc.is_in(text, pa.array(sorted(missing), pa.string()))
    return pc.if_else(absent, pa.scalar(None, pa.string()), text)


def numbers(array: Any, missing: frozenset[str] = MISSING) -> tuple[Float64Array, BoolArray]:
    """Texts as numbers.

    Args:
        array: Binary texts, an arrow array.
        missing: Texts that stand for "no value".

    Returns:
        The numbers, NaN for no value  # (rows,) float64, and which texts are no numbers, or too
        large for single precision  # (rows,) bool.
    """
    values, bad = _each(no_value(array, missing), _as_numbers)
    return values, bad | (np.isfinite(values) & (np.abs(values) > _LARGEST))


def seconds(
    array: Any, formats: Sequence[str], missing: frozenset[str] = MISSING
) -> tuple[Float64Array, BoolArray]:
    """Texts as seconds since 1970.

    Args:
        array: Binary texts, an arrow array.
        formats: How times are written (``strptime``, or ISO8601); none: seconds or ISO 8601. A
            time without a zone is taken as UTC.
        missing: Texts that stand for "no value".

    Returns:
        The seconds, NaN for no value  # (rows,) float64, and which texts are no times
        # (rows,) bool.
    """
    texts = no_value(array, missing)
    values, bad = _each(texts, _as_numbers)
    if not bad.any():
        return values, bad
    import pandas as pd

    series = pd.Series(texts.to_pandas(), dtype=object)
    for form in formats or ("ISO8601",):
        found = pd.to_datetime(series[bad], format=form, utc=True, errors="coerce")
        stamps = found.astype("datetime64[us, UTC]").dropna()
        values[stamps.index] = stamps.astype(np.int64) / 1e6
        bad[stamps.index] = False
    return values, bad


def categories(array: Any) -> tuple[Any, BoolArray]:
    """Binary texts as they are, and which of them are no text.

    Returns:
        The texts, and which hold a control character or are not UTF-8  # (rows,) bool.
    """
    if _is_printable(array):
        return array, np.zeros(len(array), np.bool_)
    coded = array.dictionary_encode()
    wrong = np.array([_is_no_text(text) for text in coded.dictionary.to_pylist()] + [False])
    places = coded.indices.fill_null(len(wrong) - 1).to_numpy(zero_copy_only=False)
    return array, wrong[places]


def _is_printable(array: Any) -> bool:
    """Whether all that the texts are made of is printable ASCII, as nearly always."""
    data = array.buffers()[2]
    if data is None:
        return True
    codes = np.frombuffer(data, np.uint8)  # may hold more than these texts
    return not len(codes) or bool(codes.min() >= 32 and codes.max() < 127)


def _is_no_text(text: bytes) -> bool:
    try:
        return _CONTROL.search(text.decode("utf-8")) is not None
    except UnicodeDecodeError:
        return True


def _as_numbers(texts: Any) -> Float64Array:
    import pyarrow as pa

    return np.array(texts.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _each(texts: Any, convert: Callable[[Any], Float64Array]) -> tuple[Float64Array, BoolArray]:
    """Convert all texts at once, or by halves around those that cannot be converted."""
    import pyarrow as pa

    try:
        return convert(texts), np.zeros(len(texts), np.bool_)
    except pa.ArrowInvalid:
        if len(texts) == 1:
            return np.array([np.nan]), np.array([True])
    half = len(texts) // 2
    parts = [_each(part, convert) for part in (texts[:half], texts[half:])]
    return np.concatenate([v for v, _ in parts]), np.concatenate([b for _, b in parts])

"""Columns of times as seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from marl_stl_env.data.ingest.batch import Batch
from marl_stl_env.data.ingest.texts import is_number
from marl_stl_env.types import Float64Array

_DTYPE: Literal["datetime64[us, UTC]"] = (
    "datetime64[us, UTC]"  # of nanoseconds, only the years 1677 to 2262 would fit
)


def seconds(batch: Batch, column: str, formats: Sequence[str] = ()) -> Float64Array:
    """Seconds since 1970 (or since where the numbers of the column count from).

    Args:
        batch: The rows.
        column: Numbers, timestamps, or text.
        formats: How text is written (``strptime``); several may occur. Empty: numbers or
            ISO 8601.

    Returns:
        (rows,) float64

    Raises:
        DataFormatError: If a time is missing or cannot be read.
    """
    import pandas as pd
    import pyarrow as pa

    array = batch.columns[column]
    if pa.types.is_timestamp(array.type):
        return _checked(batch, column, array.to_pandas())
    if pa.types.is_time(array.type):  # of a day
        unit = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[array.type.unit]
        counts = array.cast(pa.int32() if array.type.bit_width == 32 else pa.int64())
        numbers = replace(batch, columns={column: counts}).numbers(column, missing=False)
        return np.asarray(numbers / unit)
    if not (formats or pa.types.is_binary(array.type)):
        return batch.numbers(column, missing=False)
    texts = [_text(value) for value in array.to_pylist()]
    if not formats and is_number(texts[0]):
        return batch.numbers(column, missing=False)
    parsed = pd.Series(pd.NaT, index=range(len(texts)), dtype=_DTYPE)
    for form in formats or ("ISO8601",):
        open_ = parsed.isna().to_numpy()
        if open_.any():
            left = pd.Series(texts)[open_]
            parsed[open_] = pd.to_datetime(left, format=form, utc=True, errors="coerce").astype(
                _DTYPE
            )
    return _checked(batch, column, parsed)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace").strip()
    return "" if value is None else str(value).strip()


def _checked(batch: Batch, column: str, parsed: Any) -> Float64Array:
    missing = parsed.isna().to_numpy()
    if missing.any():
        at = int(missing.argmax())
        raise batch.error(
            f"{batch.shown(column, at)} is no time; write seconds or ISO 8601", at, column
        )
    numbers = parsed.to_numpy(dtype="datetime64[us]").astype(np.int64)
    return np.asarray(numbers / 1e6)

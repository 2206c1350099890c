"""Columns of times as seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from marl_stl_env.data.batch import Batch
from marl_stl_env.errors import DataFormatError
from marl_stl_env.types import Float64Array


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
    if not formats:
        try:
            return batch.numbers(column, missing=False)
        except DataFormatError:
            if not _is_text(array):
                raise
    texts = [batch_text(value) for value in array.to_pylist()]
    parsed = pd.Series(pd.NaT, index=range(len(texts)), dtype="datetime64[ns, UTC]")
    for form in formats or ("ISO8601",):
        open_ = parsed.isna().to_numpy()
        if open_.any():
            left = pd.Series(texts)[open_]
            parsed[open_] = pd.to_datetime(left, format=form, utc=True, errors="coerce").astype(
                "datetime64[ns, UTC]"
            )
    return _checked(batch, column, parsed)


def batch_text(value: Any) -> str:
    """A field as text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace").strip()
    return "" if value is None else str(value).strip()


def _is_text(array: Any) -> bool:
    import pyarrow as pa

    kind = array.type
    return bool(
        pa.types.is_binary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)
    )


def _checked(batch: Batch, column: str, parsed: Any) -> Float64Array:
    missing = parsed.isna().to_numpy()
    if missing.any():
        at = int(missing.argmax())
        raise batch.error(
            f"{batch.shown(column, at)} is no time; write seconds or ISO 8601", at, column
        )
    numbers = parsed.to_numpy(dtype="datetime64[ns]").astype(np.int64)
    return np.asarray(numbers / 1e9)

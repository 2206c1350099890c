"""Encodings of single columns, fitted on the training rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from marl_stl_env.errors import TableError
from marl_stl_env.types import BoolArray, Float32Array, Float64Array

#: Standardised numbers are clipped to [-CLIP, CLIP].
CLIP = 5.0
#: Columns whose skewness exceeds this in size are compressed by symlog.
SKEWED = 2.0
#: Categories with fewer training rows share the column ``<other>``.
RARE = 10
OTHER = "<other>"


@dataclass(frozen=True)
class NumericColumn:
    """Scaling of a numeric column.

    Attributes:
        name: Input column.
        symlog: Whether ``sign(x) log(1 + |x|)`` is applied first.
        mean: Mean on the training rows (after symlog).
        scale: Standard deviation on the training rows (after symlog).
        median: Replaces NaN.
        minimum: Replaces -inf.
        maximum: Replaces +inf.
    """

    name: str
    symlog: bool
    mean: float
    scale: float
    median: float
    minimum: float
    maximum: float

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the output columns."""
        return (self.name,)

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest possible output."""
        return -CLIP, CLIP

    def encode(
        self, values: Float32Array, category_names: tuple[str, ...] | None = None
    ) -> Float64Array:
        """The scaled values.

        Args:
            values: Raw values.  # (rows,) float32
            category_names: Not used.

        Returns:
            One column.  # (rows, 1) float64
        """
        del category_names
        filled = _fill(values, self.minimum, self.maximum, self.median)
        filled = _symlog(filled) if self.symlog else filled
        return np.clip((filled - self.mean) / self.scale, -CLIP, CLIP)[:, None]


@dataclass(frozen=True)
class CategoricalColumn:
    """One-hot encoding of a categorical column.

    Attributes:
        name: Input column.
        kept: Categories with an output column of their own; all others share ``<other>``.
    """

    name: str
    kept: tuple[str, ...]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the output columns."""
        return tuple(f"{self.name}={category}" for category in (*self.kept, OTHER))

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest possible output."""
        return 0.0, 1.0

    def encode(
        self, values: Float32Array, category_names: tuple[str, ...] | None = None
    ) -> BoolArray:
        """The one-hot rows. Categories are matched by name, so codes may differ between tables.

        Args:
            values: Codes; NaN is a missing value.  # (rows,) float32
            category_names: Names of the codes.

        Returns:
            One column per kept category, and one for all others.  # (rows, outputs) bool

        Raises:
            TableError: If the codes have no names.
        """
        if category_names is None:
            raise TableError(
                f"column {self.name!r} was fitted as categories, but has no names here"
            )
        other = len(self.kept)
        position = {category: place for place, category in enumerate(self.kept)}
        of_code = np.array([position.get(name, other) for name in category_names] + [other])
        places = of_code[_codes(self.name, values, len(category_names))]
        return np.asarray(places[:, None] == np.arange(other + 1))


Column = NumericColumn | CategoricalColumn


def column_from_dict(data: Mapping[str, Any]) -> Column:
    """The column that ``dataclasses.asdict`` described.

    Raises:
        KeyError: If something is missing.
        TypeError: If something is unknown.
        ValueError: If a value cannot be.
    """
    if not isinstance(data["name"], str):
        raise TypeError(f"{data['name']!r} is no name")
    if "kept" in data:
        column = CategoricalColumn(**data)
        return replace(column, kept=different_names(column.name, column.kept))
    scaled = NumericColumn(**data)
    numbers = (scaled.mean, scaled.scale, scaled.median, scaled.minimum, scaled.maximum)
    if not all(type(value) in (int, float) and abs(value) < math.inf for value in numbers):
        raise ValueError(f"{scaled.name} is scaled by something that is no finite number")
    if not (scaled.scale > 0.0 and scaled.minimum <= scaled.median <= scaled.maximum):
        raise ValueError(f"{scaled.name} needs scale > 0 and minimum <= median <= maximum")
    if not isinstance(scaled.symlog, bool):
        raise TypeError(f"symlog of {scaled.name} is true or false")
    return NumericColumn(scaled.name, scaled.symlog, *map(float, numbers))


def different_names(what: str, given: Any) -> tuple[str, ...]:
    """Names from plain data, none of them twice.

    Raises:
        ValueError: If it is something else.
    """
    if (
        not isinstance(given, list | tuple)
        or not all(isinstance(name, str) for name in given)
        or len(set(given)) < len(given)
    ):
        raise ValueError(f"{what} is not a list of different names")
    return tuple(given)


def fit_column(
    name: str, values: Float32Array, category_names: tuple[str, ...] | None
) -> Column | str:
    """The encoding of a column, or the reason for dropping it.

    Args:
        name: Name of the column.
        values: Its values on the training rows.  # (rows,) float32
        category_names: Names of the codes of a categorical column, or None.

    Raises:
        TableError: If codes have no name.
    """
    if category_names is not None:
        codes = _codes(name, values, len(category_names))
        counts = np.bincount(codes, minlength=len(category_names) + 1)
        frequent = zip(category_names, counts, strict=False)  # the last count is that of NaN
        return CategoricalColumn(name, tuple(n for n, count in frequent if count >= RARE))
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        return "no finite value on the training rows"
    minimum, maximum, median = (float(f(finite)) for f in (np.min, np.max, np.median))
    filled = _fill(values, minimum, maximum, median)
    if filled.min() == filled.max():
        return f"constant on the training rows ({minimum:g})"
    symlog = bool(abs(_skewness(filled)) > SKEWED)
    filled = _symlog(filled) if symlog else filled
    mean, scale = float(filled.mean()), float(filled.std())
    return NumericColumn(name, symlog, mean, scale, median, minimum, maximum)


def _fill(values: Float32Array, minimum: float, maximum: float, median: float) -> Float64Array:
    filled = values.astype(np.float64)
    return np.nan_to_num(filled, copy=False, nan=median, posinf=maximum, neginf=minimum)


def _skewness(values: Float64Array) -> float:
    """The third standardised moment, as ``scipy.stats.skew`` has it; 0 where all is rounding."""
    mean = values.mean()
    centred = values - mean
    variance = (centred**2).mean()
    if variance <= (np.finfo(np.float64).eps * mean) ** 2:
        return 0.0
    return float((centred**3).mean() / variance**1.5)


def _symlog(values: Float64Array) -> Float64Array:
    return np.sign(values) * np.log1p(np.abs(values))


def _codes(name: str, values: Float32Array, known: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Codes of a categorical column; NaN becomes the code ``known``."""
    missing = np.isnan(values)
    codes = np.where(missing, known, values)
    if ((codes < 0) | (codes > known) | (codes != np.floor(codes))).any() or (
        codes[~missing] == known
    ).any():
        raise TableError(f"column {name!r} holds codes outside 0..{known - 1}")
    return codes.astype(np.int64)

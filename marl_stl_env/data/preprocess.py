"""Scaling and encoding, fitted on the training rows alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from marl_stl_env.data.ingest.store import release
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import TableError
from marl_stl_env.types import BoolArray, Float32Array, Float64Array, IntArray

CLIP = 5.0
SKEWED = 2.0
RARE = 10
BLOCK_ROWS = 1 << 16
OTHER = "<other>"


@dataclass(frozen=True)
class NumericColumn:
    """How one numeric column is scaled.

    Attributes:
        name: Input column.
        symlog: Whether ``sign(x) log(1 + |x|)`` is taken first.
        mean: Subtracted (after symlog).
        scale: Divided by.
        median: Stands in for NaN.
        minimum: Stands in for -inf.
        maximum: Stands in for +inf.
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


@dataclass(frozen=True)
class CategoricalColumn:
    """How one categorical column is one-hot encoded.

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


Column = NumericColumn | CategoricalColumn


@dataclass(frozen=True)
class Preprocessor:
    """Turns raw tables into scaled, purely numeric ones. Plain data throughout.

    Numeric columns: NaN becomes the median and -inf / +inf the least / greatest finite value of
    the training rows; columns with a skewness above 2 in size go through symlog; all are
    standardised and clipped to [-5, 5]. Columns constant on the training rows are dropped.
    Categories with at least 10 training rows become columns of 0 and 1; rarer and unseen ones
    (and NaN) share the column ``<other>``, which is always there.

    Attributes:
        inputs: Columns of the raw table.
        columns: The encoded columns, in the order of the output.
        dropped: Dropped input column to the reason.
        views: View to its input columns, dropped ones left out.
    """

    inputs: tuple[str, ...]
    columns: tuple[Column, ...]
    dropped: Mapping[str, str]
    views: Mapping[str, tuple[str, ...]]

    @classmethod
    def fit(cls, table: TrafficTable, rows: IntArray | None = None) -> Preprocessor:
        """Learn the scaling from the training rows, one column at a time.

        Args:
            table: A raw table.
            rows: Its training rows; None takes all.  # (k,) int64

        Raises:
            TableError: If a view has no column that varies on the training rows.
        """
        columns: dict[str, Column] = {}
        dropped: dict[str, str] = {}
        views: dict[str, tuple[str, ...]] = {}
        for view, indices in table.views.items():
            for index in indices:
                name = table.feature_names[index]
                if name in columns or name in dropped:
                    continue
                fitted = _fit_column(table, index, rows)
                release(table.features)
                if isinstance(fitted, str):
                    dropped[name] = fitted
                else:
                    columns[name] = fitted
            names = tuple(table.feature_names[i] for i in indices)
            views[view] = tuple(name for name in names if name in columns)
            if not views[view]:
                raise TableError(
                    f"every column of view {view!r} is constant on the training rows "
                    f"({', '.join(names)}); merge the view into another one"
                )
        return cls(table.feature_names, tuple(columns.values()), dropped, views)

    def transform(self, table: TrafficTable, rows: IntArray | None = None) -> TrafficTable:
        """The scaled table; labels, hosts, times and posterior are kept.

        Every value lies within ``low`` and ``high``. If the raw views are disjoint, every view
        of the result is one ascending run of columns.

        Args:
            table: A raw table.
            rows: The rows to scale; None takes all.  # (k,) int64

        Raises:
            TableError: If the columns are not the ones that were fitted, or codes have no name.
        """
        taken = np.arange(len(table)) if rows is None else rows
        features = np.empty((len(taken), len(self.feature_names)), np.float32)
        start = 0
        for block in self.blocks(table, taken):
            features[start : start + len(block)] = block
            start += len(block)
        return TrafficTable(**(table.row_state(rows) | self.described(features)))

    def described(self, features: Float32Array) -> dict[str, Any]:
        """The fields of a scaled table that differ from those of the raw one."""
        return {
            "features": features,
            "feature_names": self.feature_names,
            "views": self.output_views,
            "categories": {},
        }

    def blocks(self, table: TrafficTable, rows: IntArray) -> Iterator[Float32Array]:
        """The scaled features of these rows, at most 65,536 at a time.

        Raises:
            TableError: As :meth:`transform`.
        """
        if table.feature_names != self.inputs:
            raise TableError(
                f"the table has the columns {', '.join(table.feature_names)}, but the "
                f"preprocessor was fitted on {', '.join(self.inputs)}"
            )
        for begin in range(0, len(rows), BLOCK_ROWS):
            part = rows[begin : begin + BLOCK_ROWS]
            raw = {
                column.name: table.features[:, self.inputs.index(column.name)][part]
                for column in self.columns
            }
            yield self.encode(raw, table.categories, len(part))
            release(table.features)

    def encode(
        self, raw: Mapping[str, Float32Array], categories: Mapping[str, tuple[str, ...]], rows: int
    ) -> Float32Array:
        """The scaled features of a few rows.

        Args:
            raw: Every column of ``columns`` as it was read.  # each (rows,) float32
            categories: Categorical column to the names of its codes.
            rows: Number of rows.

        Returns:
            (rows, outputs) float32

        Raises:
            TableError: If codes have no name.
        """
        block = np.empty((rows, len(self.feature_names)), np.float32)
        start = 0
        for column in self.columns:
            values = raw[column.name]
            stop = start + len(column.outputs)
            if isinstance(column, NumericColumn):
                block[:, start] = _scale(column, values)
            else:
                block[:, start:stop] = _one_hot(column, values, categories)
            start = stop
        return block

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the output columns, such as ``duration`` and ``service=http``."""
        return tuple(name for column in self.columns for name in column.outputs)

    @property
    def output_views(self) -> dict[str, tuple[int, ...]]:
        """View to the indices of its output columns, ascending."""
        of_column: dict[str, range] = {}
        start = 0
        for column in self.columns:
            of_column[column.name] = range(start, start + len(column.outputs))
            start += len(column.outputs)
        return {
            view: tuple(sorted(index for name in names for index in of_column[name]))
            for view, names in self.views.items()
        }

    @property
    def low(self) -> Float32Array:
        """Lower bounds, (outputs,) float32: -5, or 0 for a category."""
        return np.where(self._categorical, 0.0, -CLIP).astype(np.float32)

    @property
    def high(self) -> Float32Array:
        """Upper bounds, (outputs,) float32: 5, or 1 for a category."""
        return np.where(self._categorical, 1.0, CLIP).astype(np.float32)

    @property
    def _categorical(self) -> BoolArray:
        return np.array(
            [
                isinstance(column, CategoricalColumn)
                for column in self.columns
                for _ in column.outputs
            ]
        )

    def describe(self) -> list[str]:
        """What was done, in lines for people: sizes, symlog columns, dropped columns and why."""
        skewed = [c.name for c in self.columns if isinstance(c, NumericColumn) and c.symlog]
        return [
            f"{len(self.inputs)} raw columns, {len(self.feature_names)} scaled columns",
            f"symlog (heavy tails): {', '.join(skewed) or 'none'}",
            *(f"dropped {name}: {reason}" for name, reason in self.dropped.items()),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain data that JSON can hold; :meth:`from_dict` turns it back."""
        return {
            "inputs": list(self.inputs),
            "columns": [asdict(column) for column in self.columns],
            "dropped": dict(self.dropped),
            "views": {view: list(names) for view, names in self.views.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Preprocessor:
        """The preprocessor that :meth:`to_dict` described.

        Raises:
            TableError: If the data is not such a description.
        """
        try:
            return cls(
                tuple(data["inputs"]),
                tuple(_column_from_dict(column) for column in data["columns"]),
                dict(data["dropped"]),
                {view: tuple(names) for view, names in data["views"].items()},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise TableError(f"this does not describe a preprocessor: {error!r}") from error


def _column_from_dict(data: Mapping[str, Any]) -> Column:
    if "kept" in data:
        return CategoricalColumn(data["name"], tuple(data["kept"]))
    return NumericColumn(**data)


def _fit_column(table: TrafficTable, index: int, rows: IntArray | None) -> Column | str:
    """How to encode the column, or the reason for dropping it."""
    name, values = table.feature_names[index], table.features[:, index]
    values = values if rows is None else values[rows]
    if name in table.categories:
        names = table.categories[name]
        codes = _codes(name, values, len(names))
        counts = np.bincount(codes, minlength=len(names) + 1)
        return CategoricalColumn(
            name, tuple(n for n, c in zip(names, counts, strict=False) if c >= RARE)
        )
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        return "no finite value on the training rows"
    minimum, maximum, median = (float(f(finite)) for f in (np.min, np.max, np.median))
    filled = _fill(values, minimum, maximum, median)
    if filled.min() == filled.max():
        return f"constant on the training rows ({minimum:g})"
    from scipy.stats import skew

    symlog = bool(abs(skew(filled)) > SKEWED)
    filled = _symlog(filled) if symlog else filled
    return NumericColumn(
        name, symlog, float(filled.mean()), float(filled.std()), median, minimum, maximum
    )


def _fill(values: Float32Array, minimum: float, maximum: float, median: float) -> Float64Array:
    filled = values.astype(np.float64)
    return np.nan_to_num(filled, copy=False, nan=median, posinf=maximum, neginf=minimum)


def _symlog(values: Float64Array) -> Float64Array:
    return np.sign(values) * np.log1p(np.abs(values))


def _scale(column: NumericColumn, values: Float32Array) -> Float64Array:
    filled = _fill(values, column.minimum, column.maximum, column.median)
    filled = _symlog(filled) if column.symlog else filled
    return np.clip((filled - column.mean) / column.scale, -CLIP, CLIP)


def _codes(name: str, values: Float32Array, known: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Codes of a categorical column; NaN becomes the code ``known``."""
    missing = np.isnan(values)
    codes = np.where(missing, known, values)
    if ((codes < 0) | (codes > known) | (codes != np.floor(codes))).any() or (
        codes[~missing] == known
    ).any():
        raise TableError(f"column {name!r} holds codes outside 0..{known - 1}")
    return codes.astype(np.int64)


def _one_hot(
    column: CategoricalColumn, values: Float32Array, categories: Mapping[str, tuple[str, ...]]
) -> BoolArray:
    """Rows of 0 and 1; categories are matched by name, so codes may differ between tables."""
    if column.name not in categories:
        raise TableError(f"column {column.name!r} was fitted as categories, but has no names here")
    names, other = categories[column.name], len(column.kept)
    position = {category: place for place, category in enumerate(column.kept)}
    place_of_code = np.array([position.get(name, other) for name in names] + [other])
    places = place_of_code[_codes(column.name, values, len(names))]
    return np.asarray(places[:, None] == np.arange(other + 1))

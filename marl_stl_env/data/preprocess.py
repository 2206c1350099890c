"""Preprocessing of a whole table, fitted on the training rows alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from marl_stl_env.data.encoding import (
    CLIP,
    Column,
    NumericColumn,
    column_from_dict,
    different_names,
    fit_column,
)
from marl_stl_env.data.ingest.store import release
from marl_stl_env.data.opinions.opinions import VIEW, Opinions
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import TableError
from marl_stl_env.types import Float32Array, IntArray

#: Rows that are encoded at a time.
BLOCK_ROWS = 1 << 16
#: More columns are not those of any traffic.
MAX_COLUMNS = 2**16


@dataclass(frozen=True)
class Preprocessor:
    """Turns raw tables into scaled, purely numeric ones.

    - Numeric columns: NaN becomes the median, -inf the smallest and +inf the largest finite value
      of the training rows. Columns whose skewness exceeds 2 in size are compressed by symlog. All
      are standardised and clipped to [-5, 5].
    - Columns that are constant on the training rows are dropped.
    - Categories with at least 10 training rows become columns of 0 and 1. All others, unseen ones
      and missing values share the column ``<other>``, which always exists.

    Attributes:
        inputs: Columns of the raw table.
        columns: Encodings of the columns, in the order of the output.
        dropped: Dropped input column to the reason.
        views: View to its input columns without the dropped ones.
        opinions: Second opinions, the last columns of the output, in a view of their own.
    """

    inputs: tuple[str, ...]
    columns: tuple[Column, ...]
    dropped: Mapping[str, str]
    views: Mapping[str, tuple[str, ...]]
    opinions: Opinions | None = None

    @classmethod
    def fit(cls, table: TrafficTable, rows: IntArray | None = None) -> Preprocessor:
        """Fit the encodings to the training rows, one column at a time.

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
                values = table.features[:, index]
                values = values if rows is None else values[rows]
                fitted = fit_column(name, values, table.categories.get(name))
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
        """The scaled table; labels, hosts, times and posterior stay.

        Every feature lies in [``low``, ``high``]. If the raw views are disjoint, every view of the
        result is a range of consecutive columns.

        Args:
            table: A raw table.
            rows: The rows to scale; None takes all.  # (k,) int64

        Raises:
            TableError: If the table has other columns than the fitted one, or codes have no name.
        """
        taken = np.arange(len(table)) if rows is None else rows
        features = np.empty((len(taken), len(self.feature_names)), np.float32)
        start = 0
        for block in self.blocks(table, taken):
            features[start : start + len(block)] = block
            start += len(block)
        return TrafficTable(**(table.row_state(rows) | self.described(features)))

    def described(self, features: Float32Array) -> dict[str, Any]:
        """The fields in which a scaled table differs from the raw one."""
        return {
            "features": features,
            "feature_names": self.feature_names,
            "views": self.output_views,
            "categories": {},
        }

    def blocks(self, table: TrafficTable, rows: IntArray) -> Iterator[Float32Array]:
        """The scaled features of these rows, in blocks of at most 65,536 rows.

        Raises:
            TableError: As in :meth:`transform`.
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
        """The scaled features of one block of rows.

        Args:
            raw: Column of ``columns`` to its raw values.  # each (rows,) float32
            categories: Categorical column to the names of its codes.
            rows: Number of rows.

        Returns:
            Scaled features.  # (rows, outputs) float32

        Raises:
            TableError: If codes have no name.
        """
        block = np.empty((rows, self.width), np.float32)
        start = 0
        for column in self.columns:
            stop = start + len(column.outputs)
            names = categories.get(column.name)
            block[:, start:stop] = column.encode(raw[column.name], names)
            start = stop
        return self.with_opinions(block)

    def with_opinions(self, features: Float32Array) -> Float32Array:
        """Scaled features with the second opinions on them behind, if there are any.

        Args:
            features: Scaled features.  # (rows, width) float32

        Returns:
            All output columns.  # (rows, outputs) float32
        """
        if self.opinions is None:
            return features
        return np.concatenate([features, self.opinions.columns(features)], axis=1)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the output columns, such as ``duration`` and ``service=http``."""
        names = (name for outputs in self.outputs.values() for name in outputs)
        return tuple(names)

    @property
    def outputs(self) -> dict[str, tuple[str, ...]]:
        """Each encoded column, and each second opinion, to the names of its output columns."""
        opinions = () if self.opinions is None else self.opinions.names
        own = {name: (name,) for name in opinions}
        return {column.name: column.outputs for column in self.columns} | own

    @property
    def width(self) -> int:
        """Output columns before the second opinions."""
        return sum(len(column.outputs) for column in self.columns)

    @property
    def output_views(self) -> dict[str, tuple[int, ...]]:
        """View to the indices of its output columns, ascending."""
        of_column: dict[str, range] = {}
        start = 0
        for column in self.columns:
            of_column[column.name] = range(start, start + len(column.outputs))
            start += len(column.outputs)
        views = {
            view: tuple(sorted(index for name in names for index in of_column[name]))
            for view, names in self.views.items()
        }
        if self.opinions is not None:
            views[VIEW] = tuple(range(start, start + len(self.opinions.names)))
        return views

    @property
    def low(self) -> Float32Array:
        """Lower bounds: -5, or 0 for a category.  # (outputs,) float32."""
        return self._bounds(0)

    @property
    def high(self) -> Float32Array:
        """Upper bounds: 5, or 1 for a category.  # (outputs,) float32."""
        return self._bounds(1)

    def _bounds(self, side: int) -> Float32Array:
        bounds = [column.bounds[side] for column in self.columns for _ in column.outputs]
        opinions = len(self.feature_names) - self.width
        return np.array(bounds + [(-CLIP, CLIP)[side]] * opinions, np.float32)

    def describe(self) -> list[str]:
        """A summary in lines: sizes, symlog columns, dropped columns and the reasons."""
        skewed = [c.name for c in self.columns if isinstance(c, NumericColumn) and c.symlog]
        opinions = () if self.opinions is None else self.opinions.names
        return [
            f"{len(self.inputs)} raw columns, {self.width} scaled columns",
            *opinions,
            f"symlog (heavy tails): {', '.join(skewed) or 'none'}",
            *(f"dropped {name}: {reason}" for name, reason in self.dropped.items()),
        ]

    def to_dict(self) -> dict[str, Any]:
        """A representation in JSON types; :meth:`from_dict` is the inverse."""
        return {
            "inputs": list(self.inputs),
            "columns": [asdict(column) for column in self.columns],
            "dropped": dict(self.dropped),
            "views": {view: list(names) for view, names in self.views.items()},
            **({} if self.opinions is None else {"opinions": self.opinions.to_dict()}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Preprocessor:
        """The preprocessor with this representation.

        Raises:
            TableError: If the data does not represent a preprocessor.
        """
        try:
            found = cls(
                different_names("inputs", data["inputs"]),
                tuple(column_from_dict(column) for column in data["columns"]),
                dict(data["dropped"]),
                {view: different_names(view, names) for view, names in data["views"].items()},
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise TableError(f"this does not describe a preprocessor: {error!r}") from error
        found._check()
        if data.get("opinions") is None:
            return found
        return replace(found, opinions=Opinions.from_dict(data["opinions"], found.width))

    def _check(self) -> None:
        """Refuse a representation that contradicts itself.

        Raises:
            TableError: If it does.
        """
        names = [column.name for column in self.columns]
        if not names or len(names) > MAX_COLUMNS or len(set(names)) < len(names):
            raise TableError("a preprocessor has columns, each of them once")
        if not {*names, *self.dropped} <= {*self.inputs} or {*names} & {*self.dropped}:
            raise TableError("each encoded or dropped column is one of the inputs, and not both")
        if not self.views or not all(self.views.values()):
            raise TableError("a preprocessor has views, each with a column")
        unknown = {name for view in self.views.values() for name in view} - {*names}
        if unknown:
            raise TableError(f"views show {', '.join(sorted(unknown)[:5])}, which is not encoded")
        if not all(isinstance(reason, str) for reason in self.dropped.values()):
            raise TableError("the reason for dropping a column is a text")

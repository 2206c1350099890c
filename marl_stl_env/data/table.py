"""The traffic table: labelled events as plain arrays."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from marl_stl_env.errors import TableError
from marl_stl_env.types import BoolArray, Float32Array, Float64Array

#: Fields with one entry per row.
ROW_ARRAYS = (
    "features", "labels", "families", "entities", "times", "posterior", "official_test",
)  # fmt: skip
_KINDS = {
    "labels": np.bool_,
    "families": np.int16,
    "entities": np.int32,
    "times": np.float64,
    "posterior": np.float64,
    "official_test": np.bool_,
}
_MAPPINGS = ("views", "categories", "source", "benign")


@dataclass(frozen=True, eq=False)
class TrafficTable:
    """Labelled events in time order, or in the publisher's order if the data has no times.

    A loader returns a *raw* table, whose categorical columns hold codes into ``categories``.
    :class:`~marl_stl_env.data.preprocess.Preprocessor` turns it into the scaled, purely numeric
    table that the engine replays.

    Attributes:
        name: Name of the data set.
        features: Columns that sensors may observe.  # (rows, features) float32
        labels: True for a threat.  # (rows,) bool
        families: Code of the family.  # (rows,) int16
        family_names: Names of the codes, benign families included.
        feature_names: Names of the columns of ``features``.
        views: Name of a view to the indices of its columns, in the data set's order.
        categories: Categorical column to the names of its codes (raw tables only).
        entities: Code of the host behind the event, the same in every split, or None.
            # (rows,) int32
        times: Seconds, ascending, or None.  # (rows,) float64
        posterior: Exact P(threat | features) if the generating model is known, or None.
            # (rows,) float64
        official_test: True for rows of the publisher's test set, or None.  # (rows,) bool
        source: Name of each file that was read to its sha256.
        benign: Label that counts as benign to its number of rows in the data as read.
        notes: Columns that were left out, and features that may leak the label, in lines.
    """

    name: str
    features: Float32Array
    labels: BoolArray
    families: np.ndarray[Any, np.dtype[np.int16]]
    family_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    views: Mapping[str, tuple[int, ...]]
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    entities: np.ndarray[Any, np.dtype[np.int32]] | None = None
    times: Float64Array | None = None
    posterior: Float64Array | None = None
    official_test: BoolArray | None = None
    source: Mapping[str, str] = field(default_factory=dict)
    benign: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check_features()
        self._check_rows()
        self._check_views()
        self._freeze()

    @classmethod
    def of_checked(cls, state: Mapping[str, Any]) -> TrafficTable:
        """A table of fields that an earlier table has checked; nothing is checked again."""
        table = object.__new__(cls)
        for name, value in state.items():
            object.__setattr__(table, name, value)
        table._freeze()
        return table

    def state(self) -> dict[str, Any]:
        """Name to value of every field, with mappings as plain dictionaries."""
        state = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return state | {name: dict(state[name]) for name in _MAPPINGS}

    def _freeze(self) -> None:
        for name in _MAPPINGS:
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        for array in self._row_arrays().values():
            array.setflags(write=False)

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return (
            f"TrafficTable({self.name!r}, {len(self):,} events, {self.features.shape[1]} features, "
            f"{self.threat_rate:.1%} threats)"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle mappings as dictionaries, and memory-mapped arrays as the names of their files."""
        state = self.state()
        return _rebuild, ({name: _file_of(value) or value for name, value in state.items()},)

    @property
    def threat_rate(self) -> float:
        """Share of threats among the events."""
        return float(self.labels.mean())

    def label_notes(self) -> list[str]:
        """The labels that count as benign with their rows, and the notes, in lines."""
        counts = [f"{label!r} ({rows:,} rows)" for label, rows in self.benign.items()]
        shown = ", ".join(counts[:20]) + (f" and {len(counts) - 20} more" if counts[20:] else "")
        return [*([f"benign labels: {shown}"] if counts else []), *self.notes]

    def take(self, rows: np.ndarray[Any, np.dtype[np.int64]]) -> TrafficTable:
        """The table of these rows, in this order.

        Args:
            rows: Row indices.  # (k,) int64
        """
        return TrafficTable(**(self.row_state(rows) | {"features": self.features[rows]}))

    def row_state(self, rows: np.ndarray[Any, np.dtype[np.int64]] | None) -> dict[str, Any]:
        """All fields of the table of these rows except the features.

        Times are dropped if the rows are not in time order.

        Args:
            rows: Row indices; None takes all.  # (k,) int64
        """
        state = self.state()
        del state["features"]
        if rows is not None:
            arrays = self._row_arrays()
            state |= {name: arrays[name][rows] for name in arrays if name != "features"}
            if state["times"] is not None and (np.diff(state["times"]) < 0).any():
                state["times"] = None
        return state

    def _row_arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        arrays = {name: getattr(self, name) for name in ROW_ARRAYS}
        return {name: array for name, array in arrays.items() if array is not None}

    def _check_features(self) -> None:
        if self.features.ndim != 2 or self.features.dtype != np.float32:
            raise TableError(
                f"features must be (rows, features) float32, not {self.features.shape} "
                f"{self.features.dtype}"
            )
        if len(self.feature_names) != self.features.shape[1]:
            raise TableError(
                f"{len(self.feature_names)} feature names for {self.features.shape[1]} columns"
            )
        if len(set(self.feature_names)) != len(self.feature_names):
            twice = sorted({n for n in self.feature_names if self.feature_names.count(n) > 1})
            raise TableError(f"feature names occur twice: {', '.join(twice)}; rename the columns")

    def _check_rows(self) -> None:
        rows = self.features.shape[0]
        if rows == 0:
            raise TableError("the table has no rows")
        for name, array in self._row_arrays().items():
            if array.shape[0] != rows:
                raise TableError(f"{name} has {array.shape[0]} rows, features has {rows}")
        for name, kind in _KINDS.items():
            array = getattr(self, name)
            if array is not None and array.dtype != kind:
                raise TableError(f"{name} must be {np.dtype(kind)}, not {array.dtype}")
        if self.families.min() < 0 or self.families.max() >= len(self.family_names):
            raise TableError(
                f"family codes {self.families.min()}..{self.families.max()} do not fit the "
                f"{len(self.family_names)} family names"
            )
        if self.entities is not None and self.entities.min() < 0:
            raise TableError(f"entities must be at least 0, not {self.entities.min()}")
        # The negation refuses NaN as well.
        if self.posterior is not None and not (
            self.posterior.min() >= 0 and self.posterior.max() <= 1
        ):
            raise TableError("posterior must be in [0, 1]: it holds probabilities of a threat")
        if self.times is not None and not (np.diff(self.times) >= 0).all():
            raise TableError("times must be finite and ascend; sort the rows by time")

    def _check_views(self) -> None:
        columns = self.features.shape[1]
        if not self.views:
            raise TableError("a table needs at least one view")
        for name, view in self.views.items():
            if not view:
                raise TableError(f"view {name!r} has no column")
            if min(view) < 0 or max(view) >= columns:
                raise TableError(f"view {name!r} names columns outside 0..{columns - 1}")
        unseen = set(range(columns)) - {c for view in self.views.values() for c in view}
        if unseen:
            names = ", ".join(self.feature_names[c] for c in sorted(unseen))
            raise TableError(f"no view has the columns {names}; add them to one")
        for name in self.categories:
            if name not in self.feature_names:
                raise TableError(f"categories name the unknown column {name!r}")


@dataclass(frozen=True)
class _File:
    """Replaces a memory-mapped array in a pickle, so that processes share its memory."""

    path: str


def _file_of(value: Any) -> _File | None:
    """The file of an array that maps a whole file, or None."""
    whole = isinstance(value, np.memmap) and isinstance(value.base, mmap.mmap)
    return _File(str(value.filename)) if whole else None


def _rebuild(state: dict[str, Any]) -> TrafficTable:
    arrays = {
        name: np.load(value.path, mmap_mode="r", allow_pickle=False)
        for name, value in state.items()
        if isinstance(value, _File)
    }
    return TrafficTable.of_checked(state | arrays)

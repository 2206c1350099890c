"""Groups of rows with exactly equal features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from marl_stl_env.data.ingest.store import release
from marl_stl_env.types import AnyArray, Float32Array, IntArray


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Which rows of a table equal each other.

    Attributes:
        groups: Group number of every row, 0, 1, ...; equal rows share it.  # (rows,) int64
        count: Number of groups.
    """

    groups: IntArray
    count: int

    @property
    def extra(self) -> int:
        """Rows beyond the first of their group."""
        return len(self.groups) - self.count


def find_duplicates(features: Float32Array) -> Duplicates:
    """Group the rows by exact equality (0.0 equals -0.0, NaN equals NaN).

    Rows are told apart by a 64-bit hash; that it was right is checked, so the result is exact.
    Columns are read one at a time, so a memory-mapped table need not fit in memory.

    Args:
        features: (rows, features) float32.
    """
    _, first, groups = np.unique(_hash(features), return_index=True, return_inverse=True)
    if not _right(features, first, groups):  # two different rows share a hash
        everything = np.stack([_bits(column) for column in features.T], axis=1)
        _, first, groups = np.unique(everything, axis=0, return_index=True, return_inverse=True)
    return Duplicates(groups.reshape(-1).astype(np.int64, copy=False), len(first))


def _bits(column: Float32Array) -> AnyArray:
    """The bit patterns of a column, equal where the values are."""
    return np.where(np.isnan(column), np.float32(np.nan), column + np.float32(0)).view(np.uint32)


def _hash(features: Float32Array) -> AnyArray:
    """A 64-bit hash per row: multiply-and-add with fixed odd constants, then mix."""
    rng = np.random.default_rng(0)
    factors: AnyArray = rng.integers(0, 2**63, size=(features.shape[1],), dtype=np.uint64)
    total = np.zeros(len(features), np.uint64)
    for column, factor in zip(features.T, factors, strict=True):
        total = (total ^ _bits(column)) * (2 * factor + 1)
        total ^= total >> np.uint64(29)
        release(features)
    return total


def _right(features: Float32Array, first: IntArray, groups: IntArray) -> bool:
    """Whether every row equals the first one of its group."""
    repeats = np.flatnonzero(first[groups] != np.arange(len(groups)))
    if not repeats.size:
        return True
    firsts = first[groups[repeats]]
    for column in features.T:
        bits = _bits(column)
        if not (bits[repeats] == bits[firsts]).all():
            return False
        release(features)
    return True

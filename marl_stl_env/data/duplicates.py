"""Groups of rows with exactly equal features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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

    Args:
        features: (rows, features) float32.
    """
    bits = np.where(np.isnan(features), np.float32(np.nan), features + np.float32(0)).view(
        np.uint32
    )
    _, first, groups = np.unique(_hash(bits), return_index=True, return_inverse=True)
    if not (bits == bits[first[groups]]).all():  # two different rows share a hash
        _, first, groups = np.unique(bits, axis=0, return_index=True, return_inverse=True)
    return Duplicates(groups.reshape(-1).astype(np.int64), len(first))


def _hash(bits: AnyArray) -> AnyArray:
    """A 64-bit hash per row: multiply-and-add with fixed odd constants, then mix."""
    rng = np.random.default_rng(0)
    factors: AnyArray = rng.integers(0, 2**63, size=(bits.shape[1],), dtype=np.uint64)
    total = np.zeros(len(bits), np.uint64)
    for column, factor in enumerate(factors):
        total = (total ^ bits[:, column]) * (2 * factor + 1)
        total ^= total >> np.uint64(29)
    return total

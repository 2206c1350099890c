"""Events counted in bins: by quantiles for numbers, by names for categories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from marl_stl_env.types import AnyArray, BoolArray, Float32Array, Float64Array, IntArray

#: Bins of a number, where its values differ enough.
BINS = 20
#: Least bins of the values of a number beside those that occur often.
_LEAST_BINS = 4


@dataclass(frozen=True, eq=False)
class Binning:
    """How columns are counted.

    Attributes:
        names: Name of each column.
        widths: How many columns of the features each has: 1 for a number, its names for a category.
        edges: Inner bounds of a number's bins, ascending; empty for a category. A value equal to a
            bound is above it.  # each (bins - 1,) float32
    """

    names: tuple[str, ...]
    widths: tuple[int, ...]
    edges: tuple[Float32Array, ...]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Bins of each column."""
        pairs = zip(self.widths, self.edges, strict=True)
        return tuple(width if width > 1 else len(edges) + 1 for width, edges in pairs)

    @cached_property
    def starts(self) -> IntArray:
        """Where the bins of each column begin.  # (columns,) int64."""
        return np.cumsum([0, *self.sizes[:-1]])

    @cached_property
    def ordered(self) -> BoolArray:
        """Whether the bins of each column have an order.  # (columns,) bool."""
        return np.array([width == 1 for width in self.widths])

    def counts(self, features: AnyArray) -> IntArray:
        """Events in each bin of each column.

        Args:
            features: Scaled features.  # (events, features) float

        Returns:
            Counts, column after column.  # (bins of all columns,) int64
        """
        parts, at = [], 0
        for width, edges, size in zip(self.widths, self.edges, self.sizes, strict=True):
            values = features[:, at : at + width]
            at += width
            if width > 1:
                parts.append(np.count_nonzero(values, axis=0))
            else:
                codes = np.searchsorted(edges, values[:, 0], side="right")
                parts.append(np.bincount(codes, minlength=size))
        return np.concatenate(parts).astype(np.int64)


def quantile_edges(values: AnyArray) -> Float32Array:
    """Inner bounds of about :data:`BINS` bins that hold alike many values.

    A value that fills a bin alone gets one of its own, as 0 does in most columns of traffic.

    Args:
        values: Values of the training.  # (events,) float
    """
    distinct, counts = np.unique(values.astype(np.float32), return_counts=True)
    often = counts * BINS >= len(values)
    bounds = {*np.flatnonzero(often).tolist(), *(np.flatnonzero(often) + 1).tolist()}
    if not often.all():
        rare = np.flatnonzero(~often)
        share = counts[rare].sum() / len(values)
        bins = max(_LEAST_BINS, round(BINS * share))
        up_to = np.cumsum(counts[rare]) / counts[rare].sum()
        wanted = np.arange(1, bins) / bins
        bounds |= {*rare[np.searchsorted(up_to, wanted)].tolist()}
    inner = sorted(bound for bound in bounds if 0 < bound < len(distinct))
    return distinct[inner]


def shares(counts: AnyArray, binning: Binning) -> Float64Array:
    """Counts as shares of their column; half an event is added to each bin.

    Args:
        counts: Counts.  # (samples, bins of all columns)
        binning: What was counted.

    Returns:
        Shares, which sum to 1 in each column.  # (samples, bins of all columns) float64
    """
    filled = counts + 0.5
    sizes = np.array(binning.sizes)
    totals = np.add.reduceat(filled, binning.starts, axis=1)
    return np.asarray(filled / np.repeat(totals, sizes, axis=1), np.float64)


def population_stability(old: Float64Array, new: Float64Array, starts: IntArray) -> Float64Array:
    """The population stability index of each column.

    It is the sum of ``(new - old) ln(new / old)`` over the bins: Kullback and Leibler's divergence
    (1951) in both directions, as credit scoring uses it (Siddiqi 2006, "Credit risk scorecards").

    Args:
        old: Shares.  # (samples, bins of all columns) float64
        new: Shares.  # (samples, bins of all columns) float64
        starts: Where the bins of each column begin.  # (columns,) int64

    Returns:
        Indices, 0 for equal shares.  # (samples, columns) float64
    """
    return np.asarray(np.add.reduceat((new - old) * np.log(new / old), starts, axis=1))


def kolmogorov_smirnov(old: Float64Array, new: Float64Array, starts: IntArray) -> Float64Array:
    """The largest difference of both distribution functions at the bounds of the bins.

    Shapes are those of :func:`population_stability`. Of categories, which have no order, it means
    nothing.
    """
    # In each column the differences sum to 0, so that one running sum serves them all.
    return np.asarray(np.maximum.reduceat(np.abs(np.cumsum(new - old, axis=1)), starts, axis=1))


def numeric(names: Sequence[str], values: AnyArray) -> Binning:
    """A binning of numbers by their quantiles.

    Args:
        names: Their names.
        values: Their values in training.  # (events, columns) float
    """
    edges = tuple(quantile_edges(column) for column in values.T)
    return Binning(tuple(names), (1,) * len(names), edges)

"""New traffic against the traffic that a team knows, with a stated rate of false alarms.

Limits come from the reference itself, by a block bootstrap (Künsch 1989, "The jackknife and the
bootstrap for general stationary observations"): a window of as many events is put together from
runs of neighbouring blocks of the reference, and so is the reference that it is compared with. All
columns share one limit, the quantile of the largest statistic (Westfall and Young 1993,
"Resampling-based multiple testing"), so that the rate of false alarms is that of a whole window and
not of a column.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from marl_stl_agents.evaluation.drift.binning import (
    kolmogorov_smirnov,
    population_stability,
    shares,
)
from marl_stl_agents.evaluation.drift.reference import Blocks, Reference
from marl_stl_env.types import Float64Array, IntArray

#: Share of undrifted windows in which some column is taken to have moved.
FALSE_ALARMS = 0.01
#: A column below this has not moved, however many events say so. An index below 0.1 is commonly
#: taken for stable.
LEAST = 0.02
_DRAWS = 2000
#: Runs of neighbouring blocks that the reference is cut into: few and long, since a run shall last
#: longer than a burst of the traffic.
_RUNS = 32


@dataclass(frozen=True)
class Shift:
    """How much a column differs from the reference.

    Attributes:
        name: The column, or ``threat_score``.
        psi: Population stability index.
        psi_limit: The least index of a column that has moved.
        ks: Kolmogorov-Smirnov statistic at the bounds of the bins; None for a category.
        ks_limit: The least statistic of a column that has moved.
    """

    name: str
    psi: float
    psi_limit: float
    ks: float | None
    ks_limit: float | None

    @property
    def excess(self) -> float:
        """The larger statistic in units of its limit."""
        both = [self.psi / self.psi_limit]
        if self.ks is not None and self.ks_limit is not None:
            both.append(self.ks / self.ks_limit)
        return max(both)

    @property
    def moved(self) -> bool:
        """Whether the column has moved."""
        return self.excess > 1.0

    def as_dict(self) -> dict[str, Any]:
        """Rounded numbers, in JSON types."""
        numbers = {
            name: None if value is None else round(value, 4)
            for name, value in (
                ("psi", self.psi), ("psi_limit", self.psi_limit), ("ks", self.ks),
                ("ks_limit", self.ks_limit),
            )
        }  # fmt: skip
        return {"name": self.name, **numbers, "moved": self.moved}


class Limits:
    """The least statistics that say "moved", for windows of one size.

    Args:
        blocks: The reference.
        events: Events of a window.
        false_alarms: Share of undrifted windows in which any column says "moved".
    """

    def __init__(self, blocks: Blocks, events: int, false_alarms: float) -> None:
        self._blocks = blocks
        self._reference = shares(blocks.counts.sum(axis=0, keepdims=True), blocks.binning)
        drawn = self._statistics(*_resampled(blocks, max(1, events // blocks.length)))
        level = 1.0 - false_alarms
        each = np.maximum(np.quantile(drawn, level, axis=0), 1e-9)
        together = float(np.quantile((drawn / each).max(axis=1), level, method="higher"))
        self._limits = np.maximum(together * each, LEAST)

    def shifts(self, counts: IntArray) -> Iterator[Shift]:
        """The shift of every column.

        Args:
            counts: Events in each bin of a window.  # (bins of all columns,) int64
        """
        binning = self._blocks.binning
        found = self._statistics(self._reference, shares(counts[None], binning))[0]
        columns = len(binning.names)
        for at, (name, ordered) in enumerate(zip(binning.names, binning.ordered, strict=True)):
            ks = float(found[columns + at]) if ordered else None
            ks_limit = float(self._limits[columns + at]) if ordered else None
            yield Shift(name, float(found[at]), float(self._limits[at]), ks, ks_limit)

    def _statistics(self, old: Float64Array, new: Float64Array) -> Float64Array:
        """Both statistics of every column.  # (samples, 2 columns) float64."""
        binning = self._blocks.binning
        psi = population_stability(old, new, binning.starts)
        ks = np.where(binning.ordered, kolmogorov_smirnov(old, new, binning.starts), 0.0)
        return np.concatenate([psi, ks], axis=1)


def _resampled(blocks: Blocks, taken: int) -> tuple[Float64Array, Float64Array]:
    """Undrifted references, and windows of so many blocks: runs of blocks, drawn anew.

    Returns:
        Shares of the references and of the windows.  # each (draws, bins of all columns) float64
    """
    rng, counts = np.random.default_rng(0), blocks.counts.astype(np.float64)

    def drawn(blocks_wanted: int) -> Float64Array:
        longest = max(1, len(counts) // _RUNS)
        runs = -(-blocks_wanted // longest)
        length = min(max(1, round(blocks_wanted / runs)), len(counts))
        ring = np.concatenate([counts, counts[: length - 1]]).cumsum(axis=0)
        ends = np.concatenate([np.zeros((1, counts.shape[1])), ring])
        sums = ends[length:] - ends[:-length]  # of each run of neighbours  # (blocks, bins)
        times = rng.multinomial(runs, np.full(len(sums), 1.0 / len(sums)), _DRAWS)
        return shares(times @ sums, blocks.binning)

    return drawn(len(counts)), drawn(taken)


@dataclass(frozen=True)
class Comparison:
    """A window of new traffic beside the reference.

    Attributes:
        events: Events of the window.
        shifts: The shift of every column and of the threat score, the largest excess first.
    """

    events: int
    shifts: tuple[Shift, ...]

    @property
    def moved(self) -> tuple[str, ...]:
        """What has moved, the largest excess first."""
        return tuple(one.name for one in self.shifts if one.moved)


class Comparer:
    """Compares windows of one size with a reference.

    Args:
        reference: The reference.
        events: Events of a window; with fewer than a block no window is drifted by chance alone,
            since the limits are those of a block.
        false_alarms: Share of undrifted windows in which anything says "moved". Columns and threat
            scores get half of it each.
    """

    def __init__(
        self, reference: Reference, events: int, false_alarms: float = FALSE_ALARMS
    ) -> None:
        parts = (reference.columns, reference.scores)
        self._events = events
        self._limits = [Limits(blocks, events, false_alarms / 2) for blocks in parts]

    def compare(self, columns: IntArray, scores: IntArray) -> Comparison:
        """Compare a window.

        Args:
            columns: Events in each bin of the columns.  # (bins of all columns,) int64
            scores: Events in each bin of the threat scores.  # (bins,) int64
        """
        pairs = zip(self._limits, (columns, scores), strict=True)
        found = [shift for limits, counts in pairs for shift in limits.shifts(counts)]
        found.sort(key=lambda one: -one.excess)
        return Comparison(int(scores.sum()), tuple(found))

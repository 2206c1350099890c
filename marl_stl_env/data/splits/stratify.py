"""Drawing splits that agree in their threat rate and in their mix of attack families."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from marl_stl_env.data.splits.polish import polished
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.types import BoolArray, Float64Array, IntArray

SMALL_FAMILY = 10
#: Of what giant groups leave, the share that a part gets besides the ones that overfill it.
RESERVE = 0.05


def stratified_parts(
    table: TrafficTable,
    groups: IntArray,
    rows: IntArray,
    shares: tuple[float, ...],
    rng: np.random.Generator,
) -> IntArray:
    """Assign rows to parts that have the same threat rate and the same mix of families.

    Whole groups of equal rows are placed: first those that are larger than the smallest part and
    those that hold both labels, largest first, each where it disturbs the shares of both labels
    least. Where they overfill a part, the shares of all parts change, so that threat rates stay
    equal. The other groups are then spread family by family; families with fewer than ten groups
    are pooled with the other small ones of their label, and what one family leaves unbalanced is
    made good in the next. Last, groups are moved one by one while that brings threat rates closer.

    Args:
        table: Gives labels and families.
        groups: Group of every row of the table.  # (table rows,)
        rows: The rows to assign, ascending.  # (k,)
        shares: Share of each part; they add up to 1.
        rng: Source of randomness.

    Returns:
        Part of each of ``rows``.  # (k,) int64
    """
    _, first, unit = np.unique(groups[rows], return_index=True, return_inverse=True)
    labels = table.labels[rows].astype(np.int64)
    sizes = np.bincount(unit * 2 + labels, minlength=2 * len(first)).reshape(-1, 2)
    draw = _Draw(sizes, shares, rng)
    draw.place_difficult()
    strata = _strata(table.families[rows[first]].astype(np.int64), sizes)
    for label in draw.coarsest_label_first():
        draw.spread(label, strata)
    if (sizes.sum(1) == 1).all():
        return draw.part[unit]  # as even as rounding allows
    return polished(draw.part, sizes, np.array(shares))[unit]


def _strata(families: IntArray, sizes: IntArray) -> IntArray:
    """Stratum of every group of one label: family and label, with the small ones pooled."""
    label = (sizes[:, 1] > 0).astype(np.int64)
    stratum = families * 2 + label
    _, inverse, counts = np.unique(stratum, return_inverse=True, return_counts=True)
    return np.where(counts[inverse] < SMALL_FAMILY, -1 - label, stratum)


@dataclass
class _Draw:
    """Where each group goes.

    Attributes:
        sizes: Benign rows and threats of each group.  # (groups, 2) int64
        shares: Share of each part, as asked.
        rng: Source of randomness.
        part: Part of each group, -1 before it is placed.  # (groups,) int64
        target: Share of each part, as far as giant groups allow.
    """

    sizes: IntArray
    shares: Sequence[float]
    rng: np.random.Generator
    part: IntArray = field(init=False)
    target: Sequence[float] = field(init=False)

    def __post_init__(self) -> None:
        self.part = np.full(len(self.sizes), -1)
        self.target = self.shares

    def place_difficult(self) -> None:
        """Place the groups larger than a part and those of both labels, counting both labels."""
        weights = self.sizes / self._totals
        giant = (self.sizes.sum(1) > 1) & (weights.max(1) > min(self.shares))
        order = self.rng.permutation(np.flatnonzero(giant | (self.sizes > 0).all(1)))
        order = order[np.argsort(-weights[order].max(1), kind="stable")]
        filled = [[0.0, 0.0] for _ in self.shares]
        for unit, weight in zip(order.tolist(), weights[order].tolist(), strict=True):
            choice = _least_disturbing(weight, filled, self.target)
            self.part[unit] = choice
            filled[choice] = [a + b for a, b in zip(filled[choice], weight, strict=True)]
            if giant[unit]:
                self.target = reachable_shares(self.shares, self._least(filled))

    def _least(self, filled: Sequence[Sequence[float]]) -> list[float]:
        """The share that each part needs: what it holds, and more where that is too much."""
        held = [max(pair) for pair in filled]
        return [
            value + RESERVE * (1 - value) if value > share else value
            for value, share in zip(held, self.shares, strict=True)
        ]

    def coarsest_label_first(self) -> Iterable[int]:
        """Both labels; first the one with the smaller share of rows without an equal."""
        single = self.sizes.sum(1) == 1
        fine = self.sizes[single].sum(0) / self._totals
        return (1, 0) if fine[1] < fine[0] else (0, 1)

    def spread(self, label: int, strata: IntArray) -> None:
        """Place the remaining groups of a label, and let the other label follow what came out."""
        sizes = self.sizes[:, label]
        own = (sizes > 0) & (self.sizes[:, 1 - label] == 0)
        both = (sizes > 0) & (self.sizes[:, 1 - label] > 0)
        owed = np.array(self.target) * sizes[both].sum() - self._placed(sizes, both)
        for number in self._coarsest_first(np.unique(strata[own]), own, strata):
            members = own & (strata == number)
            wanted = np.array(self.target) * sizes[members].sum() + owed
            wanted -= self._placed(sizes, members)
            units = np.flatnonzero(members & (self.part < 0))
            self.part[units], owed = _spread(sizes[units], wanted, np.array(self.target), self.rng)
        if np.abs(owed).max() > 1.0:
            achieved = self._placed(sizes, sizes > 0) / sizes.sum()
            taken = self._placed(self.sizes[:, 1 - label], self.part >= 0) / self._totals[1 - label]
            self.target = reachable_shares(achieved.tolist(), taken.tolist())

    def _coarsest_first(self, numbers: IntArray, own: BoolArray, strata: IntArray) -> list[int]:
        """Strata that lack groups of one row come first: the others can make good for them."""

        def fine(number: int) -> bool:
            sizes = self.sizes[own & (strata == number)].sum(1)
            return bool(2 * (sizes == 1).sum() >= sizes.sum())

        return sorted(numbers.tolist(), key=fine)

    def _placed(self, sizes: IntArray, units: BoolArray) -> Float64Array:
        """Rows of these groups in each part."""
        placed = np.flatnonzero(units & (self.part >= 0))
        rows = np.bincount(self.part[placed], sizes[placed], len(self.shares))
        return rows.astype(np.float64)

    @property
    def _totals(self) -> IntArray:
        """Benign rows and threats of all groups, at least 1."""
        totals: IntArray = np.maximum(self.sizes.sum(0), 1)
        return totals


def _least_disturbing(
    weight: Sequence[float], filled: Sequence[Sequence[float]], target: Sequence[float]
) -> int:
    """The part in which the sum of (share of a label - target)^2 / target grows least."""
    growth = [
        sum(w * (w + 2 * (f - share)) for w, f in zip(weight, have, strict=True)) / share
        for have, share in zip(filled, target, strict=True)
    ]
    return growth.index(min(growth))


def reachable_shares(shares: Sequence[float], least: Sequence[float]) -> list[float]:
    """The shares nearest to those asked for that give each part at least what it has already.

    Parts that hold more than their share keep it; the others divide the rest in proportion.

    Args:
        shares: Share of each part, as asked; they add up to 1.
        least: What each part holds already, as a share of all.
    """
    fixed: set[int] = set()
    while True:
        free = 1.0 - sum(least[k] for k in fixed)
        open_share = sum(share for k, share in enumerate(shares) if k not in fixed)
        if free <= 0.0 or open_share <= 0.0:
            total = sum(least)
            return [max(value, 1e-9) / total for value in least]
        found = [
            least[k] if k in fixed else share * free / open_share for k, share in enumerate(shares)
        ]
        above = {k for k, value in enumerate(found) if least[k] > value} - fixed
        if not above:
            return [max(value, 1e-9) for value in found]
        fixed |= above


def _spread(
    sizes: IntArray, wanted: Float64Array, shares: Float64Array, rng: np.random.Generator
) -> tuple[IntArray, Float64Array]:
    """Parts of the groups of one stratum, and the rows still owed to each part.

    Large groups go first, each to the part that it overfills least; groups of one row then fill
    what is missing exactly.
    """
    part = np.empty(len(sizes), np.int64)
    order = rng.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    repeated = order[sizes[order] > 1]
    missing, parts = wanted.tolist(), range(len(shares))
    inverse = (1 / shares).tolist()
    chosen = []
    for size in sizes[repeated].tolist():
        choice = max(parts, key=lambda k: (missing[k] - size) * inverse[k])
        chosen.append(choice)
        missing[choice] -= size
    part[repeated] = chosen
    singles = order[len(repeated) :]
    counts = _apportion(np.array(missing), len(singles))
    part[singles] = np.repeat(np.arange(len(shares)), counts)
    return part, np.array(missing) - counts


def _apportion(wanted: Float64Array, total: int) -> IntArray:
    """Whole numbers that add up to ``total`` and are as close to ``wanted`` as can be."""
    counts = np.zeros(len(wanted), np.int64)
    positive = np.clip(wanted, 0, None)
    if total and positive.sum() > 0:
        positive *= total / positive.sum()
        counts = np.floor(positive + 1e-9).astype(np.int64)
    for _ in range(total - int(counts.sum())):
        counts[np.argmax(wanted - counts)] += 1
    return counts

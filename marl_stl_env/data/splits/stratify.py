"""Drawing splits that agree in their mix of attack families."""

from __future__ import annotations

import numpy as np

from marl_stl_env.data.table import TrafficTable
from marl_stl_env.types import Float64Array, IntArray

SMALL_FAMILY = 10


def stratified_parts(
    table: TrafficTable,
    groups: IntArray,
    rows: IntArray,
    shares: tuple[float, ...],
    rng: np.random.Generator,
) -> IntArray:
    """Assign rows to parts so that every part has the same mix of families.

    Whole groups of equal rows are assigned. Families with fewer than ten groups are pooled with
    the other small ones of their label. What rounding leaves over in one family is made good in
    the next of the same label, so threat rates agree to about one event.

    Args:
        table: Gives labels and families.
        groups: Group of every row of the table.  # (table rows,)
        rows: The rows to assign, ascending.  # (k,)
        shares: Share of each part; they add up to 1.
        rng: Source of randomness.

    Returns:
        Part of each of ``rows``.  # (k,) int64
    """
    _, first, unit, sizes = np.unique(
        groups[rows], return_index=True, return_inverse=True, return_counts=True
    )
    label = table.labels[rows[first]]
    family = table.families[rows[first]].astype(np.int64)
    # One stratum number per family and label; -1 and -2 pool the small ones.
    stratum = family * 2 + label
    _, inverse, counts = np.unique(stratum, return_inverse=True, return_counts=True)
    stratum = np.where(counts[inverse] < SMALL_FAMILY, -1 - label.astype(np.int64), stratum)
    part = np.empty(len(first), np.int64)
    for value in (False, True):
        owed = np.zeros(len(shares))
        for number in np.unique(stratum[label == value]):
            units = np.flatnonzero((stratum == number) & (label == value))
            part[units], owed = _spread(sizes[units], np.array(shares), owed, rng)
    return part[unit]


def _spread(
    sizes: IntArray, shares: Float64Array, owed: Float64Array, rng: np.random.Generator
) -> tuple[IntArray, Float64Array]:
    """Parts of the units of one stratum, and the rows still owed to each part.

    Large units go first, each to the part that it overfills least; units of one row then fill
    what is missing exactly.
    """
    wanted = shares * sizes.sum() + owed
    part = np.empty(len(sizes), np.int64)
    order = rng.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    singles = order[sizes[order] == 1]
    for unit in order[: len(order) - len(singles)]:
        choice = int(np.argmax((wanted - sizes[unit]) / shares))
        part[unit] = choice
        wanted[choice] -= sizes[unit]
    counts = _apportion(wanted, len(singles))
    part[singles] = np.repeat(np.arange(len(shares)), counts)
    return part, wanted - counts


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

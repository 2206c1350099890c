"""Cutting a table in time."""

from __future__ import annotations

import numpy as np

from marl_stl_env.config import Split
from marl_stl_env.data.splits.report import SHARES
from marl_stl_env.types import BoolArray, IntArray

#: Share of the rows that is dropped at each cut.
GAP = 0.01


def temporal_cuts(kept: IntArray) -> tuple[dict[Split, IntArray], int]:
    """Cut rows at 70 and 85 %, and drop 1 % of them around each cut.

    Args:
        kept: The rows to split, in time order.  # (k,)

    Returns:
        The rows of each split, and the number of rows dropped.
    """
    total = len(kept)
    gap = max(1, round(GAP * total))
    first, second = round(SHARES[0] * total), round((SHARES[0] + SHARES[1]) * total)
    ends = (first - gap // 2, second - gap // 2, total)
    starts = (0, ends[0] + gap, ends[1] + gap)
    names: tuple[Split, ...] = ("train", "validation", "test")
    rows = {name: kept[a : max(a, b)] for name, a, b in zip(names, starts, ends, strict=True)}
    return rows, 2 * gap


def remove_seen(
    rows: dict[Split, IntArray], groups: IntArray, labels: BoolArray
) -> tuple[dict[Split, IntArray], dict[Split, int], dict[Split, int]]:
    """Take out of validation and test what an earlier split has, but never most of a class.

    Training rows all stay: what recurs among them is traffic as it was. A flood that goes on
    through validation or test would leave no threat there; where more than half of a class of a
    split has been seen before, or fewer than two rows of it would be left, all of that class stays.

    Args:
        rows: Split to its rows, as cut.
        groups: Group of equal rows of every row of the table.  # (table rows,)
        labels: Threats.  # (table rows,)

    Returns:
        Split to its rows, to the number of rows removed, and of rows kept though seen before.
    """
    left, removed, kept = dict(rows), {}, {}
    seen = groups[rows["train"]]
    later: tuple[Split, ...] = ("validation", "test")
    for name in later:
        repeated = np.isin(groups[rows[name]], seen)
        going = repeated.copy()
        for label in (False, True):
            of_class = labels[rows[name]] == label
            remaining = int((of_class & ~repeated).sum())
            if remaining < 2 or 2 * remaining < of_class.sum():
                going &= ~of_class
        seen = np.concatenate([seen, groups[rows[name]]])
        left[name] = rows[name][~going]
        removed[name] = int(going.sum())
        kept[name] = int((repeated & ~going).sum())
    return left, removed, kept

"""Moving single groups of equal rows between parts until the threat rates agree."""

from __future__ import annotations

import numpy as np

from marl_stl_env.types import AnyArray, Float64Array, IntArray

#: Threat rates that differ by less than this are left alone.
CLOSE = 0.0002
_MOVES = 200
_SHARE_WEIGHT = 0.01


def polished(part: IntArray, sizes: IntArray, shares: Float64Array) -> IntArray:
    """Move groups one at a time while that brings the threat rates of the parts closer.

    Each move is the best one of all; shares count a hundredth of what rates do. Groups of the same
    size and part are alike, so only one of each kind is tried.

    Args:
        part: Part of each group.  # (groups,) int64
        sizes: Benign rows and threats of each group.  # (groups, 2) int64
        shares: Share of each part, as asked.  # (parts,) float64

    Returns:
        Part of each group.  # (groups,) int64
    """
    part = part.copy()
    counts = np.stack([np.bincount(part, sizes[:, i], len(shares)) for i in (0, 1)], axis=1)
    for _ in range(_MOVES):
        rates = counts[:, 1] / np.maximum(counts.sum(1), 1)
        if np.ptp(rates) <= CLOSE:
            break
        kinds = np.concatenate([sizes, part[:, None]], axis=1)
        kinds, example = np.unique(kinds, axis=0, return_index=True)
        best, (kind, target) = _best_move(counts, kinds, shares)
        if best >= _cost(counts, shares) - 1e-12:
            break
        counts[kinds[kind, 2]] -= kinds[kind, :2]
        counts[target] += kinds[kind, :2]
        part[example[kind]] = target
    return part


def _cost(counts: AnyArray, shares: Float64Array) -> Float64Array:
    """How far apart the threat rates are, and a little of how far off the shares.

    Args:
        counts: Benign rows and threats of each part.  # (..., parts, 2)
        shares: Share of each part, as asked.  # (parts,)
    """
    rows = counts.sum(-1)
    rates = counts[..., 1] / np.maximum(rows, 1)
    short = (counts < 2).sum((-2, -1))
    off = np.abs(rows / rows.sum(-1, keepdims=True) - shares).max(-1)
    cost: Float64Array = short + np.ptp(rates, axis=-1) + _SHARE_WEIGHT * off
    return cost


def _best_move(
    counts: AnyArray, kinds: IntArray, shares: Float64Array
) -> tuple[float, tuple[int, int]]:
    """Cost after the best move, and which kind of group goes to which part."""
    parts, rows = len(shares), np.arange(len(kinds))
    costs = np.full((len(kinds), parts), np.inf)
    for target in range(parts):
        after = np.repeat(counts[None], len(kinds), axis=0)
        after[rows, kinds[:, 2]] -= kinds[:, :2]
        after[:, target] += kinds[:, :2]
        costs[:, target] = _cost(after, shares)
    place = np.unravel_index(int(costs.argmin()), costs.shape)
    return float(costs.min()), (int(place[0]), int(place[1]))

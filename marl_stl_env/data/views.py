"""Views for tables that declare none: as informative as each other on the training rows."""

from __future__ import annotations

import numpy as np

from marl_stl_env.data.store import release
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.types import AnyArray, BoolArray, Float32Array, IntArray

#: The one view of a raw table whose views are still to be drawn.
UNGROUPED = "ungrouped"
VIEWS = 4
SAMPLE = 50_000
_BINS = 32


def balanced_views(table: TrafficTable, train: IntArray) -> TrafficTable:
    """Deal the columns out to four views by their mutual information with the label.

    Columns are sorted by their information and dealt out in turn, forth and back (as players are
    drafted), so that the views sum up to about the same. The information is that of at most
    50,000 training rows, evenly spaced, with numbers cut at 32 quantiles.

    Args:
        table: A raw table.
        train: Its training rows, ascending.  # (k,) int64

    Returns:
        The table with ``view_0`` to ``view_3``, or itself where it declares its views.
    """
    if tuple(table.views) != (UNGROUPED,):
        return table
    rows = train[:: max(1, -(-len(train) // SAMPLE))]
    labels = np.asarray(table.labels[rows])
    information = []
    for column in range(table.features.shape[1]):
        information.append(mutual_information(table.features[:, column][rows], labels))
        release(table.features)
    count = min(VIEWS, len(information))
    hands: list[list[int]] = [[] for _ in range(count)]
    for place, column in enumerate(np.argsort(-np.array(information), kind="stable").tolist()):
        lap, seat = divmod(place, count)
        hands[seat if lap % 2 == 0 else count - 1 - seat].append(column)
    views = {f"view_{i}": tuple(sorted(hand)) for i, hand in enumerate(hands)}
    return TrafficTable.of_checked(table.state() | {"views": views})


def mutual_information(values: Float32Array, labels: BoolArray) -> float:
    """Mutual information of a column, cut at its quantiles, and the label, in nats.

    Args:
        values: (rows,) float32; NaN is a value of its own.
        labels: (rows,) bool
    """
    bins = _bins(values)
    joint = np.zeros((int(bins.max()) + 1, 2))
    np.add.at(joint, (bins, labels.astype(np.int64)), 1.0)
    joint /= joint.sum()
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    held = joint > 0
    return float((joint[held] * np.log(joint[held] / independent[held])).sum())


def _bins(values: Float32Array) -> AnyArray:
    known = np.nan_to_num(values.astype(np.float64), nan=-np.inf)
    finite = known[np.isfinite(known)]
    edges = np.unique(np.quantile(finite, np.linspace(0, 1, _BINS))) if finite.size else [0.0]
    return np.searchsorted(edges, known, side="right")

"""Views that the table does not declare: equally informative ones, and random ones."""

from __future__ import annotations

import numpy as np

from marl_stl_env.data.ingest.store import release
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


def random_columns(
    columns: int, views: int, share: float, rng: np.random.Generator
) -> list[tuple[int, ...]]:
    """Views that each hold a random share of the columns, and one more where one is in none.

    Ho (1998), "The random subspace method for constructing decision forests".

    Args:
        columns: Number of columns.
        views: Number of views.
        share: Share of the columns in each view, in (0, 1].
        rng: Source of randomness.

    Returns:
        The columns of each view, ascending.
    """
    size = max(1, round(share * columns))
    hands = [set(rng.choice(columns, size, replace=False).tolist()) for _ in range(views)]
    for column in sorted(set(range(columns)).difference(*hands)):
        hands[rng.integers(views)].add(column)
    return [tuple(sorted(hand)) for hand in hands]


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

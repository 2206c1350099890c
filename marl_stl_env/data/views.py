"""Views that the table does not declare: equally informative ones, and random ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from marl_stl_env.data.encoding import RARE
from marl_stl_env.data.ingest.store import release
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import TableError
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
    50,000 training rows, evenly spaced, with numbers cut at 32 quantiles. Columns that do not vary
    on the training rows are dealt last, and there are no more views than columns that do.

    Args:
        table: A raw table.
        train: Its training rows, ascending.  # (k,) int64

    Returns:
        The table with ``view_0`` to ``view_3``, or itself where it declares its views.

    Raises:
        TableError: If no column varies on the training rows.
    """
    if tuple(table.views) != (UNGROUPED,):
        return table
    rows = train[:: max(1, -(-len(train) // SAMPLE))]
    labels = np.asarray(table.labels[rows])
    information = []
    varying = varying_columns(table, train)
    for column in range(table.features.shape[1]):
        information.append(mutual_information(table.features[:, column][rows], labels))
        release(table.features)
    count = min(VIEWS, int(varying.sum()))
    hands: list[list[int]] = [[] for _ in range(count)]
    order = np.lexsort([-np.array(information), ~varying])
    for place, column in enumerate(order.tolist()):
        lap, seat = divmod(place, count)
        hands[seat if lap % 2 == 0 else count - 1 - seat].append(column)
    views = {f"view_{i}": tuple(sorted(hand)) for i, hand in enumerate(hands)}
    return TrafficTable.of_checked(table.state() | {"views": views})


def varying_columns(table: TrafficTable, train: IntArray) -> BoolArray:
    """Which columns of a raw table still differ between training rows once they are scaled.

    Args:
        table: A raw table.
        train: Its training rows.  # (k,) int64

    Returns:
        (columns,) bool

    Raises:
        TableError: If there is none.
    """
    varying = np.zeros(table.features.shape[1], bool)
    for column, name in enumerate(table.feature_names):
        values = np.asarray(table.features[:, column][train])
        varying[column] = _differs(values, name in table.categories)
        release(table.features)
    if not varying.any():
        raise TableError(
            f"all {len(varying)} columns are constant on the {len(train):,} training rows: there "
            "is nothing to tell threats by; use a table with columns that vary"
        )
    return varying


def _differs(values: Float32Array, categorical: bool) -> bool:
    """Whether the scaled column takes two values: rare categories share one, blanks the median."""
    if categorical:
        _, counts = np.unique(values[~np.isnan(values)], return_counts=True)
        kept = counts >= RARE
        return int(kept.sum()) + bool(counts[kept].sum() < len(values)) > 1
    finite = values[np.isfinite(values)]
    return bool(finite.size) and bool(finite.min() < finite.max())


def random_columns(
    varying: Sequence[bool], views: int, share: float, rng: np.random.Generator
) -> list[tuple[int, ...]]:
    """Views that each hold a random share of the columns, and one more where one is in none.

    A view without any column that varies gets one of those besides.

    Ho (1998), "The random subspace method for constructing decision forests".

    Args:
        varying: Whether each column varies on the training rows; one does.  # (columns,)
        views: Number of views.
        share: Share of the columns in each view, in (0, 1].
        rng: Source of randomness.

    Returns:
        The columns of each view, ascending.
    """
    columns = len(varying)
    useful = np.flatnonzero(varying)
    size = max(1, round(share * columns))
    hands = [set(rng.choice(columns, size, replace=False).tolist()) for _ in range(views)]
    for column in sorted(set(range(columns)).difference(*hands)):
        hands[rng.integers(views)].add(column)
    for hand in hands:
        if hand.isdisjoint(useful.tolist()):
            hand.add(int(rng.choice(useful)))
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

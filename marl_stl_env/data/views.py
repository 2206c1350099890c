"""Views for tables that declare none: balanced by information, or random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from marl_stl_env.data.encoding import RARE
from marl_stl_env.data.ingest.store import release
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import TableError
from marl_stl_env.types import AnyArray, BoolArray, Float32Array, IntArray

#: The only view of a raw table whose views are not assigned yet.
UNGROUPED = "ungrouped"
VIEWS = 4
#: Training rows from which mutual information is estimated, at most.
SAMPLE = 50_000
_BINS = 32


def balanced_views(table: TrafficTable, train: IntArray) -> TrafficTable:
    """Assign the columns to four views with about the same information about the label.

    Columns are sorted by their mutual information with the label and assigned in snake order
    (0 1 2 3 3 2 1 0 0 1 ...), so the sums of the views are about equal. Information is estimated
    from at most 50,000 evenly spaced training rows, with numbers binned at 32 quantiles. Columns
    that do not vary on the training rows come last. If fewer than four columns vary, there are as
    many views as columns that vary.

    Args:
        table: A raw table.
        train: Its training rows, ascending.  # (k,) int64

    Returns:
        The table with ``view_0`` to ``view_3``; the same table if it declares its views.

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
    members: list[list[int]] = [[] for _ in range(count)]
    order = np.lexsort([-np.array(information), ~varying])
    for place, column in enumerate(order.tolist()):
        turn, view = divmod(place, count)
        members[view if turn % 2 == 0 else count - 1 - view].append(column)
    views = {f"view_{i}": tuple(sorted(columns)) for i, columns in enumerate(members)}
    return TrafficTable.of_checked(table.state() | {"views": views})


def varying_columns(table: TrafficTable, train: IntArray) -> BoolArray:
    """Which columns of a raw table vary on the training rows after scaling.

    Args:
        table: A raw table.
        train: Its training rows.  # (k,) int64

    Returns:
        True for columns that vary.  # (columns,) bool

    Raises:
        TableError: If no column varies.
    """
    varying = np.zeros(table.features.shape[1], bool)
    for column, name in enumerate(table.feature_names):
        values = np.asarray(table.features[:, column][train])
        varying[column] = _differs(values, name in table.categories)
        release(table.features)
    if not varying.any():
        raise TableError(
            f"all {len(varying)} columns are constant on the {len(train):,} training rows, so no "
            "threat can be detected; use a table with columns that vary"
        )
    return varying


def _differs(values: Float32Array, categorical: bool) -> bool:
    """Whether a column takes two values after scaling.

    Rare and missing categories share one value; missing numbers become the median.
    """
    if categorical:
        _, counts = np.unique(values[~np.isnan(values)], return_counts=True)
        kept = counts >= RARE
        return int(kept.sum()) + bool(counts[kept].sum() < len(values)) > 1
    finite = values[np.isfinite(values)]
    return bool(finite.size) and bool(finite.min() < finite.max())


def random_columns(
    varying: Sequence[bool], views: int, share: float, rng: np.random.Generator
) -> list[tuple[int, ...]]:
    """Views of random columns: the random subspace method.

    Every view gets the same number of columns. A column that is in no view is added to a random
    one. A view without any column that varies gets one more column that does.

    Ho (1998), "The random subspace method for constructing decision forests", IEEE Transactions on
    Pattern Analysis and Machine Intelligence 20(8).

    Args:
        varying: Whether each column varies on the training rows; at least one must.  # (columns,)
        views: Number of views.
        share: Share of the columns in each view, in (0, 1].
        rng: Source of randomness.

    Returns:
        The columns of each view, ascending.
    """
    columns = len(varying)
    useful = np.flatnonzero(varying)
    size = max(1, round(share * columns))
    members = [set(rng.choice(columns, size, replace=False).tolist()) for _ in range(views)]
    for column in sorted(set(range(columns)).difference(*members)):
        members[rng.integers(views)].add(column)
    for view in members:
        if view.isdisjoint(useful.tolist()):
            view.add(int(rng.choice(useful)))
    return [tuple(sorted(view)) for view in members]


def mutual_information(values: Float32Array, labels: BoolArray) -> float:
    """Mutual information of a column, binned at its quantiles, and the label, in nats.

    Args:
        values: The column; NaN has a bin of its own.  # (rows,) float32
        labels: True for a threat.  # (rows,) bool
    """
    bins = _bins(values)
    joint = np.zeros((int(bins.max()) + 1, 2))
    np.add.at(joint, (bins, labels.astype(np.int64)), 1.0)
    joint /= joint.sum()
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    positive = joint > 0
    return float((joint[positive] * np.log(joint[positive] / independent[positive])).sum())


def _bins(values: Float32Array) -> AnyArray:
    known = np.nan_to_num(values.astype(np.float64), nan=-np.inf)
    finite = known[np.isfinite(known)]
    edges = np.unique(np.quantile(finite, np.linspace(0, 1, _BINS))) if finite.size else [0.0]
    return np.searchsorted(edges, known, side="right")

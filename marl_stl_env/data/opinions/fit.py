"""Fitting second opinions: out of fold by family, so that training sees what a deployed team sees.

A forest that was fitted on an event, or on others of its family, scores it as if it knew all
attacks. So each training event is scored by forests that had nothing of its group: the attack
families are divided into groups at random, and so are the benign events.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from marl_stl_env.data.opinions.forest import forest_of
from marl_stl_env.data.opinions.opinions import Opinions
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import ConfigError, MissingLibraryError
from marl_stl_env.types import AnyArray, Float32Array, IntArray

#: Groups of families, at most.
GROUPS = 5
#: Events that a forest is fitted on, at most.
ROWS = 24_000
#: Trees of a forest.
TREES = 50
#: Leaves of a tree, at most: of a random forest, and of extra trees, whose splits are random.
LEAVES, EXTRA_LEAVES = 256, 1024
#: What decides on the fitted forests, beside the events and the seed.
SETTINGS = (GROUPS, ROWS, TREES, LEAVES, EXTRA_LEAVES)


def fit_opinions(train: TrafficTable, seed: int) -> tuple[Opinions, Float32Array]:
    """Fit second opinions to a training split.

    Args:
        train: The scaled training split.
        seed: Seed of the forests, of their events and of the groups.

    Returns:
        The opinions for new events, and those on the training events, out of fold.
            # (rows, forests) float32

    Raises:
        ConfigError: If there are fewer than two attack families.
        MissingLibraryError: If scikit-learn is not installed.
    """
    rng = np.random.default_rng(seed)
    families = len(np.unique(train.families[train.labels]))
    if families < 2:
        raise ConfigError(
            f"second_opinions: the training split of {train.name!r} has {families} attack "
            "family; a forest that never met an event's family needs two or more; use "
            "second_opinions=0"
        )
    whole = _fitted(train, np.arange(len(train)), rng, seed)
    scores = np.zeros((len(train), len(whole.forests)), np.float32)
    part = parts_of(train, rng)
    for group in range(part.max() + 1):
        out = part == group
        opinions = _fitted(train, np.flatnonzero(~out), rng, seed)
        scores[out] = opinions.columns(train.features[out])
    return whole, scores


def parts_of(train: TrafficTable, rng: np.random.Generator) -> IntArray:
    """The part of each event that is left out together.

    Attack families are in random groups of about the same number, benign events alone.

    Args:
        train: The table.
        rng: Source of randomness.

    Returns:
        From 0 to at most ``GROUPS`` - 1.  # (rows,) int64
    """
    codes = np.unique(train.families[train.labels])
    groups = rng.permutation(len(codes)) % min(GROUPS, len(codes))
    part = rng.integers(groups.max() + 1, size=len(train))
    part[train.labels] = groups[np.searchsorted(codes, train.families[train.labels])]
    return part


def _fitted(train: TrafficTable, rows: IntArray, rng: np.random.Generator, seed: int) -> Opinions:
    chosen = evenly(train, rows, ROWS, rng)
    features, labels = train.features[chosen], train.labels[chosen]
    models = [(name, model.fit(features, labels)) for name, model in _models(seed).items()]
    width = features.shape[1]
    return Opinions(tuple(forest_of(name, one.estimators_, width) for name, one in models))


def _models(seed: int) -> dict[str, Any]:
    try:
        from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
    except ImportError:
        raise MissingLibraryError("scikit-learn", "train") from None
    given = {"n_estimators": TREES, "random_state": seed, "n_jobs": 1}
    return {
        "second opinion: random forest": RandomForestClassifier(max_leaf_nodes=LEAVES, **given),
        "second opinion: extra trees": ExtraTreesClassifier(max_leaf_nodes=EXTRA_LEAVES, **given),
    }


def evenly(train: TrafficTable, rows: IntArray, most: int, rng: np.random.Generator) -> IntArray:
    """At most so many of these rows, at their threat rate, families as evenly as possible.

    Args:
        train: The table.
        rows: Rows to choose from.  # (k,) int64
        most: How many come back at most.
        rng: Source of randomness.

    Returns:
        Rows; of large families as many as of the next smaller ones.  # (at most ``most``,) int64
    """
    if len(rows) <= most:
        return rows
    mixed = rng.permutation(rows)
    threats = mixed[train.labels[mixed]]
    count = round(most * len(threats) / len(rows))
    kept = turns(threats, train.families)[:count]
    return np.sort(np.concatenate([kept, mixed[~train.labels[mixed]][: most - count]]))


def turns(rows: IntArray, families: AnyArray) -> IntArray:
    """Rows in such an order that every family has a turn before one has the next.

    Args:
        rows: Rows of any families.  # (k,) int64
        families: Family of each row of the table.  # (rows,) integer

    Returns:
        The same rows.  # (k,) int64
    """
    order = np.argsort(families[rows], kind="stable")
    sorted_families = families[rows][order]
    rank = np.empty(len(rows), np.int64)
    rank[order] = np.arange(len(rows)) - np.searchsorted(sorted_families, sorted_families)
    return rows[np.argsort(rank, kind="stable")]

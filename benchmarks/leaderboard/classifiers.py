"""References of the open-world track: classifiers that see all columns of an event."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.common.worlds import REWARD, Fold, reward_at, shares
from marl_stl_env.data.opinions.fit import parts_of
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.types import BoolArray, Float64Array

TREES = 50


def forest(fold: Fold, seed: int) -> BoolArray:
    """A random forest whose threshold is the best on types left out of the training events."""
    train = fold.prepared.tables["train"]
    part = parts_of(train, np.random.default_rng(seed))
    scores = np.empty(len(train))
    for one in np.unique(part):
        out = part == one
        fitted = _forest(train.take(np.flatnonzero(~out)), seed)
        scores[out] = fitted(train.take(np.flatnonzero(out)))
    threshold = best_threshold(scores, train, fold.rate)
    return _forest(train, seed)(fold.prepared.tables["validation"]) >= threshold


def boosting(fold: Fold, seed: int) -> BoolArray:
    """Gradient boosting at the threshold of the reward."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    train = fold.prepared.tables["train"]
    model = HistGradientBoostingClassifier(random_state=seed).fit(train.features, train.labels)
    found = model.predict_proba(fold.prepared.tables["validation"].features)[:, 1]
    return np.asarray(found >= REWARD.threshold)


def isolation(fold: Fold, seed: int) -> BoolArray:
    """An isolation forest of the benign events, with the best threshold on the training events."""
    from sklearn.ensemble import IsolationForest

    train = fold.prepared.tables["train"]
    model = IsolationForest(n_estimators=TREES, random_state=seed)
    model.fit(train.features[~train.labels])
    threshold = best_threshold(-model.score_samples(train.features), train, fold.rate)
    found = -model.score_samples(fold.prepared.tables["validation"].features)
    return np.asarray(found >= threshold)


def best_threshold(scores: Float64Array, table: TrafficTable, rate: float) -> float:
    """The score from which on events are best stopped, each attack family alike.

    Args:
        scores: Score of each event.  # (rows,) float64
        table: The events.
        rate: Threat rate of the reward.
    """
    levels = np.unique(np.quantile(scores, np.linspace(0, 1, 200)))
    return float(max(levels, key=lambda level: reward_at(rate, *shares(table, scores >= level))))


def _forest(train: TrafficTable, seed: int) -> Callable[[TrafficTable], Float64Array]:
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(TREES, random_state=seed, n_jobs=1)
    model.fit(train.features, train.labels)

    def scores(table: TrafficTable) -> Float64Array:
        found: Float64Array = model.predict_proba(table.features)[:, 1]
        return found

    return scores

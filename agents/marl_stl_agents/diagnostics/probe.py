"""Do the observations of a rollout have anything to do with the labels?"""

from __future__ import annotations

import math

import numpy as np

from marl_stl_env.types import BoolArray, Float32Array, Float64Array, IntArray

_TREES, _LEAF, _SEED = 30, 5, 0
_FEWEST = 10
_LARGEST = 4096


def label_signal(
    observations: Float32Array, labels: BoolArray, rows: IntArray
) -> tuple[float, float] | tuple[None, None]:
    """How well a small forest tells threats from what the sensors saw.

    Every event is evaluated by a forest fitted on the others of the other parity, so that neither
    an event seen twice nor its neighbours are remembered. The error is that of the Mann-Whitney
    statistic where the observations hold nothing.

    Args:
        observations: What all sensors saw of each event.  # (events, columns) float32
        labels: Whether it was a threat.  # (events,) bool
        rows: Its row of the table.  # (events,) int64

    Returns:
        Area under the ROC curve and its standard error by chance; None twice where a class is
        too rare.
    """
    from sklearn.metrics import roc_auc_score

    distinct = np.unique(rows, return_index=True)[1]
    distinct = distinct[:: max(1, -(-len(distinct) // _LARGEST))]
    observations, labels = observations[distinct], labels[distinct]
    half = np.arange(len(labels)) % 2 == 0
    rarest = min(np.bincount(labels[part], minlength=2).min() for part in (half, ~half))
    if rarest < _FEWEST:
        return None, None
    scores = np.empty(len(labels))
    for part in (half, ~half):
        scores[part] = _fitted(observations[~part], labels[~part], observations[part])
    areas = [roc_auc_score(labels[part], scores[part]) for part in (half, ~half)]
    threats, benign = int(labels.sum()), int((~labels).sum())
    return float(np.mean(areas)), math.sqrt((threats + benign + 1) / (12.0 * threats * benign))


def _fitted(known: Float32Array, labels: BoolArray, asked: Float32Array) -> Float64Array:
    from sklearn.ensemble import ExtraTreesClassifier

    forest = ExtraTreesClassifier(_TREES, min_samples_leaf=_LEAF, random_state=_SEED, n_jobs=1)
    probabilities: Float64Array = forest.fit(known, labels).predict_proba(asked)[:, 1]
    return probabilities

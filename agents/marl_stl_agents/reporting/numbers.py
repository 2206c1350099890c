"""Curves and intervals of a report, which ``evaluation.json`` does not hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from marl_stl_env.config import EnvConfig
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.reward import Payoffs
from marl_stl_env.types import Action, BoolArray, Float64Array

CONFIDENCE = 0.95
_POINTS = 300
_THRESHOLDS = 201


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve through points.

    Attributes:
        x: Ascending positions.  # (points,) float64
        y: Values at these positions.  # (points,) float64
    """

    x: Float64Array
    y: Float64Array

    def at(self, x: float) -> float:
        """The value at the nearest point."""
        return float(self.y[np.argmin(np.abs(self.x - x))])

    @property
    def best(self) -> tuple[float, float]:
        """Position and value of the maximum."""
        place = int(self.y.argmax())
        return float(self.x[place]), float(self.y[place])


def precision_recall(labels: BoolArray, scores: Float64Array) -> Curve:
    """Precision against recall over all thresholds on the scores.

    Args:
        labels: True labels.  # (rows,) bool
        scores: Larger for "threat".  # (rows,) float64

    Returns:
        Recall (x) and precision (y) at no more than 300 thresholds. Where several thresholds have
        the same recall, the highest precision is taken.
    """
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(labels, scores, drop_intermediate=True)
    recall, precision = recall[::-1], precision[::-1]
    places = np.unique(np.searchsorted(recall, np.linspace(0.0, 1.0, _POINTS)))
    return Curve(recall[places], precision[places])


def reward_by_threshold(
    config: EnvConfig,
    labels: BoolArray,
    scores: Float64Array,
    table: TrafficTable | None = None,
) -> Curve:
    """Mean reward per event of the policies "block from this score on, else allow".

    Every event counts for itself: the state of a response (isolation, alerts) is ignored.

    Args:
        config: The environment.
        labels: True labels.  # (rows,) bool
        scores: Larger for "threat".  # (rows,) float64
        table: The events, which a reward of the user's own needs.

    Returns:
        The thresholds 0, .005, ..., 1 and the cost-optimal threshold (x), and the mean reward at
        each (y).
    """
    payoffs = Payoffs(config.reward, dynamics=config.dynamics, table=table)
    order = np.argsort(scores, kind="stable")
    events = payoffs.events(order, labels[order])
    allowed, blocked = (
        payoffs.of_actions(events, np.full(len(labels), action, np.int8)).astype(np.float64)
        for action in (Action.ALLOW, Action.BLOCK)
    )
    # totals[k]: the k events with the lowest scores are allowed, all others blocked.
    totals = np.concatenate([[0.0], np.cumsum(allowed - blocked)]) + blocked.sum()
    thresholds = np.union1d(np.linspace(0.0, 1.0, _THRESHOLDS), config.reward.threshold)
    below = np.searchsorted(scores[order], thresholds, side="left")
    return Curve(thresholds, totals[below] / len(labels))


def recall_interval(found: int, events: int) -> tuple[float, float]:
    """The 95 % confidence interval of a proportion, by Wilson (1927)."""
    from scipy.stats import binomtest

    interval = binomtest(found, events).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def more_precise(one: Curve, other: Curve) -> float:
    """Share of all recalls at which one curve attains a higher precision than another."""
    recalls = np.linspace(0.0, 1.0, 101)
    return float((_precision_at(one, recalls) > _precision_at(other, recalls)).mean())


def _precision_at(curve: Curve, recalls: Float64Array) -> Float64Array:
    """The highest precision at a recall of at least each of these."""
    best = np.maximum.accumulate(curve.y[::-1])[::-1]
    highest: Float64Array = best[np.minimum(np.searchsorted(curve.x, recalls), len(best) - 1)]
    return highest

"""The numbers of a report that ``evaluation.json`` does not hold: curves and intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from marl_stl_env.config import EnvConfig
from marl_stl_env.engine.reward import Payoffs
from marl_stl_env.types import Action, BoolArray, Float64Array

CONFIDENCE = 0.95
_POINTS = 300
_THRESHOLDS = 201


@dataclass(frozen=True, eq=False)
class Curve:
    """One figure against another.

    Attributes:
        x: Ascending.  # (points,) float64
        y: At each of them.  # (points,) float64
    """

    x: Float64Array
    y: Float64Array

    def at(self, x: float) -> float:
        """The value at the nearest point."""
        return float(self.y[np.argmin(np.abs(self.x - x))])

    @property
    def best(self) -> tuple[float, float]:
        """Where the value is largest, and that value."""
        place = int(self.y.argmax())
        return float(self.x[place]), float(self.y[place])


def precision_recall(labels: BoolArray, scores: Float64Array) -> Curve:
    """Precision against recall, over all thresholds on the scores.

    Args:
        labels: True labels.  # (rows,) bool
        scores: Larger for "threat".  # (rows,) float64

    Returns:
        Recall and precision, at no more than 300 of the thresholds; at the same recall the higher
        precision.
    """
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(labels, scores, drop_intermediate=True)
    recall, precision = recall[::-1], precision[::-1]
    places = np.unique(np.searchsorted(recall, np.linspace(0.0, 1.0, _POINTS)))
    return Curve(recall[places], precision[places])


def reward_by_threshold(config: EnvConfig, labels: BoolArray, scores: Float64Array) -> Curve:
    """Mean payoff per event if events were blocked from each threshold on and else allowed.

    Every event is taken by itself: what a response remembers of earlier ones does not count.

    Args:
        config: The environment.
        labels: True labels.  # (rows,) bool
        scores: Larger for "threat".  # (rows,) float64

    Returns:
        The thresholds 0, .005, ..., 1 with the cost-optimal one of the reward among them, and the
        payoff at each.
    """
    payoffs = Payoffs(config.reward, dynamics=config.dynamics)
    order = np.argsort(scores, kind="stable")
    allowed, blocked = (
        payoffs.of_actions(labels[order], np.full(len(labels), action, np.int8)).astype(np.float64)
        for action in (Action.ALLOW, Action.BLOCK)
    )
    gained = np.concatenate([[0.0], np.cumsum(allowed - blocked)]) + blocked.sum()
    thresholds = np.union1d(np.linspace(0.0, 1.0, _THRESHOLDS), config.reward.threshold)
    passed = np.searchsorted(scores[order], thresholds, side="left")
    return Curve(thresholds, gained[passed] / len(labels))


def recall_interval(found: int, events: int) -> tuple[float, float]:
    """The 95 % interval of a share, by Wilson (1927)."""
    from scipy.stats import binomtest

    interval = binomtest(found, events).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def more_precise(one: Curve, other: Curve) -> float:
    """At what share of all recalls one curve reaches a higher precision than another."""
    recalls = np.linspace(0.0, 1.0, 101)
    return float((_reached(one, recalls) > _reached(other, recalls)).mean())


def _reached(curve: Curve, recalls: Float64Array) -> Float64Array:
    """The best precision with at least this recall."""
    best = np.maximum.accumulate(curve.y[::-1])[::-1]
    reached: Float64Array = best[np.minimum(np.searchsorted(curve.x, recalls), len(best) - 1)]
    return reached

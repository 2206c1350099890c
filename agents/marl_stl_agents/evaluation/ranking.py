"""How well scores rank threats above benign events."""

from __future__ import annotations

import numpy as np

from marl_stl_env.types import AnyArray, BoolArray, Float64Array, IntArray


def average_precision(labels: BoolArray, scores: AnyArray) -> float:
    """Mean precision over the recall gained at each distinct score.

    Args:
        labels: True labels, with a threat at least.  # (rows,) bool
        scores: Larger for "threat".  # (rows,)
    """
    threats, benign = _counts(labels, scores)
    precision = np.append((threats / (threats + benign))[::-1], 1.0)
    recall = np.append((threats / threats[-1])[::-1], 0.0)
    return max(0.0, -float(np.sum(np.diff(recall) * precision[:-1])))


def roc_auc(labels: BoolArray, scores: AnyArray) -> float:
    """Area under the ROC curve: how often a threat's score is above a benign event's.

    Equal scores count one half.

    Args:
        labels: True labels, with an event of each kind at least.  # (rows,) bool
        scores: Larger for "threat".  # (rows,)
    """
    threats, benign = _counts(labels, scores)
    return float(np.trapezoid(_shares(threats), _shares(benign)))


def _counts(labels: BoolArray, scores: AnyArray) -> tuple[IntArray, IntArray]:
    """Threats and benign events with at least each distinct score, the highest first."""
    order = np.argsort(scores, kind="stable")[::-1]
    ranked, found = scores[order], labels[order]
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    threats = np.cumsum(found)[ends]
    return threats, 1 + ends - threats


def _shares(counts: IntArray) -> Float64Array:
    return np.append(0.0, counts / counts[-1])

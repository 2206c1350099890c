"""Proposals as statements of confidence, and what they are worth to another sensor."""

from __future__ import annotations

import numpy as np

from marl_stl_env.config import RewardConfig
from marl_stl_env.engine.reward import CONFIDENCE, confidence_thresholds
from marl_stl_env.types import ACTIONS, BoolArray, Float32Array, Float64Array, Int8Array


def stated(probabilities: Float64Array, reward: RewardConfig) -> Int8Array:
    """The proposal that states each probability of a threat; it pays best if that is the belief.

    Args:
        probabilities: Of any shape.  # float64
        reward: Its cost-optimal odds, a quarter of them and four times them part the levels.

    Returns:
        Actions.  # same shape, int8
    """
    levels = np.searchsorted(confidence_thresholds(reward), probabilities, side="right")
    return np.array(CONFIDENCE, np.int8)[levels]


def one_hot(proposals: Int8Array) -> Float32Array:
    """Messages as observations have them.  # (events, agents) to (events, agents * actions)."""
    return np.eye(ACTIONS, dtype=np.float32)[proposals].reshape(len(proposals), -1)


class MessageReader:
    """Log-odds of a threat from a sensor's own evidence and all sensors' proposals.

    One logistic regression for each sensor (stacking; Wolpert 1992, "Stacked generalization"), so
    that sensors whose errors go together are not counted twice. A silent sensor counts for nothing.

    Args:
        own: Log-odds of each sensor on its own.  # (events, agents) float64
        messages: What all sensors proposed.  # (events, agents * actions) float32
        labels: Whether each event is a threat.  # (events,) bool
    """

    def __init__(self, own: Float64Array, messages: Float32Array, labels: BoolArray) -> None:
        from sklearn.linear_model import LogisticRegression

        self._models = [
            LogisticRegression(max_iter=1000).fit(self._inputs(own, messages, sensor), labels)
            for sensor in range(own.shape[1])
        ]

    def log_odds(self, own: Float64Array, messages: Float32Array) -> Float64Array:
        """Log-odds of every sensor after the proposals.  # (events, agents) float64."""
        found = [
            model.decision_function(self._inputs(own, messages, sensor))
            for sensor, model in enumerate(self._models)
        ]
        return np.stack(found, axis=1)

    @staticmethod
    def _inputs(own: Float64Array, messages: Float32Array, sensor: int) -> Float64Array:
        others = messages.reshape(len(messages), -1, ACTIONS).astype(np.float64)
        others[:, sensor] = 0.0  # its own proposal adds nothing to its evidence
        return np.column_stack([own[:, sensor], others.reshape(len(messages), -1)])

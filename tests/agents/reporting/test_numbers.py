"""Curves and intervals of the report, against closed forms and sums by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from marl_stl_agents.reporting.numbers import (
    Curve,
    more_precise,
    precision_recall,
    recall_interval,
    reward_by_threshold,
)

from marl_stl_env.config import EnvConfig, RewardConfig
from marl_stl_env.types import Float64Array


def wilson(found: int, events: int) -> tuple[float, float]:
    """The closed form of Wilson (1927)."""
    z, share = 1.959963984540054, found / events
    middle = (share + z * z / (2 * events)) / (1 + z * z / events)
    half = (
        z
        / (1 + z * z / events)
        * math.sqrt(share * (1 - share) / events + z * z / (4 * events * events))
    )
    return middle - half, middle + half


@pytest.mark.parametrize(("found", "events"), [(0, 7), (7, 7), (3, 10), (250, 1000)])
def test_interval_of_a_recall(found: int, events: int) -> None:
    assert recall_interval(found, events) == pytest.approx(wilson(found, events), abs=1e-12)


def test_precision_and_recall_by_hand() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random(400) < 0.3
    scores: Float64Array = np.clip(rng.normal(0.3 + 0.3 * labels, 0.2), 0, 1).round(2)
    known = {}
    for threshold in np.unique(scores):
        chosen = scores >= threshold
        known[labels[chosen].sum() / labels.sum()] = labels[chosen].mean()
    curve = precision_recall(labels, scores)
    assert curve.x[0] == 0.0
    assert curve.x[-1] == 1.0
    assert (np.diff(curve.x) > 0).all()
    for recall, precision in zip(curve.x[1:], curve.y[1:], strict=True):
        candidates = [y for x, y in known.items() if x == pytest.approx(recall)]
        assert any(precision == pytest.approx(one) for one in candidates)


@pytest.mark.parametrize("dynamics", ["replay", "response"])
def test_reward_by_threshold_by_hand(dynamics: Any) -> None:
    reward = RewardConfig(7.0, 2.0, -3.0, -5.0, allow_cost=0.25)
    config = EnvConfig(dynamics=dynamics, reward=reward)
    rng = np.random.default_rng(1)
    labels, scores = rng.random(200) < 0.3, rng.random(200).round(2)
    curve = reward_by_threshold(config, labels, scores)
    block_cost = 0.5 if dynamics == "response" else 0.0
    for threshold, mean in zip(curve.x.tolist(), curve.y.tolist(), strict=True):
        total = 0.0
        for label, score in zip(labels, scores, strict=True):
            if score >= threshold:
                total += (7.0 if label else -3.0) - block_cost
            else:
                total += (-5.0 if label else 2.0) - 0.25
        assert mean == pytest.approx(total / 200)
    assert reward.threshold in curve.x


def test_which_curve_is_more_precise() -> None:
    flat = Curve(np.array([0.0, 0.5, 1.0]), np.array([0.6, 0.6, 0.6]))
    falling = Curve(np.array([0.0, 0.5, 1.0]), np.array([0.9, 0.8, 0.2]))
    assert more_precise(falling, flat) == pytest.approx(0.5, abs=0.02)
    assert more_precise(flat, falling) == pytest.approx(0.5, abs=0.02)
    assert more_precise(flat, flat) == 0.0

"""Decisions at a threshold, and the best threshold against a search of all of them."""

from __future__ import annotations

import numpy as np
import pytest
from marl_stl_agents.evaluation.metrics import reward_per_event
from marl_stl_agents.evaluation.operating_point import best_threshold, decisions_at

from marl_stl_env.config import RewardConfig
from marl_stl_env.types import Action

REWARD = RewardConfig()


def test_decisions_at_a_threshold() -> None:
    """The vote's action stays where its class is the one asked for."""
    votes = np.array([Action.QUARANTINE, Action.ALLOW, Action.ALERT, Action.BLOCK], np.int8)
    scores = np.array([0.5, 0.5, 0.49, 0.2])
    found = [Action(action) for action in decisions_at(0.5, scores, votes)]
    assert found == [Action.QUARANTINE, Action.BLOCK, Action.ALERT, Action.ALLOW]


@pytest.mark.parametrize("seed", range(30))
def test_the_best_threshold_against_all(seed: int) -> None:
    """Every cut between two scores is tried, with ties among the scores."""
    rng = np.random.default_rng(seed)
    labels = rng.random(40) < rng.choice([0.0, 0.1, 0.5, 1.0], p=[0.1, 0.4, 0.4, 0.1])
    scores = np.round(np.clip(0.4 * labels + rng.random(40) * 0.7, 0, 1), int(rng.integers(1, 4)))
    votes = rng.integers(0, 4, 40).astype(np.int8)

    def reward(threshold: float) -> float:
        return reward_per_event(labels, decisions_at(threshold, scores, votes), REWARD)

    distinct = np.unique(scores)
    cuts = [0.0, *((distinct[1:] + distinct[:-1]) / 2)]
    cuts += [(distinct[-1] + 1) / 2] if distinct[-1] < 1 else []
    chosen = best_threshold(labels, scores, votes, REWARD)
    assert 0.0 <= chosen <= 1.0
    assert reward(chosen) == pytest.approx(max(map(reward, cuts)), abs=1e-6)
    assert all(reward(cut) < reward(chosen) - 1e-9 for cut in cuts if cut > chosen + 1e-9)


def test_neighbouring_numbers_are_told_apart() -> None:
    low = 0.5
    high = float(np.nextafter(low, 1.0))
    labels, scores = np.array([False, True]), np.array([low, high])
    chosen = best_threshold(labels, scores, np.zeros(2, np.int8), REWARD)
    assert decisions_at(chosen, scores, np.zeros(2, np.int8)).tolist() == [0, Action.BLOCK]

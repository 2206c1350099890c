import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from marl_stl_agents.evaluation.replay import trajectory_of

from benchmarks.studies import response
from benchmarks.studies.response_rules import Thresholds, always, at_random, oracle, play, tune
from marl_stl_env.config import EnvConfig
from marl_stl_env.types import Action
from tests.conftest import make_table, with_entities

TABLE = with_entities(make_table(), 20)
CONFIG = EnvConfig(dynamics="response", agents=2, episode_length=50)
ALLOW, BLOCK, QUARANTINE, ALERT = (int(action) for action in Action)


def test_thresholds_say_what_they_say() -> None:
    evidence = np.array([[0.05, 0.2], [0.5, 0.9]])
    told = np.zeros((2, 7), np.float32)
    rule = Thresholds(alert=0.1, block=0.4, quarantine=0.8).rule(evidence)
    assert rule(np.array([0, 1]), told).tolist() == [[ALLOW, ALERT], [BLOCK, QUARANTINE]]
    memory = Thresholds(0.1, 0.4, 0.8, record=2.0, verdict=4.0)
    told[0, 2] = 1.0  # a verdict: threat; odds 1/19 and 1/4 times e^4 are 0.74 and 0.93
    told[1, 3] = 1.0  # a verdict: benign; even odds and 9 over e^4 are 0.02 and 0.14
    assert memory.rule(evidence)(np.array([0, 1]), told).tolist() == [
        [BLOCK, QUARANTINE],
        [ALLOW, ALERT],
    ]
    told[:] = 0.0
    told[0, 6] = 1.0  # a full record: odds times e^2 are 0.28 and 0.65
    assert memory.rule(evidence)(np.array([0]), told[:1]).tolist() == [[ALERT, BLOCK]]


def test_playing_is_what_becomes_of_the_actions() -> None:
    rng = np.random.default_rng(0)
    actions = rng.integers(0, 4, (len(TABLE), 2)).astype(np.int8)
    rollout = play(CONFIG, TABLE, lambda rows, _: actions[rows])
    trajectory = trajectory_of(CONFIG, TABLE, actions)
    np.testing.assert_array_equal(rollout.decisions, trajectory.decisions)
    np.testing.assert_array_equal(rollout.rewards, trajectory.rewards)
    assert rollout.isolated.any()


def test_perfect_evidence_is_tuned_to_the_oracle() -> None:
    known = np.repeat(np.where(TABLE.labels, 0.99, 0.01)[:, None], 2, axis=1)
    _, earned = tune(CONFIG, TABLE, known, memory=False)
    best = play(CONFIG, TABLE, oracle(TABLE, 2, Action.BLOCK)).rewards.mean()
    assert earned == pytest.approx(best, abs=0.02)
    for rule in (*(always(action, 2) for action in Action), at_random(2)):
        assert play(CONFIG, TABLE, rule).rewards.mean() < earned


def test_summary_by_hand() -> None:
    results = {
        "always Allow": [{"reward": 0.0}],
        "always Block": [{"reward": -4.0}],
        "oracle, Block": [{"reward": 2.0}],
        response.MEMORYLESS: [{"reward": 1.0}],
        response.FORESIGHT: [{"reward": 1.4}, {"reward": 1.6}],
    }
    total = response.summary(results)
    assert total["best_constant"] == 0.0
    assert total["won_by_foresight"] == pytest.approx(0.25)
    assert results[response.FORESIGHT][1]["score"] == pytest.approx(0.8)
    low, high = total["interval"]
    assert 0.199 <= low <= 0.25 <= high <= 0.301
    assert response.interval([1.0]) is None


def test_foresight_and_its_control_differ_in_credit_and_discount_alone() -> None:
    trainings = response.trainings(response.Settings())
    ours, control = trainings[response.FORESIGHT], trainings["PPO, discount 0"]
    assert replace(ours, ppo=replace(ours.ppo, discount=0.0, credit="lane")) == control
    assert (ours.ppo.discount, ours.ppo.credit) == (0.8, "entity")


@pytest.mark.slow
def test_the_study_runs(tmp_path: Path) -> None:
    out = tmp_path / "response.json"
    response.main(response.Settings((0,), lstm_seeds=(0,), workers=1, quick=True, out=out))
    result = json.loads(out.read_text())
    assert {"random", response.MEMORYLESS, response.FORESIGHT} <= result["policies"].keys()

"""Decisions at a threshold, and the best threshold against a search of all of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from marl_stl_agents.config import DecideConfig, EvaluateConfig, PPOConfig
from marl_stl_agents.evaluation.evaluate import evaluate
from marl_stl_agents.evaluation.metrics import reward_per_event
from marl_stl_agents.evaluation.new_traffic import decide
from marl_stl_agents.evaluation.operating_point import (
    best_threshold,
    decisions_at,
    operating_point,
)
from marl_stl_agents.evaluation.result import read_result
from marl_stl_agents.evaluation.rollouts import collect_rollout

from marl_stl_env.config import DataConfig, EnvConfig, RewardConfig, Split, StlConfig
from marl_stl_env.data import prepare
from marl_stl_env.errors import ConfigError
from marl_stl_env.types import Action, Float32Array, Float64Array, Int8Array
from tests.agents.evaluation.random_runs import make_run
from tests.agents.evaluation.test_new_traffic import raw_rows
from tests.conftest import UNWATCHED

REWARD = RewardConfig()
SPLITS: tuple[Split, ...] = ("validation", "test")
ENV = EnvConfig(agents=3, stl=UNWATCHED, data=DataConfig(dataset_options=("rows=1500",)))


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


def act(observations: Float32Array) -> tuple[Int8Array, Float64Array]:
    """Threat scores that follow five columns, and no vote for a threat."""
    scores = 1.0 / (1.0 + np.exp(-observations[:, :5].sum(axis=1).astype(np.float64)))
    return np.zeros(len(observations), np.int8), scores


def test_the_threshold_comes_from_validation_and_is_measured_on_the_split(tmp_path: Path) -> None:
    prepared = prepare(ENV)
    known, rollout = (collect_rollout(ENV, prepared.tables[name], act) for name in SPLITS)
    labels = prepared.tables["test"].labels
    wanted = best_threshold(
        prepared.tables["validation"].labels, known.scores, known.decisions, ENV.reward
    )
    settings = EvaluateConfig(tmp_path)
    found = operating_point(ENV, prepared, act, rollout, settings)
    assert found is not None
    assert (found.threshold, found.chosen_on) == (wanted, "validation")
    threats = rollout.scores >= wanted
    assert found.metrics.tp == int((threats & labels).sum())
    assert found.metrics.fp == int((threats & ~labels).sum())
    given = operating_point(ENV, prepared, act, rollout, replace(settings, threshold=0.75))
    assert given is not None
    assert (given.threshold, given.chosen_on) == (0.75, "given")
    assert given.metrics.tp == int(((rollout.scores >= 0.75) & labels).sum())
    off = replace(settings, threshold_on="off")
    assert operating_point(ENV, prepared, act, rollout, off) is None


def test_no_operating_point_where_decisions_change_what_comes_next(tmp_path: Path) -> None:
    prepared = prepare(ENV)
    rollout = collect_rollout(ENV, prepared.tables["test"], act)
    settings = EvaluateConfig(tmp_path)
    shielded = StlConfig(monitor=True, shield=True)
    for env in (replace(ENV, dynamics="response"), replace(ENV, stl=shielded)):
        assert operating_point(env, prepared, act, rollout, settings) is None
        with pytest.raises(ConfigError, match="leave --threshold out"):
            operating_point(env, prepared, act, rollout, replace(settings, threshold=0.5))


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_thresholds_are_shares(tmp_path: Path, threshold: float) -> None:
    with pytest.raises(ConfigError, match="threshold"):
        EvaluateConfig(tmp_path, threshold=threshold)
    with pytest.raises(ConfigError, match="threshold"):
        DecideConfig(tmp_path, threshold=threshold)


def test_evaluation_and_decisions_agree_at_a_threshold(tmp_path: Path) -> None:
    """The same counts from both commands, and every step of the evaluation is said."""
    run = make_run(tmp_path / "run", ENV, PPOConfig(width=8))
    steps: list[str] = []
    evaluated = evaluate(EvaluateConfig(run, threshold=0.4), steps.append)
    assert read_result(evaluated.file) == evaluated.result
    assert [step.split(" ")[0] for step in steps] == ["preparing", "deciding", "fitting", "voting"]
    point = evaluated.result.operating_point
    assert point is not None
    raw_rows(prepare(ENV), "test").to_csv(tmp_path / "flows.csv", index=False)
    _, summary = decide(
        DecideConfig(tmp_path / "flows.csv", run, tmp_path / "out.csv", threshold=0.4)
    )
    assert summary["threshold"] == 0.4
    for name in ("tp", "fp", "fn", "tn"):
        assert summary["decision"][name] == getattr(point.metrics, name)
    frame = pd.read_csv(tmp_path / "out.csv")
    threats = frame["decision"].isin(["BLOCK", "QUARANTINE"])
    assert (threats == frame["reason"].str.contains("at or above the threshold 0.4")).all()
    assert 0 < threats.sum() < len(frame)

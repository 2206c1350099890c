"""Reasons: the effects of columns against a slow oracle and a closed form, and their words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from marl_stl_agents.checkpoints.policy import saved_policy
from marl_stl_agents.checkpoints.store import best_checkpoint
from marl_stl_agents.config import DecideConfig, PPOConfig
from marl_stl_agents.evaluation.new_traffic import decide
from marl_stl_agents.evaluation.new_traffic.reasons import LEAST_EFFECT, ColumnEffects, reason_texts
from marl_stl_agents.evaluation.rollouts import greedy, threat_log_odds

from marl_stl_env.config import DataConfig, EnvConfig
from marl_stl_env.data import prepare
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.spaces import observation_space
from marl_stl_env.types import THREAT_VOTE, Action, Float32Array, Float64Array
from tests.agents.evaluation.random_runs import CPU, make_run
from tests.agents.evaluation.test_new_traffic import raw_rows

ENV = EnvConfig(agents=3, data=DataConfig(dataset_options=("rows=1500",)))


def test_effects_of_a_linear_model_are_weight_times_value() -> None:
    """log-odds w·x + b: hiding a column takes away the sum of w·x over its outputs."""
    rng = np.random.default_rng(0)
    outputs, width = (1, 3, 1), 9  # four columns behind the features are context
    weights = rng.normal(size=width)
    observations = rng.normal(size=(50, width)).astype(np.float32)
    observations[::3, 1:4] = 0.0  # not seen

    def linear(seen: Float32Array) -> Float64Array:
        return np.asarray(seen.astype(np.float64) @ weights + 0.7, np.float64)

    effects = ColumnEffects(50, outputs, linear, 2)
    parts = observations * weights
    expected = np.stack([parts[:, 0], parts[:, 1:4].sum(axis=1), parts[:, 4]], axis=1)
    np.testing.assert_allclose(effects.of(observations), expected, atol=1e-6)


def test_columns_are_ranked_over_the_sensors_that_voted_for_a_threat() -> None:

    def log_odds(seen: Float32Array) -> Float64Array:
        return seen[:, 0].astype(np.float64) * 2.0 + seen[:, 1]

    effects = ColumnEffects(4, (1, 1), log_odds, 2, threshold=0.5)
    seen = np.array([[[1, 0], [0, 3]]] * 4, np.float32)  # each sensor sees one column
    actions = np.array(
        [
            [Action.BLOCK, Action.ALLOW],
            [Action.QUARANTINE, Action.BLOCK],
            [Action.ALLOW, Action.ALERT],
            [Action.ALLOW, Action.ALLOW],
        ],
        np.int8,
    )
    effects(np.array([3, 2, 1, 0]), seen, actions, np.array([0.1, 0.9, 0.2, 0.5]))
    assert effects.columns.tolist() == [[1, 0], [-1, -1], [1, 0], [0, -1]]


@pytest.mark.parametrize("views", ["groups", "overlap"])
def test_reasons_of_decisions_against_one_event_at_a_time(tmp_path: Path, views: str) -> None:
    env = replace(ENV, views=views)  # type: ignore[arg-type]
    run = make_run(tmp_path / "run", env, PPOConfig(width=8))
    prepared = prepare(env)
    rows = raw_rows(prepared, "test")[:60]
    rows.to_csv(tmp_path / "flows.csv", index=False)
    decide(DecideConfig(tmp_path / "flows.csv", run, tmp_path / "out.csv", reason_columns=2))
    found = pd.read_csv(tmp_path / "out.csv")

    engine = Engine(env, prepared.tables["test"], lanes=1)
    space = observation_space(engine)
    log_odds = threat_log_odds(saved_policy(best_checkpoint(run), space, CPU))
    names = [column.name for column in prepared.preprocessor.columns]
    outputs = [column.outputs for column in prepared.preprocessor.columns]
    explained = 0
    for row, reason in enumerate(found["reason"]):
        seen = engine.observations.observe(np.array([row]))[0]
        voters = [i for i in range(3) if THREAT_VOTE[Action[found[f"sensor_{i}"][row]]]]
        effects = dict.fromkeys(names, 0.0)
        for sensor in voters:
            whole = log_odds(seen[sensor : sensor + 1])[0]
            for name, places in zip(names, outputs, strict=True):
                hidden = seen[sensor : sensor + 1].copy()
                hidden[:, [engine.observations.layout.index(place) for place in places]] = 0.0
                effects[name] += (whole - log_odds(hidden)[0]) / len(voters)
        best = [
            n for n in sorted(names, key=lambda n: -effects[n])[:2] if effects[n] > LEAST_EFFECT
        ]
        expected = f"{len(voters)} of 3 for a threat"
        expected += f": {', '.join(f'sensor_{i}' for i in voters)}" if voters else ""
        expected += f"; by {', '.join(best)}" if best else ""
        assert reason == expected
        explained += bool(best)
    assert explained > 5


def test_log_odds_are_those_of_the_probabilities(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", ENV, PPOConfig(width=8))
    engine = Engine(ENV, prepare(ENV).tables["test"], lanes=1)
    policy = saved_policy(best_checkpoint(run), observation_space(engine), CPU)
    seen = engine.observations.observe(np.arange(20)).reshape(60, -1)
    _, threat = greedy(policy)(seen)
    np.testing.assert_allclose(
        1.0 / (1.0 + np.exp(-threat_log_odds(policy)(seen))), threat, atol=1e-5
    )


def test_words() -> None:
    votes = np.array([[True, False], [False, False], [True, True]])
    columns = np.array([[1, -1], [-1, -1], [0, 1]])
    assert reason_texts(votes, columns, ("bytes", "service")) == [
        "1 of 2 for a threat: sensor_0; by service",
        "0 of 2 for a threat",
        "2 of 2 for a threat: sensor_0, sensor_1; by bytes, service",
    ]
    reached = np.array([False, True, True])
    assert reason_texts(votes, columns, ("bytes", "service"), reached, 0.25)[:2] == [
        "1 of 2 for a threat: sensor_0; threat score below the threshold 0.25; by service",
        "0 of 2 for a threat; threat score at or above the threshold 0.25",
    ]


def test_no_columns_where_none_are_asked_for(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", ENV, PPOConfig(width=8))
    raw_rows(prepare(ENV), "test")[:20].to_csv(tmp_path / "flows.csv", index=False)
    decide(DecideConfig(tmp_path / "flows.csv", run, tmp_path / "out.csv", reason_columns=0))
    assert not pd.read_csv(tmp_path / "out.csv")["reason"].str.contains("; by").any()

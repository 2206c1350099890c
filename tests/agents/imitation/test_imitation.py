"""Behaviour cloning against closed forms, and a warm start as part of a run."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from marl_stl_agents.algorithms.ppo import make_trainer
from marl_stl_agents.config import PPOConfig, TrainConfig
from marl_stl_agents.evaluation.baselines import SupervisedBaselines, threat_groups
from marl_stl_agents.evaluation.rollouts import collect_rollout, greedy
from marl_stl_agents.imitation.cloning import Lesson, clone, play
from marl_stl_agents.imitation.evidence import EntityEvidence, log_odds, threshold_log_odds
from marl_stl_agents.imitation.teacher import Teacher
from marl_stl_agents.imitation.warm_start import warm_start
from marl_stl_agents.policies.team import TeamPolicy

from marl_stl_env.config import DataConfig, EnvConfig, StlConfig
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.engine.engine import Engine
from marl_stl_env.errors import ConfigError
from marl_stl_env.types import THREAT_VOTE, Action, Float64Array
from tests.conftest import UNWATCHED

CPU = torch.device("cpu")
ENV = EnvConfig(
    dynamics="response",
    agents=4,
    views="groups",
    episode_length=50,
    data=DataConfig(dataset_options=("rows=2000",)),
    stl=UNWATCHED,
)
RUN = TrainConfig(
    env=ENV,
    ppo=PPOConfig(n_steps=16, width=32, bins=4, batch_size=256),
    stl="off",
    lanes=2,
    iterations=1,
    warm_start=6,
    backend="native",
)


@pytest.fixture(scope="module")
def prepared() -> PreparedData:
    return prepare(ENV)


@pytest.fixture(scope="module")
def teacher(prepared: PreparedData) -> Teacher:
    return Teacher(ENV, prepared)


def test_log_odds_are_those_of_the_definition() -> None:
    np.testing.assert_allclose(log_odds(np.array([0.5, 0.8, 0.2])), [0, np.log(4), -np.log(4)])
    assert np.isfinite(log_odds(np.array([0.0, 1.0]))).all()
    assert threshold_log_odds(0.2) == pytest.approx(-np.log(4))
    assert threshold_log_odds(1.5) > 10 > -10 > threshold_log_odds(-1.0)


def test_an_entity_weighs_only_where_it_is_known() -> None:
    layout = ("x", "verdict_benign", "record", "verdict_threat")
    seen = np.array([[9, 0, 0.5, 0], [9, 1, 0.5, 0], [9, 0, 0, 1]], np.float32)
    evidence = EntityEvidence(record=2.0, verdict=4.0)
    np.testing.assert_allclose(evidence.log_odds(layout, seen), [1.0, -3.0, 4.0])
    assert not evidence.log_odds(("x", "y", "z", "sensor_0"), seen).any()


def test_a_teacher_is_as_sure_as_its_evidence(prepared: PreparedData, teacher: Teacher) -> None:
    """Bayes' rule in probabilities, where the teacher adds log-odds."""
    engine = Engine(ENV, prepared.tables["train"], 8, 3)
    engine.reset()
    rng = np.random.default_rng(0)
    for _ in range(30):
        record = engine.step(rng.integers(0, 4, (8, 4)).astype(np.int8))
        engine.reset(record.truncated)
    seen = engine.observe()
    layout = list(engine.observations.layout)
    known = {
        name: seen[:, 0, layout.index(name)].astype(np.float64)
        for name in ("record", "verdict_threat", "verdict_benign")
    }
    assert known["record"].any()
    factor = np.exp(2 * known["record"] + 4 * known["verdict_threat"] - 4 * known["verdict_benign"])
    classifiers = SupervisedBaselines(ENV, prepared)
    cost = ENV.reward.threshold / (1 - ENV.reward.threshold)
    found = teacher.action_probabilities(engine, seen)[..., Action.BLOCK]
    for sensor, group in enumerate(threat_groups(ENV, prepared)):
        p = classifiers.probabilities(group, "train")[engine.rows].clip(1e-5, 1 - 1e-5)
        odds: Float64Array = p / (1 - p) * factor / cost
        np.testing.assert_allclose(found[:, sensor], odds / (1 + odds), rtol=1e-4)


def test_what_is_shown_is_what_the_teacher_saw(prepared: PreparedData, teacher: Teacher) -> None:
    table = prepared.tables["train"]
    lesson = play(RUN, table, teacher)
    assert lesson.observations.shape[0] == len(lesson.actions)
    assert len(lesson.actions) <= 4 * len(table) * ENV.agents
    engine = Engine(ENV, table, 64, RUN.seed)
    engine.reset()
    np.testing.assert_array_equal(
        lesson.observations[: 64 * 4], engine.observe().reshape(64 * 4, -1)
    )


def policy_of(config: TrainConfig, prepared: PreparedData) -> Any:
    return make_trainer(config, prepared, CPU).policy


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"ppo": replace(RUN.ppo, sharing="independent")},
        {"env": replace(ENV, stl=StlConfig(monitor=True, shield=True)), "stl": "monitor"},
        {
            "env": replace(ENV, stl=StlConfig(monitor=True, shield=True)),
            "stl": "lagrangian",
            "ppo": replace(RUN.ppo, sharing="independent"),
        },
    ],
    ids=["shared", "independent", "masked", "independent-masked"],
)
def test_sharper_logits_are_multiples(prepared: PreparedData, change: dict[str, Any]) -> None:
    config = replace(RUN, **change)
    policy = policy_of(config, prepared)
    engine = Engine(config.task, prepared.tables["train"], 8, 0)
    engine.reset()
    seen = torch.from_numpy(engine.observe().reshape(8 * 4, -1))  # everything is allowed at first
    with torch.no_grad():
        for parameter in policy.parameters():  # biases begin at 0, where a factor does nothing
            parameter.add_(0.1 * torch.randn_like(parameter))
        before = policy.get_distribution(seen).distribution.logits
        values = policy.predict_values(seen)
        policy.sharpen(3.0)
        after = policy.get_distribution(seen).distribution.logits
        assert torch.equal(policy.predict_values(seen), values)
    torch.testing.assert_close(after, torch.log_softmax(3.0 * before, dim=1))
    assert not torch.allclose(after, before)


def test_a_policy_learns_probabilities_that_are_known(
    prepared: PreparedData, teacher: Teacher
) -> None:
    """Two of the sensors block nine events of ten, the other two one of ten."""
    policy = policy_of(RUN, prepared)
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    seen = play(RUN, prepared.tables["train"], teacher).observations
    chosen = np.arange(len(seen)) % ENV.agents < 2
    shown = np.zeros((len(seen), 4), np.float32)
    shown[:, Action.BLOCK] = np.where(chosen, 0.9, 0.1)
    shown[:, Action.ALLOW] = 1 - shown[:, Action.BLOCK]
    lesson = Lesson(seen, shown)
    assert clone(policy, lesson, 40, seed=0) > 0.999
    with torch.no_grad():
        found = policy.get_distribution(torch.from_numpy(seen)).distribution.probs.numpy()
    sharp = 0.9**4 / (0.9**4 + 0.1**4)  # four times the log-odds
    assert found[chosen, Action.BLOCK].mean() == pytest.approx(sharp, abs=0.01)
    assert found[~chosen, Action.ALLOW].mean() == pytest.approx(sharp, abs=0.01)
    for name, value in policy.state_dict().items():
        if "value" in name:
            assert torch.equal(value, before[name]), name


def test_a_warm_start_is_better_than_none_and_repeats(prepared: PreparedData) -> None:
    table = prepared.tables["validation"]
    policy, again = policy_of(RUN, prepared), policy_of(RUN, prepared)
    untrained = collect_rollout(ENV, table, greedy(policy))
    agreement = warm_start(RUN, prepared, policy)
    assert warm_start(RUN, prepared, again) == agreement > 0.9
    for name, value in policy.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    trained = collect_rollout(ENV, table, greedy(policy))
    ceiling = SupervisedBaselines(ENV, prepared).evaluate("validation")["supervised_vote"]
    agrees = trained.decision_votes == THREAT_VOTE[ceiling.decisions]
    assert agrees.mean() > 0.9
    assert trained.rewards.mean() > untrained.rewards.mean() + 0.5


@pytest.mark.parametrize(
    "change",
    [
        {"ppo": replace(RUN.ppo, sharing="independent")},
        {"env": replace(ENV, dynamics="replay", deliberation=1), "backend": "supersuit"},
        {"env": replace(ENV, dynamics="replay", agents=5, views="random")},
        {"env": replace(ENV, stl=StlConfig(monitor=True, shield=True)), "stl": "lagrangian"},
        {"env": replace(ENV, dynamics="replay"), "backend": "torch"},
    ],
    ids="-".join,
)
def test_every_kind_of_team_can_begin_warm(prepared: PreparedData, change: dict[str, Any]) -> None:
    config = replace(RUN, warm_start=4, **change)
    data = prepare(config.task)
    model = make_trainer(config, data, CPU)
    assert isinstance(model.policy, TeamPolicy)
    assert warm_start(config, data, model.policy) > 0.8
    model.learn(model.n_steps * model.n_envs)


@pytest.mark.parametrize(
    "change",
    [{"ppo": PPOConfig(policy="lstm")}, {"backend": "rllib"}],
    ids=["lstm", "rllib"],
)
def test_what_cannot_imitate_says_so(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="warm_start=6"):
        replace(RUN, **change)

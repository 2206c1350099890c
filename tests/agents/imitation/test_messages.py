"""What proposals mean, and what they are worth, against Bayes' rule."""

from dataclasses import replace

import numpy as np
import pytest
from marl_stl_agents.evaluation.baselines import SupervisedBaselines
from marl_stl_agents.imitation.messages import MessageReader, one_hot, stated
from marl_stl_agents.imitation.teacher import Teacher

from marl_stl_env.config import DataConfig, EnvConfig, RewardConfig
from marl_stl_env.data.prepare import prepare
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.reward import proposal_table
from marl_stl_env.types import Action, BoolArray, Float64Array, Int8Array
from tests.conftest import UNWATCHED

REWARD = RewardConfig()


def test_what_is_stated_pays_best_if_it_is_believed() -> None:
    beliefs = np.linspace(0.005, 0.995, 100)
    table = proposal_table(REWARD).astype(np.float64)
    expected = np.outer(1 - beliefs, table[0]) + np.outer(beliefs, table[1])
    chosen = stated(beliefs, REWARD)
    np.testing.assert_allclose(expected[np.arange(100), chosen], expected.max(axis=1), atol=1e-6)
    assert [Action(a) for a in dict.fromkeys(chosen.tolist())] == [
        Action.ALLOW,
        Action.ALERT,
        Action.BLOCK,
        Action.QUARANTINE,
    ]


def test_messages_are_as_observations_have_them() -> None:
    env = EnvConfig(
        agents=3, views="full", deliberation=1, data=DataConfig(dataset_options=("rows=600",))
    )
    engine = Engine(env, prepare(env).tables["train"], 2, 0)
    engine.reset()
    proposals = np.array([[0, 1, 2], [3, 3, 0]], np.int8)
    engine.step(proposals)
    first = engine.observations.layout.index("voting") + 1
    np.testing.assert_array_equal(engine.observe()[:, 0, first : first + 12], one_hot(proposals))


def of_independent_sensors(rows: int, seed: int) -> tuple[Float64Array, Int8Array, BoolArray]:
    """Own log-odds of three sensors whose errors are independent, what they state, the labels.

    Each sees a normal variable of deviation 1 around +1 for threats and -1 for benign events, so
    its log-odds are twice that variable.
    """
    rng = np.random.default_rng(seed)
    labels = rng.random(rows) < 0.5
    own = 2 * rng.normal(np.where(labels, 1.0, -1.0)[:, None], 1.0, (rows, 3))
    return own, stated(1 / (1 + np.exp(-own)), RewardConfig(true_negative=10.0)), labels


def test_a_reader_adds_the_log_likelihoods_of_the_symbols() -> None:
    own, proposals, labels = of_independent_sensors(200_000, 0)
    reader = MessageReader(own, one_hot(proposals), labels)
    own, proposals, labels = of_independent_sensors(20_000, 1)
    found = reader.log_odds(own, one_hot(proposals))
    learned, said, truth = of_independent_sensors(200_000, 2)
    del learned
    ratios = [
        np.log([(said[truth, i] == a).mean() / (said[~truth, i] == a).mean() for a in range(4)])
        for i in range(3)
    ]
    for sensor in range(3):
        others = [i for i in range(3) if i != sensor]
        bayes = own[:, sensor] + sum(ratios[i][proposals[:, i]] for i in others)
        assert np.abs(found[:, sensor] - bayes).mean() < 0.1
        assert np.corrcoef(found[:, sensor], bayes)[0, 1] > 0.999


def test_silence_says_nothing() -> None:
    own, proposals, labels = of_independent_sensors(5_000, 0)
    reader = MessageReader(own, one_hot(proposals), labels)
    silent = np.zeros((len(own), 12), np.float32)
    alone = reader.log_odds(own, silent)
    order = own[:, 0].argsort()
    assert (np.diff(alone[order, 0]) >= 0).all()


@pytest.mark.long
def test_a_deliberating_teacher_is_better_than_the_vote() -> None:
    """The classifiers' vote has .68 of the oracle's gain with four views, symbols .88."""
    env = EnvConfig(
        agents=4,
        views="groups",
        deliberation=1,
        order="sequential",
        episode_length=1000,
        data=DataConfig(dataset_options=("rows=20000",)),
        stl=UNWATCHED,
    )
    prepared = prepare(env)
    teacher, table = Teacher(env, prepared), prepared.tables["train"]
    engine = Engine(env, table, 4, 0)
    engine.reset()
    starts = np.arange(4) * 1000
    engine.place(starts, starts + 1000)
    rewards = 0.0
    for _ in range(2000):
        chosen = teacher.action_probabilities(engine, engine.observe()).argmax(axis=2)
        rewards += float(engine.step(chosen.astype(np.int8)).decision_rewards.sum())
    rows = np.arange(4_000)
    alone = SupervisedBaselines(replace(env, deliberation=0), prepared).evaluate("train")
    votes = alone["supervised_vote"].decisions[rows]
    payoff = np.where(
        table.labels[rows],
        np.where(votes != Action.ALLOW, REWARD.true_positive, REWARD.false_negative),
        np.where(votes != Action.ALLOW, REWARD.false_positive, REWARD.true_negative),
    )
    oracle = np.where(table.labels[rows], REWARD.true_positive, REWARD.true_negative)
    vote, best = payoff.mean(), oracle.mean()
    assert rewards / 4_000 > vote + 0.3 * (best - vote)

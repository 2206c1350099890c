import numpy as np
import pytest
from marl_stl_agents.evaluation.metrics import action_shares, family_recall, normalized_score, score

from marl_stl_env.config import EnvConfig, RewardConfig
from tests.conftest import make_table
from tests.oracles import is_threat_vote, payoff


@pytest.mark.parametrize("seed", range(3))
def test_figures_against_counting(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, decisions = rng.random(400) < 0.3, rng.integers(0, 4, 400).astype(np.int8)
    reward = RewardConfig(block_cost=0.5, alert_cost=0.25)
    figures = score(labels, decisions, reward)
    pairs = [(bool(y), int(a)) for y, a in zip(labels, decisions, strict=True)]
    tp = sum(y and is_threat_vote(a) for y, a in pairs)
    fp = sum(not y and is_threat_vote(a) for y, a in pairs)
    fn = sum(y and not is_threat_vote(a) for y, a in pairs)
    tn = len(pairs) - tp - fp - fn
    total = sum(payoff(EnvConfig(reward=reward), y, a) for y, a in pairs)
    assert (figures.tp, figures.fp, figures.fn, figures.tn) == (tp, fp, fn, tn)
    assert figures.precision == pytest.approx(tp / (tp + fp))
    assert figures.recall == pytest.approx(tp / (tp + fn))
    assert figures.f1 == pytest.approx(2 * tp / (2 * tp + fp + fn))
    assert figures.accuracy == pytest.approx((tp + tn) / 400)
    assert figures.reward_per_event == pytest.approx(total / 400)
    assert figures.pr_auc is None


def test_never_a_threat_vote_scores_zero_without_a_warning() -> None:
    figures = score(np.array([True, False]), np.zeros(2, np.int8), RewardConfig())
    assert (figures.f1, figures.precision, figures.recall) == (0.0, 0.0, 0.0)


def test_pr_auc_is_average_precision() -> None:
    labels = np.array([True, False, True, False])
    scores = np.array([0.9, 0.8, 0.7, 0.1])
    # Precision at the two threats, in falling order of score: 1/1 and 2/3.
    wanted = (1 + 2 / 3) / 2
    assert score(labels, np.zeros(4, np.int8), RewardConfig(), scores).pr_auc == pytest.approx(
        wanted
    )


def test_family_recall() -> None:
    table = make_table(300)
    votes = table.families == 2
    figures = family_recall(table, votes, np.array([0, 1], dtype=np.int16))
    assert set(figures) == {"scan", "flood"}
    assert (figures["scan"].recall, figures["flood"].recall) == (0.0, 1.0)
    assert figures["scan"].events == int((table.families == 1).sum())
    assert figures["scan"].seen_in_train is True
    assert figures["flood"].seen_in_train is False


def test_action_shares() -> None:
    shares = action_shares(np.array([[0, 1, 1, 3]], dtype=np.int8))
    assert shares == {"ALLOW": 0.25, "BLOCK": 0.5, "QUARANTINE": 0.0, "ALERT": 0.25}


def test_normalized_score() -> None:
    assert normalized_score(2.0, 1.0, 3.0) == 0.5
    assert normalized_score(2.0, 1.0, 1.0) is None


def test_without_threats_there_is_no_average_precision() -> None:
    labels, actions = np.zeros(3, bool), np.zeros(3, np.int8)
    assert score(labels, actions, RewardConfig(), np.array([0.1, 0.2, 0.3])).pr_auc is None

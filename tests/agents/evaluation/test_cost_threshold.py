"""A score exactly at the cost-optimal threshold is a threat; the one just below is not."""

import numpy as np
import pytest
from marl_stl_agents.diagnostics.classifiers import reference_classifiers
from marl_stl_agents.evaluation.baselines import SupervisedBaselines, bayes_baselines

from marl_stl_env.config import DataConfig, EnvConfig, RewardConfig
from marl_stl_env.consensus.reliability import VOTE_KINDS, ReliabilityRule
from marl_stl_env.consensus.rules import DecisionRule
from marl_stl_env.data.datasets.synthetic import model as synthetic_model
from marl_stl_env.data.prepare import prepare
from marl_stl_env.types import Action
from tests.conftest import FOUR

#: Stopping costs as much as letting pass: (1 + 1) / (1 + 1 + 1 + 1), which floats express exactly.
EVEN = RewardConfig(true_positive=1, true_negative=1, false_positive=-1, false_negative=-1)
CONFIG = EnvConfig(data=DataConfig(dataset_options=("rows=900",)), reward=EVEN, **FOUR)
SCORES = np.array([0.5, np.nextafter(0.5, 0), np.nextafter(0.5, 1)])
WANTED = [Action.BLOCK, Action.ALLOW, Action.BLOCK]


def scores_of(rows: int) -> np.ndarray:
    return np.resize(SCORES, rows)


@pytest.fixture
def _known_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every classifier and Bayes' rule give the same three scores in turn."""

    def probabilities(self: SupervisedBaselines, views: object, split: str) -> np.ndarray:
        del views
        return scores_of(len(self._prepared.tables[split]))  # type: ignore[index]

    monkeypatch.setattr(SupervisedBaselines, "probabilities", probabilities)
    monkeypatch.setattr(SupervisedBaselines, "fit", lambda *_: None)
    prepare(CONFIG)  # before the table's own posterior is replaced too
    monkeypatch.setattr(synthetic_model, "posterior", lambda features, _: scores_of(len(features)))


def test_the_threshold_is_exact() -> None:
    assert EVEN.threshold == 0.5
    assert RewardConfig().threshold == 9 / 29


@pytest.mark.usefixtures("_known_probabilities")
def test_baselines_stop_an_event_at_the_threshold() -> None:
    prepared = prepare(CONFIG)
    found = {
        **SupervisedBaselines(CONFIG, prepared).evaluate("test"),
        **bayes_baselines(CONFIG, prepared, "test"),
        **reference_classifiers(CONFIG, prepared, "test"),
    }
    assert {"supervised", "supervised_vote", "bayes", "bayes_vote"} < found.keys()
    assert "vote of the classifiers" in found
    for name, baseline in found.items():
        assert baseline.decisions[:3].tolist() == WANTED, name


def test_weighed_votes_stop_an_event_at_the_threshold() -> None:
    """One class of each label seen and silent sensors: evidence 0 against a bar of 0."""
    rule = ReliabilityRule(DecisionRule(4, 1, 2), EVEN.threshold)
    counts = np.zeros((1, 4, 2, VOTE_KINDS), np.int64)
    counts[..., 0] = 1  # every sensor was silent on one event of each class
    votes = np.array([[Action.BLOCK, Action.BLOCK, Action.ALLOW, Action.ALLOW]], np.int8)
    evidence = float(rule.evidence(votes, counts)[0])
    assert evidence == 0.0
    assert rule(votes, counts).tolist() == [Action.BLOCK]
    above = ReliabilityRule(DecisionRule(4, 1, 2), np.nextafter(0.5, 1))
    assert above(votes, counts).tolist() == [Action.ALLOW]

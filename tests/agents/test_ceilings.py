"""The reference ceilings of supervised learning on the public files.

Gradient boosting, calibrated, on the test part of a random split with seed 42, at the threshold
that is optimal for a reward which also charges 1.5 per block.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import f1_score
from threadpoolctl import threadpool_limits

from agents.baselines import SupervisedBaselines
from agents.metrics import score
from marl_stl_env.config import EnvConfig, RewardConfig
from marl_stl_env.data import Preprocessor, load_dataset, prepare

pytestmark = [pytest.mark.data, pytest.mark.slow, pytest.mark.timeout(900)]

REWARD = RewardConfig(true_positive=8.5, false_positive=-9.5)
RARE = {"threat_rate": 0.109}
ONCE = {"drop_duplicates": True}

#: Data set, split settings, threat rate, F1, average precision, reward, reward of the oracle.
CEILINGS: list[tuple[str, dict[str, Any], float, float, float | None, float, float]] = [
    ("nsl-kdd", {}, 0.481, 0.996, 0.9999, 4.56, 4.61),
    ("nsl-kdd", RARE, 0.109, 0.988, 0.999, 1.78, 1.82),
    ("unsw-nb15", {}, 0.551, 0.981, 0.998, 4.83, 5.13),
    ("unsw-nb15", ONCE, 0.366, 0.956, 0.992, 3.29, 3.74),
    ("unsw-nb15", ONCE | RARE, 0.109, 0.909, 0.966, 1.53, 1.82),
    ("unsw-nb15-raw", {}, 0.079, 0.921, None, 1.43, 1.59),
]


def test_threshold() -> None:
    assert REWARD.threshold == pytest.approx(0.362, abs=5e-4)


@pytest.mark.parametrize(("name", "settings", "rate", "f1", "ap", "reward", "oracle"), CEILINGS)
def test_all_features(
    data_dir: Path,
    name: str,
    settings: dict[str, Any],
    rate: float,
    f1: float,
    ap: float | None,
    reward: float,
    oracle: float,
) -> None:
    config = EnvConfig(dataset=name, data_dir=data_dir, split_method="stratified", split_seed=42,
                       reward=REWARD, **settings)  # fmt: skip
    prepared = prepare(config)
    labels = prepared.tables["test"].labels
    assert labels.mean() == pytest.approx(rate, abs=0.001)
    found = SupervisedBaselines(config, prepared).of_views(tuple(prepared.raw.views), "test")
    figures = score(labels, found.decisions, REWARD, found.scores)
    assert figures["f1"] == pytest.approx(f1, abs=0.01)
    if ap is not None:
        assert figures["pr_auc"] == pytest.approx(ap, abs=0.01)
    # In units of what there is to gain, because the scale of rewards is arbitrary.
    assert figures["reward_per_event"] / oracle == pytest.approx(reward / oracle, abs=0.012)
    best = float(np.where(labels, REWARD.true_positive, REWARD.true_negative).mean())
    assert best == pytest.approx(oracle, abs=0.01)


def boosted(train: Any, labels: Any, features: Any) -> Any:
    """Decisions of uncalibrated boosting, as the references below were made."""
    with threadpool_limits(1):
        model = HistGradientBoostingClassifier(random_state=0).fit(train, labels)
        return model.predict_proba(features)[:, 1] >= REWARD.threshold


#: F1 of single views at 10.9 % threats. With some 700 to 1,500 threats in a test part, an F1 moves
#: by about 0.01 from one random split to the next: hence twice the tolerance.
VIEWS: list[tuple[str, dict[str, Any], dict[str, float]]] = [
    ("nsl-kdd", RARE, {"basic": 0.957, "content": 0.062, "time": 0.887, "host": 0.944}),
    (
        "unsw-nb15",
        ONCE | RARE,
        {"flow": 0.814, "content": 0.738, "time": 0.500, "counters": 0.730},
    ),
]


@pytest.mark.parametrize(("name", "settings", "expected"), VIEWS)
def test_single_views(
    data_dir: Path, name: str, settings: dict[str, Any], expected: dict[str, float]
) -> None:
    config = EnvConfig(dataset=name, data_dir=data_dir, split_method="stratified", split_seed=42,
                       **settings)  # fmt: skip
    tables = prepare(config).tables
    train, test = tables["train"], tables["test"]
    for view, f1 in expected.items():
        columns = list(train.views[view])
        votes = boosted(train.features[:, columns], train.labels, test.features[:, columns])
        assert f1_score(test.labels, votes) == pytest.approx(f1, abs=0.02), view


def test_chronological(data_dir: Path) -> None:
    """The reference was cut at 70 and 85 % in time, without the gap that our temporal split has."""
    raw = load_dataset("unsw-nb15-raw", data_dir=data_dir)
    train, test = np.arange(14_000), np.arange(17_000, 20_000)
    fitted = Preprocessor.fit(raw, train)
    features = fitted.transform(raw).features
    votes = boosted(features[train], raw.labels[train], features[test])
    assert f1_score(raw.labels[test], votes) == pytest.approx(0.689, abs=0.01)
    labels = raw.labels[test]
    payoff = np.where(labels, np.where(votes, 8.5, -10.0), np.where(votes, -9.5, 1.0))
    assert payoff.mean() / 1.53 == pytest.approx(0.87 / 1.53, abs=0.012)

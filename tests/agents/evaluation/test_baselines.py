import numpy as np
import pytest
from marl_stl_agents.evaluation.baselines import bayes_baselines, simple_baselines
from marl_stl_agents.evaluation.metrics import reward_per_event

from marl_stl_env.config import DataConfig, EnvConfig
from marl_stl_env.data.prepare import prepare
from marl_stl_env.types import Action
from tests.conftest import FOUR
from tests.oracles import decide


def test_constants_chance_and_oracle() -> None:
    labels = np.random.default_rng(0).random(4_000) < 0.109
    found = simple_baselines(EnvConfig(**FOUR), labels)
    assert set(found["always_allow"].decisions) == {Action.ALLOW}
    assert set(found["always_block"].decisions) == {Action.BLOCK}
    np.testing.assert_array_equal(found["oracle"].decisions == Action.BLOCK, labels)
    # Chance: the share of the 256 equally likely votes that decide "threat".
    votes = [[a, b, c, d] for a in range(4) for b in range(4) for c in range(4) for d in range(4)]
    share = np.mean([decide(vote, faulty=1, threshold=2) in (1, 2) for vote in votes])
    assert np.isin(found["random"].decisions, (1, 2)).mean() == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("rate", [None, 0.3])
def test_bayes_rule_is_calibrated_at_the_splits_own_threat_rate(rate: float | None) -> None:
    data = DataConfig(threat_rate=rate, dataset_options=("rows=100000",))
    config = EnvConfig(data=data)
    prepared = prepare(config)
    table = prepared.tables["train"]
    found = bayes_baselines(config, prepared, "train")
    scores = found["bayes"].scores
    assert scores is not None
    assert table.posterior is not None
    np.testing.assert_allclose(scores, table.posterior, rtol=1e-9)
    assert scores.mean() == pytest.approx(table.threat_rate, abs=0.003)
    for low in np.arange(0, 1, 0.2):
        inside = (scores >= low) & (scores < low + 0.2)
        error = 4 * np.sqrt(0.25 / inside.sum())
        assert table.labels[inside].mean() == pytest.approx(scores[inside].mean(), abs=error)
    # No other threshold on the same scores earns more, but for the sample's noise.
    best = max(
        reward_per_event(table.labels, np.where(scores >= t, 1, 0).astype(np.int8), config.reward)
        for t in np.linspace(0.05, 0.95, 19)
    )
    earned = reward_per_event(table.labels, found["bayes"].decisions, config.reward)
    assert earned >= best - 0.005


def test_no_bayes_rule_without_a_known_distribution() -> None:
    from tests.conftest import make_table

    config = EnvConfig()
    assert bayes_baselines(config, prepare(config, make_table()), "train") == {}

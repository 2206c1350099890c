"""What a team must be compared with: constants, chance, classifiers, the oracle, Bayes' rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from marl_stl_env.config import EnvConfig
from marl_stl_env.consensus.rules import DecisionRule
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.engine.observation import sensor_groups
from marl_stl_env.types import Action, BoolArray, Float64Array, Int8Array

_SEED = 0


@dataclass(frozen=True)
class Baseline:
    """A reference policy's decisions on every event of a split.

    Attributes:
        decisions: One action per event.  # (rows,) int8
        scores: Ranks events, larger for "threat", where the policy gives one.  # (rows,) float64
    """

    decisions: Int8Array
    scores: Float64Array | None = None


def decision_rule(config: EnvConfig) -> DecisionRule:
    """The vote of this environment's team."""
    consensus, agents = config.consensus, config.agents
    return DecisionRule(agents, consensus.faulty_for(agents), consensus.threshold_for(agents))


def as_actions(threats: BoolArray) -> Int8Array:
    """Block threats and allow the rest."""
    return np.where(threats, np.int8(Action.BLOCK), np.int8(Action.ALLOW))


def simple_baselines(config: EnvConfig, labels: BoolArray) -> dict[str, Baseline]:
    """The baselines that need no features: both constants, chance under the vote, the oracle."""
    rows = len(labels)
    chance = np.random.default_rng(_SEED).integers(0, len(Action), (rows, config.agents))
    return {
        "always_allow": Baseline(np.full(rows, Action.ALLOW, dtype=np.int8)),
        "always_block": Baseline(np.full(rows, Action.BLOCK, dtype=np.int8)),
        "random": Baseline(decision_rule(config)(chance.astype(np.int8))),
        "oracle": Baseline(as_actions(labels)),
    }


def threat_groups(config: EnvConfig, prepared: PreparedData) -> tuple[tuple[str, ...], ...]:
    """The groups of columns that each sensor of this environment sees."""
    return sensor_groups(tuple(prepared.raw.views), config.agents, config.views)


class SupervisedBaselines:
    """Gradient-boosted classifiers fitted on the training split, under the same vote.

    Probabilities become decisions at the cost-optimal threshold of the reward, which is known
    beforehand: nothing is chosen on the split that is judged.

    Args:
        config: The environment.
        prepared: Its data.
    """

    def __init__(self, config: EnvConfig, prepared: PreparedData) -> None:
        self._config, self._prepared = config, prepared
        self._models: dict[tuple[str, ...], Any] = {}

    def judge(self, split: str) -> dict[str, Baseline]:
        """``supervised`` sees all columns; ``supervised_vote`` is one classifier per sensor."""
        everything = tuple(self._prepared.raw.views)
        groups = threat_groups(self._config, self._prepared)
        threshold = self._config.reward.threshold
        scores = self._probabilities(everything, split)
        views = np.stack([self._probabilities(names, split) for names in groups], axis=1)
        vote = decision_rule(self._config)(as_actions(views >= threshold))
        return {
            "supervised": Baseline(as_actions(scores >= threshold), scores),
            "supervised_vote": Baseline(vote, views.mean(axis=1)),
        }

    def _probabilities(self, groups: tuple[str, ...], split: str) -> Float64Array:
        from sklearn.ensemble import HistGradientBoostingClassifier

        tables = self._prepared.tables
        columns = [c for name in groups for c in tables["train"].views[name]]
        if groups not in self._models:
            model = HistGradientBoostingClassifier(random_state=_SEED)
            train = tables["train"]
            self._models[groups] = model.fit(train.features[:, columns], train.labels)
        scores: Float64Array = self._models[groups].predict_proba(
            tables[split].features[:, columns]  # type: ignore[index]
        )[:, 1]
        return scores


def bayes_baselines(config: EnvConfig, prepared: PreparedData, split: str) -> dict[str, Baseline]:
    """Bayes' rule on all columns, and the vote of each sensor's own Bayes rule.

    Returns:
        Nothing where the distribution of the data is not known.
    """
    if prepared.raw.posterior is None:
        return {}
    from marl_stl_env.data.synthetic_model import posterior

    raw = prepared.raw.take(prepared.rows[split])  # type: ignore[index]
    threshold = config.reward.threshold
    exact = posterior(raw.features)
    groups = threat_groups(config, prepared)
    views = np.stack([posterior(raw.features, names) for names in groups], axis=1)
    vote = decision_rule(config)(as_actions(views >= threshold))
    return {
        "bayes": Baseline(as_actions(exact >= threshold), exact),
        "bayes_vote": Baseline(vote, views.mean(axis=1)),
    }

"""Reference policies: constants, random votes, classifiers, the oracle, Bayes' rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from marl_stl_agents.evaluation.classifiers import FittedClassifiers, Recipe
from marl_stl_agents.evaluation.metrics import event_rewards
from marl_stl_agents.evaluation.replay import trajectory_of
from marl_stl_env.config import EnvConfig, FaultConfig, Split
from marl_stl_env.consensus.rules import DecisionRule
from marl_stl_env.data.prepare import PreparedData, shift_prior
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.observation import sensor_groups
from marl_stl_env.types import Action, BoolArray, Float32Array, Float64Array, Int8Array

_SEED = 0
_BOOSTING = Recipe("sklearn.ensemble.HistGradientBoostingClassifier", {"random_state": _SEED})


@dataclass(frozen=True)
class Baseline:
    """A reference policy's decisions on every event of a split.

    Attributes:
        decisions: One action per event.  # (rows,) int8
        scores: Ranks events, larger for "threat", where the policy gives one.  # (rows,) float64
        rewards: Reward of each event, where it depends on earlier decisions; None where it follows
            from the event and its decision alone.  # (rows,) float32
    """

    decisions: Int8Array
    scores: Float64Array | None = None
    rewards: Float32Array | None = None


def decision_rule(config: EnvConfig) -> DecisionRule:
    """The vote of this environment's team."""
    consensus, agents = config.consensus, config.agents
    return DecisionRule(
        agents, consensus.faulty_for(agents), consensus.threshold_for(agents), consensus.rule
    )


def team_vote(config: EnvConfig, table: TrafficTable, actions: Int8Array) -> Int8Array:
    """The decisions of this environment's vote, with reliability weights where it has them.

    Args:
        config: The environment.
        table: The scaled table that was evaluated.
        actions: The vote of every sensor.  # (rows, agents) int8

    Returns:
        The decisions.  # (rows,) int8
    """
    if config.consensus.weights == "reliability":
        honest = replace(config, faults=FaultConfig(), deliberation=0)
        return trajectory_of(honest, table, actions).decisions
    return decision_rule(config)(actions)


def carried_out(
    config: EnvConfig, table: TrafficTable, baselines: Mapping[str, Baseline]
) -> dict[str, Baseline]:
    """Policies with the rewards of their decisions, in a response run through its dynamics.

    Args:
        config: The environment.
        table: The scaled table that was evaluated.
        baselines: Policies that decide on each event alone.
    """
    if config.dynamics == "replay":
        return {
            name: replace(one, rewards=event_rewards(config.reward, table, one.decisions))
            for name, one in baselines.items()
        }
    alone = replace(config, faults=FaultConfig(), deliberation=0)
    found = {}
    for name, one in baselines.items():
        actions = np.repeat(one.decisions[:, None], config.agents, axis=1)
        trajectory = trajectory_of(alone, table, actions)
        found[name] = Baseline(trajectory.decisions, one.scores, trajectory.rewards)
    return found


def as_actions(threats: BoolArray) -> Int8Array:
    """Block threats and allow the rest."""
    return np.where(threats, np.int8(Action.BLOCK), np.int8(Action.ALLOW))


def simple_baselines(config: EnvConfig, labels: BoolArray) -> dict[str, Baseline]:
    """The baselines that need no features: both constants, random votes, the oracle."""
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
    names = tuple(prepared.raw.views)
    opinions = config.second_opinions
    return sensor_groups(names, config.agents, config.views, config.seen_by, opinions)


class SupervisedBaselines:
    """Classifiers fitted on the training split, under the same vote.

    Their probabilities are calibrated on the validation split by isotonic regression, and become
    decisions at the cost-optimal threshold of the reward, which is known beforehand. On the
    validation split itself each half is calibrated on the other one.

    Args:
        config: The environment.
        prepared: Its data.
        max_rows: Training rows to fit on, evenly spaced; None takes all.
        make_model: Makes an unfitted classifier of scikit-learn; None is gradient boosting.
        at_once: Classifiers that are fitted side by side.
    """

    def __init__(
        self,
        config: EnvConfig,
        prepared: PreparedData,
        max_rows: int | None = None,
        make_model: Callable[[], Any] | None = None,
        at_once: int = 2,
    ) -> None:
        self._config, self._prepared = config, prepared
        make = make_model or _BOOSTING
        self._classifiers = FittedClassifiers(prepared, max_rows, make, at_once)

    def evaluate(self, split: Split) -> dict[str, Baseline]:
        """``supervised`` sees all columns; ``supervised_vote`` is one classifier per sensor."""
        groups = threat_groups(self._config, self._prepared)
        self.fit([tuple(self._prepared.raw.views), *groups])
        views = np.stack([self.probabilities(names, split) for names in groups], axis=1)
        actions = as_actions(views >= self._config.reward.threshold)
        vote = team_vote(self._config, self._prepared.tables[split], actions)
        return {
            "supervised": self.of_views(tuple(self._prepared.raw.views), split),
            "supervised_vote": Baseline(vote, views.mean(axis=1)),
        }

    def of_views(self, views: tuple[str, ...], split: Split) -> Baseline:
        """One classifier that sees these views."""
        scores = self.probabilities(views, split)
        return Baseline(as_actions(scores >= self._config.reward.threshold), scores)

    def fit(self, groups: Iterable[tuple[str, ...]], *, training: bool = False) -> None:
        """Have the scores of a classifier for each group of views.

        Those whose scores are in the cache need no fitting.

        Args:
            groups: The groups of columns that each classifier sees.
            training: Score the training split, in place of the evaluated ones.
        """
        columns = [self._columns(group) for group in groups]
        self._classifiers.score(columns, training=training)

    def probabilities(self, views: tuple[str, ...], split: Split) -> Float64Array:
        """Calibrated P(threat) of every event of a split.  # (rows,) float64."""
        columns = self._columns(views)
        labels = self._prepared.tables["validation"].labels
        known = self._classifiers.scores(columns, "validation")
        if split != "validation":
            return _calibration(known, labels)(self._classifiers.scores(columns, split))
        half = np.random.default_rng(_SEED).permutation(len(labels)) % 2 == 0
        scores = np.empty(len(labels))
        for part in (half, ~half):
            scores[part] = _calibration(known[~part], labels[~part])(known[part])
        return scores

    def scorer(self, views: tuple[str, ...]) -> Callable[[Float32Array], Float64Array]:
        """One classifier as a function of any events; its calibration is the validation split's.

        Args:
            views: The groups of columns that it sees.

        Returns:
            Maps all columns of some events, scaled, (events, features) float32, to calibrated
            P(threat), (events,) float64.
        """
        columns = self._columns(views)
        labels = self._prepared.tables["validation"].labels
        calibrate = _calibration(self._classifiers.scores(columns, "validation"), labels)
        return lambda features: calibrate(self._classifiers.scores_of(columns, features))

    def _columns(self, views: tuple[str, ...]) -> tuple[int, ...]:
        of_view = self._prepared.tables["train"].views
        return tuple(sorted({column for name in views for column in of_view[name]}))


def _calibration(scores: Float64Array, labels: BoolArray) -> Callable[[Float64Array], Float64Array]:
    """The isotonic regression of labels on scores, which makes probabilities of further scores.

    Zadrozny and Elkan (2002), "Transforming classifier scores into accurate multiclass probability
    estimates".
    """
    from scipy.optimize import isotonic_regression

    known, group, count = np.unique(scores, return_inverse=True, return_counts=True)
    shares = np.bincount(group, labels) / count
    fitted = isotonic_regression(shares, weights=count).x
    return lambda new: np.interp(new, known, fitted)


def bayes_baselines(config: EnvConfig, prepared: PreparedData, split: Split) -> dict[str, Baseline]:
    """Bayes' rule on all columns, and the vote of each sensor's own Bayes rule.

    Returns:
        Nothing where the distribution of the data is not known, no vote where views are random or
        sensors see second opinions.
    """
    if prepared.raw.posterior is None:
        return {}
    from marl_stl_env.data.datasets.synthetic.model import posterior

    raw = prepared.raw.take(prepared.rows[split])
    rates = prepared.raw.threat_rate, raw.threat_rate

    def seen_by(groups: tuple[str, ...] | None) -> Float64Array:
        exact = posterior(raw.features, groups)
        return exact if config.data.threat_rate is None else shift_prior(exact, *rates)

    threshold = config.reward.threshold
    own = prepared.raw.name != "synthetic"  # whose posterior is known, but not its model
    exact = np.asarray(prepared.tables[split].posterior) if own else seen_by(None)
    bayes = Baseline(as_actions(exact >= threshold), exact)
    if own or config.views == "random" or config.second_opinions:
        return {"bayes": bayes}
    groups = threat_groups(config, prepared)
    views = np.stack([seen_by(names) for names in groups], axis=1)
    vote = team_vote(config, prepared.tables[split], as_actions(views >= threshold))
    return {"bayes": bayes, "bayes_vote": Baseline(vote, views.mean(axis=1))}

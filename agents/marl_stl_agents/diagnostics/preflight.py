"""Before training: what do reference policies and classifiers reach on this data?"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from marl_stl_agents.diagnostics.classifiers import MAX_ROWS, reference_classifiers
from marl_stl_agents.diagnostics.facts import DataFacts
from marl_stl_agents.evaluation.baselines import (
    Baseline,
    bayes_baselines,
    carried_out,
    simple_baselines,
)
from marl_stl_agents.evaluation.metrics import normalized_score, score
from marl_stl_env.config import EnvConfig
from marl_stl_env.consensus.rules import RULES
from marl_stl_env.data.ingest.cache import cache_dir, key_of
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.engine.reward import REWARDS
from marl_stl_env.errors import OutputError
from marl_stl_env.files import write_text
from marl_stl_env.types import BoolArray

#: Data on which a classifier reaches this share of the oracle's gain is too easy.
EASY = 0.995
_FITTING = "checking the data: fitting classifiers as a reference for the team"
_VERSION = 4

Evaluated = Literal["validation", "test"]


@dataclass(frozen=True)
class Policy:
    """What one reference policy reaches on the evaluated split."""

    name: str
    precision: float
    recall: float
    f1: float
    reward: float


@dataclass(frozen=True)
class Preflight:
    """All that can be known without training.

    Attributes:
        facts: What needs no classifiers.
        evaluated: The split that the metrics are of.
        policies: Constants, chance and the oracle.
        classifiers: Calibrated classifiers on all features, their vote, boosting on each view,
            and the sensors' vote. What one of them reaches is no upper bound.
        bound: Bayes' rule, the upper bound in expectation, where the distribution is known.
        fitted_rows: Training rows that gradient boosting was fitted on.
    """

    facts: DataFacts
    evaluated: str
    policies: tuple[Policy, ...]
    classifiers: tuple[Policy, ...]
    bound: Policy | None
    fitted_rows: int

    @property
    def best(self) -> Policy:
        """The classifier, or vote, with the highest mean reward."""
        return max(self.classifiers, key=lambda policy: policy.reward)

    @property
    def share(self) -> float | None:
        """Gain of the best classifier over the best constant policy, as a share of the oracle's."""
        reward = {policy.name: policy.reward for policy in self.policies}
        constant = max(reward["always_allow"], reward["always_block"])
        return normalized_score(self.best.reward, constant, reward["oracle"])

    @property
    def verdict(self) -> str:
        """What to expect of training on this data, in one or two sentences."""
        if self.facts.suspects:
            column, auc = max(self.facts.suspects.items(), key=lambda item: item[1])
            return (
                f"column {column!r} alone predicts the label (AUC {auc:.4f}): drop it if it would "
                "not be known in time, or training only learns to read it"
            )
        reached = f"F1 {self.best.f1:.3f} reached by {self.best.name}"
        if self.share is None or self.share <= 0.0:
            return (
                f"{reached}, but no classifier has a higher mean reward than a constant policy: "
                "do not expect a team to learn from these features"
            )
        gain = f"{self.share:.0%} of the oracle's gain over the best constant policy"
        if self.share >= EASY:
            return (
                f"{reached}, {gain}: so easy that a leak is likely, or a split within one "
                "campaign; little is left to learn"
            )
        return f"{reached}, {gain}; {self._limit}"

    @property
    def _limit(self) -> str:
        if self.bound is None:
            return "this is a reference, not an upper bound"
        mean = f"mean reward {self.bound.reward:+.3f}"
        return f"the bound is Bayes' rule: F1 {self.bound.f1:.3f}, {mean}"


_ADAPTER = TypeAdapter(Preflight)


def preflight(
    config: EnvConfig,
    prepared: PreparedData | None = None,
    *,
    evaluated: Evaluated = "validation",
    say: Callable[[str], object] | None = None,
    at_once: int = 2,
) -> Preflight:
    """Look at the data of an environment; known data is looked up in the cache.

    Args:
        config: The environment.
        prepared: Its data; None prepares it.
        evaluated: The split that the metrics are of.
        say: Called with what is being done.
        at_once: Classifiers that are fitted side by side.

    Raises:
        DataError: If the data cannot be prepared.
    """
    begin = say or _silent
    if prepared is None:
        begin(f"preparing the data set {config.data.dataset}")
        prepared = prepare(config)
    report = known_preflight(config, prepared, evaluated)
    if report is None:
        begin(_FITTING)
        report = _look(config, prepared, evaluated, at_once)
        if not has_own_code(config):
            _keep(_path(config, prepared, evaluated), report)
    return report


def _keep(path: Path, report: Preflight) -> None:
    try:
        write_text(path, as_json(report))
    except OutputError as error:
        warnings.warn(f"what is known of the data is not kept: {error}", stacklevel=3)


def known_preflight(
    config: EnvConfig, prepared: PreparedData, evaluated: Evaluated = "validation"
) -> Preflight | None:
    """The preflight in the cache; None where there is none."""
    if has_own_code(config):
        return None
    path = _path(config, prepared, evaluated)
    if not path.exists():
        return None
    try:
        return from_json(path.read_bytes())
    except (ValidationError, OSError):
        path.unlink(missing_ok=True)  # damaged: it is only a copy of what is computed anew
        return None


def has_own_code(config: EnvConfig) -> bool:
    """Whether a user's own rule or reward, which may change while its name stays, decides."""
    return RULES.is_own(config.consensus.rule) or REWARDS.is_own(config.reward.reward_function)


def as_json(report: Preflight) -> str:
    """The report as text."""
    return _ADAPTER.dump_json(report, indent=2).decode()


def from_json(text: bytes) -> Preflight:
    """The report from its text.

    Raises:
        ValidationError: If it is no report.
    """
    return _ADAPTER.validate_json(text)


def _path(config: EnvConfig, prepared: PreparedData, evaluated: Evaluated) -> Path:
    return cache_dir() / "preflight" / f"{_key(config, prepared, evaluated)}.json"


def _silent(step: str) -> None:
    del step


def _key(config: EnvConfig, prepared: PreparedData, evaluated: str) -> str:
    settings = [
        _VERSION, evaluated, config.agents, config.views, config.seen_by, config.random_share,
        config.second_opinions,
        config.reward, config.consensus, config.dynamics, config.response, config.episode_length,
    ]  # fmt: skip
    return key_of([*map(str, settings), prepared.digest])


def _look(
    config: EnvConfig, prepared: PreparedData, evaluated: Evaluated, at_once: int
) -> Preflight:
    labels = prepared.tables[evaluated].labels
    train = prepared.tables["train"]
    simple = simple_baselines(config, labels)
    found = reference_classifiers(config, prepared, evaluated, at_once)
    bayes = bayes_baselines(config, prepared, evaluated)

    def metrics(policies: Mapping[str, Baseline]) -> tuple[Policy, ...]:
        trajectories = carried_out(config, prepared.tables[evaluated], policies)
        return tuple(_policy(config, n, labels, p) for n, p in trajectories.items())

    return Preflight(
        facts=DataFacts.of(prepared),
        evaluated=evaluated,
        policies=metrics(simple),
        classifiers=metrics(found),
        bound=metrics({"Bayes' rule (bound)": bayes["bayes"]})[0] if bayes else None,
        fitted_rows=-(-len(train) // -(-len(train) // MAX_ROWS)),
    )


def _policy(config: EnvConfig, name: str, labels: BoolArray, baseline: Baseline) -> Policy:
    found = score(labels, baseline.decisions, config.reward, rewards=baseline.rewards)
    return Policy(name, found.precision, found.recall, found.f1, found.reward_per_event)

"""Before training: what do reference policies and classifiers reach on this data?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError

from marl_stl_agents.diagnostics.classifiers import MAX_ROWS, reference_classifiers
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
from marl_stl_env.data.ingest.store import release
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.data.registry import dataset_info, datasets
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.reward import REWARDS
from marl_stl_env.files import write_text
from marl_stl_env.types import AnyArray, BoolArray, Float64Array, IntArray

#: A column whose own AUC is above this is suspected of holding the label.
LEAK = 0.999
#: Data on which a classifier reaches this share of the oracle's gain is too easy.
EASY = 0.995
_LEAK_ROWS = 100_000
_FITTING = "checking the data: fitting classifiers as a reference for the team"
_VERSION = 3


@dataclass(frozen=True)
class Policy:
    """What one reference policy reaches on the evaluated split."""

    name: str
    precision: float
    recall: float
    f1: float
    reward: float


@dataclass(frozen=True)
class SplitFacts:
    """Size, threats and attack families of one split."""

    rows: int
    threats: int
    families: dict[str, int]


@dataclass(frozen=True)
class Preflight:
    """All that is known before the first step of training.

    Attributes:
        dataset: Name of the data set.
        evaluated: The split that the metrics are of.
        splits: What each split holds.
        notes: Which labels are benign, what was left out, and what the split did, in lines.
        dropped: Column to the reason why it is not used.
        policies: Constants, chance and the oracle.
        classifiers: Calibrated classifiers on all features, their vote, boosting on each view,
            and the sensors' vote. What one of them reaches is no upper bound.
        bound: Bayes' rule, the upper bound in expectation, where the distribution is known.
        suspects: Column to its own AUC, where that is suspicious.
        fitted_rows: Training rows that gradient boosting was fitted on.
    """

    dataset: str
    evaluated: str
    splits: dict[str, SplitFacts]
    notes: tuple[str, ...]
    dropped: dict[str, str]
    policies: tuple[Policy, ...]
    classifiers: tuple[Policy, ...]
    bound: Policy | None
    suspects: dict[str, float]
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
        if self.suspects:
            column, auc = max(self.suspects.items(), key=lambda item: item[1])
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
    evaluated: Literal["validation", "test"] = "validation",
    say: Callable[[str], object] | None = None,
) -> Preflight:
    """Look at the data of an environment; known data is looked up in the cache.

    Args:
        config: The environment.
        prepared: Its data; None prepares it.
        evaluated: The split that the metrics are of.
        say: Called with what is being done.

    Raises:
        DataError: If the data cannot be prepared.
    """
    begin = say or _silent
    if prepared is None:
        begin(f"preparing the data set {config.data.dataset}")
        prepared = prepare(config)
    if _has_own_code(config):  # which may change while its name stays
        begin(_FITTING)
        return _look(config, prepared, evaluated)
    path = cache_dir() / "preflight" / f"{_key(config, prepared, evaluated)}.json"
    if path.exists():
        try:
            return _ADAPTER.validate_json(path.read_bytes())
        except (ValidationError, OSError):
            path.unlink(missing_ok=True)  # damaged: it is only a copy of what is computed below
    begin(_FITTING)
    report = _look(config, prepared, evaluated)
    write_text(path, _ADAPTER.dump_json(report, indent=2).decode())
    return report


def _has_own_code(config: EnvConfig) -> bool:
    """Whether a user's own rule or reward decides on the figures."""
    return RULES.is_own(config.consensus.rule) or REWARDS.is_own(config.reward.reward_function)


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
    config: EnvConfig, prepared: PreparedData, evaluated: Literal["validation", "test"]
) -> Preflight:
    labels = prepared.tables[evaluated].labels
    train = prepared.tables["train"]
    simple = simple_baselines(config, labels)
    found = reference_classifiers(config, prepared, evaluated)
    bayes = bayes_baselines(config, prepared, evaluated)

    def metrics(policies: Mapping[str, Baseline]) -> tuple[Policy, ...]:
        trajectories = carried_out(config, prepared.tables[evaluated], policies)
        return tuple(_policy(config, n, labels, p) for n, p in trajectories.items())

    return Preflight(
        dataset=prepared.raw.name,
        evaluated=evaluated,
        splits={name: _facts(table) for name, table in prepared.tables.items()},
        notes=(*prepared.raw.label_notes(), *prepared.report.notes()),
        dropped=_dropped(prepared),
        policies=metrics(simple),
        classifiers=metrics(found),
        bound=metrics({"Bayes' rule (bound)": bayes["bayes"]})[0] if bayes else None,
        suspects=leak_suspects(prepared.raw, prepared.rows["train"]),
        fitted_rows=-(-len(train) // -(-len(train) // MAX_ROWS)),
    )


def _policy(config: EnvConfig, name: str, labels: BoolArray, baseline: Baseline) -> Policy:
    found = score(labels, baseline.decisions, config.reward, rewards=baseline.rewards)
    return Policy(name, found.precision, found.recall, found.f1, found.reward_per_event)


def _facts(table: TrafficTable) -> SplitFacts:
    counts = np.bincount(table.families[table.labels], minlength=len(table.family_names))
    families = {table.family_names[code]: int(counts[code]) for code in np.argsort(-counts)}
    return SplitFacts(
        len(table), int(table.labels.sum()), {name: n for name, n in families.items() if n}
    )


def _dropped(prepared: PreparedData) -> dict[str, str]:
    """Columns that the loader or the scaling left out, and why."""
    name = prepared.raw.name
    of_loader = dict(text.split(": ", 1) for text in _loader_drops(name))
    return of_loader | dict(prepared.preprocessor.dropped)


def _loader_drops(name: str) -> list[str]:
    if name not in datasets():  # a table of the caller's own
        return []
    return [text for text in dataset_info(name).dropped if ": " in text]


def leak_suspects(table: TrafficTable, rows: IntArray) -> dict[str, float]:
    """Columns that separate the labels by themselves, with their AUC.

    Categories are ranked by their threat rate on every second row and evaluated on the others, so
    that an identifier with one row per category is not mistaken for a leak.

    Args:
        table: A raw table.
        rows: The training rows; at most 100,000 of them are looked at.  # (k,) int64
    """
    rows = rows[:: max(1, -(-len(rows) // _LEAK_ROWS))]
    labels = np.asarray(table.labels[rows])
    suspects = {}
    for column, name in enumerate(table.feature_names):
        values = np.asarray(table.features[:, column][rows], np.float64)
        release(table.features)
        auc = _category_auc(values, labels) if name in table.categories else _auc(values, labels)
        if auc > LEAK:
            suspects[name] = auc
    return suspects


def _auc(values: Float64Array, labels: AnyArray) -> float:
    """Area under the ROC curve of a number, whichever direction is the better one."""
    from sklearn.metrics import roc_auc_score

    if not 0 < labels.sum() < len(labels):
        return 0.5
    auc = float(roc_auc_score(labels, np.nan_to_num(values)))
    return max(auc, 1 - auc)


def _category_auc(codes: Float64Array, labels: AnyArray) -> float:
    known = codes[::2].astype(np.int64)
    size = int(codes.max()) + 1
    threats = np.bincount(known, labels[::2].astype(np.float64), size)
    rate = (threats + labels.mean()) / (np.bincount(known, minlength=size) + 1)
    return _auc(rate[codes[1::2].astype(np.int64)], labels[1::2])

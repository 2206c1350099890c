"""Unseen attacks: settings chosen by cross-validation over attack types.

The attack types of the training file form five folds, or the four classes of attacks (``--hold
classes``, with which no similar type remains in training). In turn the types of a fold are held out
of training (``holdout_families``). The metrics are the recall of the held-out types, each with the
same weight, and the false alarms on benign validation events, combined at the threat rate of the
training file. The test file is not used.

``python -m benchmarks.studies.unseen teams --data-dir DIR`` evaluates teams. ``forest`` evaluates
the reference, a random forest: its threshold is the best of these folds, and it is then fitted on
all types and evaluated on KDDTest+.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
from marl_stl_agents.config import PPOConfig
from marl_stl_agents.evaluation.metrics import score
from marl_stl_agents.evaluation.rollouts import collect_rollout
from marl_stl_agents.run_directory import write_json

from benchmarks.common.measure import show
from benchmarks.common.partial import PARTIAL
from benchmarks.common.teams import train_team
from marl_stl_env.config import ConsensusConfig, DataConfig, EnvConfig, RewardConfig
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.types import Action, BoolArray, Float64Array, IntArray

FOLDS = 5
#: The classes of the attack types of NSL-KDD's training file, as its publishers name them.
CLASSES = {
    "denial of service": ("back", "land", "neptune", "pod", "smurf", "teardrop"),
    "probe": ("ipsweep", "nmap", "portsweep", "satan"),
    "remote to local": (
        "ftp_write",
        "guess_passwd",
        "imap",
        "multihop",
        "phf",
        "spy",
        "warezclient",
        "warezmaster",
    ),
    "user to root": ("buffer_overflow", "loadmodule", "perl", "rootkit"),
}
OWN = RewardConfig(team_share=0.0)
#: Without tolerance of faulty sensors, every threshold of the vote is allowed.
_ANY_VOTES = ConsensusConfig(max_faulty=0)


@dataclass(frozen=True)
class Team:
    """Settings of a team."""

    env: EnvConfig
    ppo: PPOConfig = field(default_factory=PPOConfig)


def teams(nsl: EnvConfig) -> dict[str, Team]:
    """The compared teams. Up to "entropy 0.05" each extends the one before; all others this one."""
    drilled = replace(
        nsl, data=replace(nsl.data, balance="families", synthetic_outliers=0.25), reward=OWN
    )
    many = replace(drilled, agents=16, views="random", consensus=_ANY_VOTES)
    bold, calm = PPOConfig(entropy_coefficient=0.02), PPOConfig(entropy_coefficient=0.05)
    return {
        "defaults": Team(nsl),
        "balance and synthetic outliers": Team(drilled, bold),
        "16 random half views": Team(many, bold),
        "entropy 0.05": Team(many, calm),
        "fewer synthetic outliers": Team(
            replace(many, data=replace(many.data, synthetic_outliers=0.1)), calm
        ),
        "no synthetic outliers": Team(
            replace(many, data=replace(many.data, synthetic_outliers=0.0)), calm
        ),
        "as many synthetic outliers as events": Team(
            replace(many, data=replace(many.data, synthetic_outliers=1.0)), calm
        ),
        "no balance": Team(replace(many, data=replace(many.data, balance="none")), calm),
        "small batches": Team(many, replace(calm, batch_size=512)),
        "independent": Team(many, replace(calm, sharing="independent")),
        "32 sensors": Team(replace(many, agents=32), calm),
        "64 sensors": Team(replace(many, agents=64), calm),
        "2,000 prototypes": Team(many, replace(calm, prototypes=2000)),
        "4,000 prototypes": Team(many, replace(calm, prototypes=4000)),
        "2,000 prototypes, 32 sensors": Team(
            replace(many, agents=32), replace(calm, prototypes=2000)
        ),
    }


@dataclass(frozen=True)
class Settings:
    """Settings of the study.

    Attributes:
        what: "teams" or "forest".
        data_dir: Folder with the data files.
        hold: What a fold holds out: a fifth of the types, or a class of them.
        only: Teams to train, by name; none means all.
        together: Also let the teams of each fold vote as one.
        seed: Seed of the folds, and of the first training.
        folds: How many of the folds to train on, at most.
        iterations: Rollouts of each training.
        trees: Trees of the forest.
        out: JSON file to write.
    """

    what: tyro.conf.Positional[Literal["teams", "forest"]]
    data_dir: Path | None = None
    hold: Literal["types", "classes"] = "types"
    only: tuple[str, ...] = ()
    together: bool = False
    seed: int = 0
    folds: int = FOLDS
    iterations: int = 30
    trees: int = 100
    out: Path | None = None


@dataclass(frozen=True)
class Verdicts:
    """Scores of events of held-out types and of benign events.

    Attributes:
        types: The attack type of each event, -1 for benign.  # (events,) int64
        scores: Larger for "threat"; 0 and 1 for decisions.  # (events,) float64
    """

    types: IntArray
    scores: Float64Array


def assign_types(table: TrafficTable, seed: int) -> list[tuple[str, ...]]:
    """The attack types of a table in five folds of about the same number of types."""
    codes = np.random.default_rng(seed).permutation(np.unique(table.families[table.labels]))
    names = [table.family_names[code] for code in codes]
    return [tuple(names[fold::FOLDS]) for fold in range(FOLDS)]


def each_fold(env: EnvConfig, settings: Settings) -> Iterator[tuple[EnvConfig, PreparedData]]:
    """The environment and its data for each fold, with its types held out."""
    if settings.hold == "classes":
        held = list(CLASSES.values())
    else:
        held = assign_types(prepare(env).tables["train"], settings.seed)
    for types in held[: settings.folds]:
        left_out = replace(env, data=replace(env.data, holdout_families=types))
        yield left_out, prepare(left_out)


def verdicts(env: EnvConfig, table: TrafficTable, scores: Float64Array) -> Verdicts:
    """The verdicts on held-out and benign events of a validation table."""
    left_out = [table.family_names.index(name) for name in env.data.holdout_families]
    types = np.where(table.labels, table.families, np.int64(-1))
    kept = ~table.labels | np.isin(table.families, left_out)
    return Verdicts(types[kept], scores[kept])


def figures(
    found: list[Verdicts], threshold: float, rate: float, reward: RewardConfig
) -> dict[str, float]:
    """Type-balanced recall, false alarms, and F1 and reward at a threat rate.

    Args:
        found: One entry per fold.
        threshold: Scores from here on are threat votes.
        rate: Threat rate for F1 and reward.
        reward: The rewards of outcomes.
    """
    types = np.concatenate([one.types for one in found])
    votes = np.concatenate([one.scores for one in found]) >= threshold
    recalls = [votes[types == code].mean() for code in np.unique(types[types >= 0])]
    recall, alarms = float(np.mean(recalls)), float(votes[types < 0].mean())
    tp, fp = rate * recall, (1 - rate) * alarms
    fn, tn = rate - tp, 1 - rate - fp
    earned = (
        tp * reward.true_positive
        + tn * reward.true_negative
        + fp * reward.false_positive
        + fn * reward.false_negative
    )
    return {
        "f1": 2 * tp / (2 * tp + fp + fn),
        "reward": earned,
        "recall": recall,
        "false_alarms": alarms,
    }


def leave_types_out(team: Team, settings: Settings) -> list[Verdicts]:
    """Train on every fold and count the threat votes on held-out types."""
    found: list[Verdicts] = []
    for number, (env, prepared) in enumerate(each_fold(team.env, settings)):
        act = train_team(env, settings.seed + number, settings.iterations, team.ppo)
        table = prepared.tables["validation"]
        votes = collect_rollout(replace(env, split="validation"), table, act).votes.sum(axis=1)
        found.append(verdicts(env, table, votes.astype(np.float64)))
    return found


def joined(teams: list[list[Verdicts]]) -> list[Verdicts]:
    """The votes of several teams on the same folds, added up."""
    return [
        Verdicts(fold[0].types, np.sum([one.scores for one in fold], axis=0))
        for fold in zip(*teams, strict=True)
    ]


def by_threshold(found: list[Verdicts], env: EnvConfig) -> list[dict[str, Any]]:
    """The metrics at every possible threshold of the vote."""
    faulty, rate = env.consensus.faulty_for(env.agents), prepare(env).tables["train"].threat_rate
    return [
        {"threshold": votes, **figures(found, votes, rate, env.reward)}
        for votes in range(faulty + 1, env.agents - faulty + 1)
    ]


def forest(nsl: EnvConfig, settings: Settings) -> dict[str, Any]:
    """The reference: a random forest with the best threshold on held-out types."""
    from sklearn.ensemble import RandomForestClassifier

    def fitted(tables: list[TrafficTable]) -> Any:
        features = np.concatenate([table.features for table in tables])
        labels = np.concatenate([table.labels for table in tables])
        model = RandomForestClassifier(settings.trees, random_state=settings.seed)
        return model.fit(features, labels)

    def scores_of(model: Any, table: TrafficTable) -> Float64Array:
        scores: Float64Array = model.predict_proba(table.features)[:, 1]
        return scores

    found = []
    for env, prepared in each_fold(nsl, settings):
        model, table = fitted([prepared.tables["train"]]), prepared.tables["validation"]
        found.append(verdicts(env, table, scores_of(model, table)))
    prepared, reward = prepare(nsl), nsl.reward
    rate = prepared.tables["train"].threat_rate
    levels = (np.arange(settings.trees) + 0.5) / settings.trees
    by_level = {float(level): figures(found, level, rate, reward) for level in levels}
    best = max(by_level, key=lambda level: by_level[level]["f1"])
    model = fitted([prepared.tables["train"], prepared.tables["validation"]])
    test = prepared.tables["test"]
    return {
        "threshold": best,
        "left_out": by_level[best],
        "test": score(test.labels, _actions(scores_of(model, test) >= best), reward).as_dict(),
    }


def _actions(threats: BoolArray) -> Any:
    return np.where(threats, np.int8(Action.BLOCK), np.int8(Action.ALLOW))


def compare(nsl: EnvConfig, settings: Settings) -> dict[str, Any]:
    """Train and evaluate the chosen teams, and print their metrics."""
    results: dict[str, Any] = {}
    found: list[list[Verdicts]] = []
    agents = 0
    for name, team in teams(nsl).items():
        if not settings.only or name in settings.only:
            found.append(leave_types_out(team, settings))
            agents += team.env.agents
            results[name] = by_threshold(found[-1], team.env)
            show(name, *_as_table(results[name]))
    if settings.together:
        env = replace(nsl, agents=agents, reward=OWN)
        results["together"] = by_threshold(joined(found), env)
        show("together", *_as_table(results["together"]))
    return results


def main(settings: Settings) -> None:
    """Run, print tables and write the figures."""
    nsl = replace(PARTIAL, data=DataConfig(dataset="nsl-kdd", data_dir=settings.data_dir))
    results: dict[str, Any] = {}
    if settings.what == "forest":
        results = forest(nsl, settings)
        for part in ("left_out", "test"):
            show(f"{part}, threshold {results['threshold']}", *_as_table([results[part]]))
    else:
        results = compare(nsl, settings)
    if settings.out is not None:
        write_json(settings.out, results)


def _as_table(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    return list(rows[0]), [list(row.values()) for row in rows]


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))

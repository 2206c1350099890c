"""The open-world track: families that no training has seen, on several data sets."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from marl_stl_agents.config import TrainConfig
from marl_stl_agents.evaluation.metrics import normalized_score
from marl_stl_agents.evaluation.rollouts import collect_rollout
from marl_stl_agents.run_directory import read_json, write_json

from benchmarks.common.teams import train_team
from benchmarks.common.worlds import WORLDS, Fold, make_fold, reward_at, shares
from benchmarks.leaderboard.classifiers import boosting, forest, isolation
from marl_stl_env.config import EnvConfig
from marl_stl_env.types import BoolArray, IntArray


@dataclass(frozen=True)
class FoldResult:
    """Decisions on the evaluated events of a fold: benign ones and the families left out.

    Attributes:
        world: Name of the world.
        held: The families left out.
        recall: Share of their events that is stopped; the mean over the families, each alike.
        false_alarms: Share of benign events that is stopped.
        reward: Reward per event at the threat rate of the training file.
        normalized_score: The reward between the best constant policy (0) and the oracle (1).
        events: SHA-256 of the evaluated events.
    """

    world: str
    held: tuple[str, ...]
    recall: float
    false_alarms: float
    reward: float
    normalized_score: float
    events: str


@dataclass(frozen=True)
class OpenResult:
    """The result of one seed on all folds of the worlds.

    Attributes:
        seed: Seed of the training.
        normalized_score: The number of the track: mean over the worlds of the mean over their
            folds.
        recall: The same mean of the recall.
        false_alarms: The same mean of the false alarms.
        worlds: World to the mean normalized score of its folds.
        events: SHA-256 of the evaluated events of each fold.
        cpu_seconds: CPU time of the trainings, as declared.
    """

    seed: int | None
    normalized_score: float
    recall: float
    false_alarms: float
    worlds: Mapping[str, float]
    events: tuple[str, ...] = ()
    cpu_seconds: float | None = None


def open_result(seed: int | None, folds: Sequence[FoldResult]) -> OpenResult:
    """The result of one seed, of its results on the folds."""

    def mean(field: str) -> float:
        return float(np.mean([*world_means(folds, field).values()]))

    return OpenResult(
        seed,
        normalized_score=mean("normalized_score"),
        recall=mean("recall"),
        false_alarms=mean("false_alarms"),
        worlds=world_means(folds, "normalized_score"),
        events=tuple(one.events for one in folds),
    )


class Contender(Protocol):
    """Decides on the validation events of a fold, having seen its training events."""

    @property
    def env(self) -> EnvConfig:
        """Its environment."""
        ...

    def votes(self, fold: Fold, seed: int) -> IntArray:
        """Votes for "threat" on every validation event.  # (rows,) int64."""


@dataclass(frozen=True)
class Team:
    """A team, trained anew on every fold; the last policy decides.

    Attributes:
        config: Its settings.
    """

    config: TrainConfig

    @property
    def env(self) -> EnvConfig:
        """The environment of the team."""
        return self.config.task

    def votes(self, fold: Fold, seed: int) -> IntArray:
        """See :class:`Contender`."""
        env, ppo = self.env, self.config.ppo
        act = train_team(
            env, seed, self.config.iterations, ppo, self.config.warm_start, fold.prepared
        )
        rollout = collect_rollout(env, fold.prepared.tables["validation"], act)
        return np.asarray(rollout.votes.sum(axis=1))


@dataclass(frozen=True)
class Classifier:
    """A classifier that sees all columns.

    Attributes:
        decide: From a fold and a seed to its decisions.
        env: Any environment; nothing of it but the columns is used.
    """

    decide: Callable[[Fold, int], BoolArray]
    env: EnvConfig = field(default_factory=lambda: EnvConfig(agents=1, views="full"))

    def votes(self, fold: Fold, seed: int) -> IntArray:
        """See :class:`Contender`."""
        return self.decide(fold, seed).astype(np.int64)


#: References of the track.
CLASSIFIERS: dict[str, Contender] = {
    "forest, threshold by types left out": Classifier(forest),
    "gradient boosting": Classifier(boosting),
    "isolation forest": Classifier(isolation),
}


def results_of(
    name: str,
    contender: Contender,
    seed: int,
    folder: Path,
    data_dir: Path | None = None,
    worlds: Sequence[str] = (),
    most: int = 100,
) -> Iterator[dict[int, FoldResult]]:
    """A contender on every fold of the worlds.

    What stands in the folder already is not made again.

    Args:
        name: Name of the contender, for the files.
        contender: The contender.
        seed: Seed of its training; folds are always the same.
        folder: Folder for a JSON file per fold.
        data_dir: Folder with the data files.
        worlds: The worlds; none means all.
        most: Folds of a world, at most.

    Yields:
        For each fold: votes that a threat needs, to the result.
    """
    for world in worlds or WORLDS:
        for number in range(min(most, WORLDS[world].folds)):
            file = folder / f"{slug(name)}-{slug(world)}-{number}-{seed}.json"
            if not file.exists():
                fold = make_fold(world, number, contender.env, data_dir)
                votes = contender.votes(fold, seed)
                needed = range(1, contender.env.agents + 1)
                write_json(
                    file, {str(one): vars(fold_result(fold, votes >= one)) for one in needed}
                )
            yield {int(votes): _read(one) for votes, one in read_json(file).items()}


def fold_result(fold: Fold, threats: BoolArray) -> FoldResult:
    """What decisions are worth.

    Args:
        fold: The fold.
        threats: Whether each validation event is stopped.  # (rows,) bool
    """
    evaluated = fold.evaluated
    table = fold.prepared.tables["validation"].take(np.flatnonzero(evaluated))
    recall, alarms = shares(table, threats[evaluated])
    reward = reward_at(fold.rate, recall, alarms)
    constant = max(reward_at(fold.rate, always, always) for always in (0.0, 1.0))
    score = normalized_score(reward, constant, reward_at(fold.rate, 1.0, 0.0))
    if score is None:
        raise ValueError(f"a constant policy is perfect on {fold.world}")
    return FoldResult(fold.world, fold.held, recall, alarms, reward, score, digest(fold))


def digest(fold: Fold) -> str:
    """SHA-256 of the evaluated events, as they are before scaling."""
    rows = fold.prepared.rows["validation"][fold.evaluated]
    found = hashlib.sha256(fold.prepared.raw.features[rows].tobytes())
    found.update(fold.prepared.raw.labels[rows].tobytes())
    return found.hexdigest()


def world_means(results: Sequence[FoldResult], field: str) -> dict[str, float]:
    """The mean of a field over the folds of each world."""
    worlds = dict.fromkeys(one.world for one in results)
    return {
        world: float(np.mean([getattr(one, field) for one in results if one.world == world]))
        for world in worlds
    }


def slug(name: str) -> str:
    """A name as a part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _read(content: Mapping[str, Any]) -> FoldResult:
    return FoldResult(**{**content, "held": tuple(content["held"])})

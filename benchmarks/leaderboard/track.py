"""What a leaderboard compares, and the figures of one seed on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from marl_stl_agents.evaluation.baselines import decision_rule, simple_baselines
from marl_stl_agents.evaluation.byzantine import byzantine_metrics
from marl_stl_agents.evaluation.metrics import normalized_score, score
from marl_stl_agents.evaluation.result import FaultMetrics
from marl_stl_agents.evaluation.rollouts import Rollout

from marl_stl_env.config import EnvConfig
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.reward import Payoffs
from marl_stl_env.errors import SubmissionError
from marl_stl_env.types import Float32Array, Float64Array, Int8Array

#: Seeds that an entry needs.
SEEDS = 3
#: Settings that say which events are evaluated, and what they are worth. All others are free.
_DATA = (
    "dataset",
    "dataset_options",
    "split_method",
    "split_seed",
    "holdout_families",
    "drop_duplicates",
    "threat_rate",
)
_WORTH = (
    "true_positive",
    "true_negative",
    "false_positive",
    "false_negative",
    "allow_cost",
    "block_cost",
    "quarantine_cost",
    "alert_cost",
)


@dataclass(frozen=True)
class Track:
    """The test events that all entries of a leaderboard decide on.

    Attributes:
        name: Its name.
        env: Its data, its split, its threat rate and its rewards; the team is the entry's own.
    """

    name: str = "synthetic"
    env: EnvConfig = field(default_factory=EnvConfig)

    def prepare(self) -> PreparedData:
        """The track's data; training and validation are there to be used, test is not."""
        return prepare(self.env)

    def check_config(self, run: Path, env: EnvConfig) -> None:
        """Refuse a team that was trained for something else.

        Raises:
            SubmissionError: If data, split, threat rate or rewards are not the track's, or if the
                vote learns from labels of the events evaluated.
        """
        given = [(name, getattr(env.data, name), getattr(self.env.data, name)) for name in _DATA]
        given.append(("dynamics", env.dynamics, self.env.dynamics))
        given += [(n, getattr(env.reward, n), getattr(self.env.reward, n)) for n in _WORTH]
        for name, found, wanted in given:
            if found != wanted:
                raise SubmissionError(
                    f"{run} was trained with {name}={found!r}, and track {self.name!r} has "
                    f"{name}={wanted!r}; train it with that"
                )
        if env.consensus.weights != "equal":
            raise SubmissionError(
                f"{run} weighs votes by labels of the events evaluated; train it with "
                "--weights equal"
            )


@dataclass(frozen=True)
class Result:
    """What one seed of an entry did on the test split.

    Attributes:
        seed: Seed of the training; None where there is none.
        normalized_score: Reward between the best constant policy (0) and the oracle (1).
        f1: F1 of the decisions.
        reward_per_event: What a decision earned.
        one_byzantine: The same under the worst fault of one sensor; None where the team bears none,
            or where the sensors' votes are not known.
        agent_steps: Observations that were trained on; None for references.
        cpu_seconds: Of the training alone, as declared.
    """

    seed: int | None
    normalized_score: float
    f1: float
    reward_per_event: float
    one_byzantine: float | None = None
    agent_steps: int | None = None
    cpu_seconds: float | None = None


def of_decisions(env: EnvConfig, table: TrafficTable, decisions: Int8Array, **more: Any) -> Result:
    """The figures of decisions on every event of the test split.

    Args:
        env: The environment of the team.
        table: The scaled test table.
        decisions: One action per event.  # (rows,) int8
        **more: The other fields of :class:`Result`.
    """
    metrics = score(table.labels, decisions, env.reward)
    rewards = {
        name: score(table.labels, one.decisions, env.reward).reward_per_event
        for name, one in simple_baselines(env, table.labels).items()
    }
    constant = max(rewards["always_allow"], rewards["always_block"])
    relative = normalized_score(metrics.reward_per_event, constant, rewards["oracle"])
    if relative is None:
        raise SubmissionError("a constant policy is perfect on this split: nothing to compare")
    return Result(
        normalized_score=relative,
        f1=metrics.f1,
        reward_per_event=metrics.reward_per_event,
        **{"seed": None, **more},
    )


def of_votes(env: EnvConfig, table: TrafficTable, actions: Int8Array, **more: Any) -> Result:
    """The figures of what sensors said on every test event, under the plain vote.

    Args:
        env: The environment of the team, whose vote it is.
        table: The scaled test table.
        actions: What every sensor says.  # (rows, agents) int8
        **more: Further fields of :class:`Result`.
    """
    decisions = decision_rule(env)(actions)
    rollout = Rollout(
        actions=actions,
        decisions=decisions,
        scores=np.zeros(len(table)),
        rewards=Payoffs(env.reward).of_actions(table.labels, decisions),
        isolated=np.zeros(len(table), np.bool_),
        granted=np.zeros(len(table), np.bool_),
    )
    worst = worst_with_one(byzantine_metrics(env, table, _nobody, rollout))
    return of_decisions(env, table, decisions, one_byzantine=worst, **more)


def worst_with_one(byzantine: Iterable[FaultMetrics]) -> float | None:
    """The reward per event under the fault of one sensor that does most harm."""
    rewards = [one.reward_per_event for one in byzantine if one.faulty == 1]
    return min(rewards, default=None)


def _nobody(observations: Float32Array) -> tuple[Int8Array, Float64Array]:
    raise SubmissionError(f"{len(observations)} votes are given: no policy is asked")

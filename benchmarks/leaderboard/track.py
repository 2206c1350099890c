"""The track of a leaderboard, and the results of one seed on it."""

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
#: Settings that define the evaluated events, and their rewards. All others are free.
_DATA = (
    "dataset",
    "dataset_options",
    "split_method",
    "split_seed",
    "holdout_families",
    "drop_duplicates",
    "threat_rate",
)
_REWARDS = (
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
        name: Name of the track.
        env: Defines data, split, threat rate and rewards; the team is free.
    """

    name: str = "synthetic"
    env: EnvConfig = field(default_factory=EnvConfig)

    def prepare(self) -> PreparedData:
        """The data of the track; entries may use the training and validation splits."""
        return prepare(self.env)

    def check_config(self, run: Path, env: EnvConfig) -> None:
        """Refuse a team that was trained for another track.

        Raises:
            SubmissionError: If data, split, threat rate or rewards are not those of the track, or
                if reliability weights use labels of the evaluated events.
        """
        given = [(name, getattr(env.data, name), getattr(self.env.data, name)) for name in _DATA]
        given.append(("dynamics", env.dynamics, self.env.dynamics))
        given += [(n, getattr(env.reward, n), getattr(self.env.reward, n)) for n in _REWARDS]
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
    """The result of one seed of an entry on the test split.

    Attributes:
        seed: Seed of the training; None without training.
        normalized_score: Reward between the best constant policy (0) and the oracle (1).
        f1: F1 of the decisions.
        reward_per_event: Mean reward of the decisions.
        one_byzantine: Mean reward under the worst fault of one sensor; None if the team tolerates
            no faulty sensor, or the sensors' votes are unknown.
        agent_steps: Observations of the training; None for references.
        cpu_seconds: CPU time of the training, as declared.
    """

    seed: int | None
    normalized_score: float
    f1: float
    reward_per_event: float
    one_byzantine: float | None = None
    agent_steps: int | None = None
    cpu_seconds: float | None = None


#: The track of the public leaderboard.
TRACK = Track()


def of_decisions(env: EnvConfig, table: TrafficTable, decisions: Int8Array, **more: Any) -> Result:
    """The result of one decision per event of the test split.

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
        raise SubmissionError("a constant policy is perfect on this split, so no score is defined")
    return Result(
        normalized_score=relative,
        f1=metrics.f1,
        reward_per_event=metrics.reward_per_event,
        **{"seed": None, **more},
    )


def of_votes(env: EnvConfig, table: TrafficTable, actions: Int8Array, **more: Any) -> Result:
    """The result of the sensors' votes on the events of the test split, under the plain vote.

    Args:
        env: The environment of the team, with its rule.
        table: The scaled test table.
        actions: Action of every sensor.  # (rows, agents) int8
        **more: Other fields of :class:`Result`.
    """
    decisions = decision_rule(env)(actions)
    rollout = Rollout(
        actions=actions,
        decisions=decisions,
        scores=np.zeros(len(table)),
        rewards=Payoffs(env.reward).of_actions(table.labels, decisions),
        isolated=np.zeros(len(table), np.bool_),
        granted=np.zeros(len(table), np.bool_),
        refused=np.zeros(len(table), np.bool_),
        shielded=np.zeros(len(table), np.bool_),
    )
    worst = worst_with_one(byzantine_metrics(env, table, _no_policy, rollout))
    return of_decisions(env, table, decisions, one_byzantine=worst, **more)


def worst_with_one(byzantine: Iterable[FaultMetrics]) -> float | None:
    """The reward per event under the worst fault of a single sensor."""
    rewards = [one.reward_per_event for one in byzantine if one.faulty == 1]
    return min(rewards, default=None)


def _no_policy(observations: Float32Array) -> tuple[Int8Array, Float64Array]:
    raise SubmissionError(f"the votes on {len(observations)} events are given; there is no policy")

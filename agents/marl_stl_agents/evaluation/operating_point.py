"""Decisions at a threshold on the team's threat score, and the choice of that threshold.

The threat score of an event is the sensors' mean probability of a threat vote. At a threshold the
team decides "threat" where the score reaches it, whatever the vote. The vote tolerates Byzantine
sensors; the score does not: one of them moves it by up to 1/n.
"""

from __future__ import annotations

import numpy as np

from marl_stl_agents.config import EvaluateConfig
from marl_stl_agents.evaluation.metrics import event_rewards, score
from marl_stl_agents.evaluation.result import OperatingPoint
from marl_stl_agents.evaluation.rollouts import Act, Rollout, collect_rollout
from marl_stl_env.config import EnvConfig, RewardConfig
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.reward import Payoffs
from marl_stl_env.errors import ConfigError
from marl_stl_env.types import THREAT_VOTE, Action, BoolArray, Float64Array, Int8Array


def decisions_at(threshold: float, scores: Float64Array, decisions: Int8Array) -> Int8Array:
    """The decisions at a threshold.

    The vote's own action stays where it is of the class that the threshold asks for; elsewhere a
    threat is blocked, and a benign event allowed.

    Args:
        threshold: The least score of a threat.
        scores: The threat score of every event.  # (rows,) float64
        decisions: The decision of the vote.  # (rows,) int8

    Returns:
        The decisions.  # (rows,) int8
    """
    threat = scores >= threshold
    other = np.where(threat, Action.BLOCK, Action.ALLOW).astype(np.int8)
    return np.where(THREAT_VOTE[decisions] == threat, decisions, other)


def best_threshold(
    labels: BoolArray,
    scores: Float64Array,
    decisions: Int8Array,
    reward: RewardConfig,
    table: TrafficTable | None = None,
) -> float:
    """The threshold with the highest mean reward.

    Only cuts between two neighbouring scores differ; the threshold lies halfway between them. Of
    equally good ones it is the highest, which interrupts least.

    Args:
        labels: True labels.  # (rows,) bool
        scores: The threat score of every event.  # (rows,) float64
        decisions: The decision of the vote.  # (rows,) int8
        reward: Reward of each outcome.
        table: The events, which a reward of the user's own needs.

    Returns:
        A number from 0 (every event is a threat) to 1.
    """
    scores = np.minimum(scores, 1.0)  # a mean of float32 probabilities may exceed 1 by a rounding
    payoffs = Payoffs(reward, table=table)
    events = payoffs.events(np.arange(len(labels)), labels)
    as_threat = payoffs.of_actions(events, decisions_at(0.0, scores, decisions))
    as_benign = payoffs.of_actions(events, decisions_at(2.0, scores, decisions))
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    gains = np.cumsum((as_threat - as_benign)[order], dtype=np.float64)
    # After so many of the highest scores a cut is possible: before the next lower one.
    ends = np.flatnonzero(np.append(ranked[:-1] > ranked[1:], True))
    above, below = ranked[ends[:-1]], ranked[ends[:-1] + 1]
    halfway = (above + below) / 2.0
    cuts = np.append(np.where(halfway > below, halfway, above), 0.0)
    totals = gains[ends]
    if ranked[0] < 1.0:  # no event is a threat
        cuts, totals = np.append((ranked[0] + 1.0) / 2.0, cuts), np.append(0.0, totals)
    return float(cuts[int(totals.argmax())])


def operating_point(
    env: EnvConfig, prepared: PreparedData, act: Act, rollout: Rollout, settings: EvaluateConfig
) -> OperatingPoint | None:
    """The team at the threshold that was given, or that is best on the validation split.

    Args:
        env: The environment.
        prepared: Its data.
        act: The policy of every sensor.
        rollout: The team's rollout on the evaluated split.
        settings: Which threshold.

    Returns:
        None where decisions change what comes next (``TrafficResponse-v0``, a shield), or nothing
        was asked for.

    Raises:
        ConfigError: If a threshold was given where decisions change what comes next.
    """
    threshold, known = settings.threshold, rollout
    if env.dynamics != "replay" or env.stl.shield:
        if threshold is not None:
            raise ConfigError(
                f"threshold={threshold:g} with TrafficResponse-v0 or a shield: there decisions "
                "change what comes next, and only the vote is simulated; leave --threshold out"
            )
        return None
    if threshold is None:
        if settings.threshold_on == "off":
            return None
        validation = prepared.tables["validation"]
        if settings.split != "validation":
            known = collect_rollout(env, validation, act)
        threshold = best_threshold(
            validation.labels, known.scores, known.decisions, env.reward, validation
        )
    table = prepared.tables[settings.split]
    decisions = decisions_at(threshold, rollout.scores, rollout.decisions)
    return OperatingPoint(
        threshold,
        "validation" if settings.threshold is None else "given",
        score(
            table.labels,
            decisions,
            env.reward,
            rollout.scores,
            event_rewards(env.reward, table, decisions),
        ),
    )

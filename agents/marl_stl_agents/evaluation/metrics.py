"""Metrics of decisions: confusion counts, rewards, recall of attack families."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marl_stl_agents.evaluation.ranking import average_precision
from marl_stl_agents.evaluation.result import FamilyRecall, Metrics
from marl_stl_env.config import EnvConfig, RewardConfig
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.reward import Payoffs
from marl_stl_env.types import (
    THREAT_VOTE,
    Action,
    BoolArray,
    Float32Array,
    Float64Array,
    Int8Array,
)


def score(
    labels: BoolArray,
    decisions: Int8Array,
    reward: RewardConfig,
    scores: Float64Array | None = None,
    rewards: Float32Array | None = None,
) -> Metrics:
    """The metrics of one decision (or one sensor's action) per event.

    Args:
        labels: True labels.  # (rows,) bool
        decisions: Actions.  # (rows,) int8
        reward: Reward of each outcome.
        scores: Ranks events for ``pr_auc``, larger for "threat".  # (rows,) float64
        rewards: Reward of each event, where it depends on earlier decisions; None computes it
            from the event alone.  # (rows,) float32

    Returns:
        Counts, accuracy, precision, recall, F1 (0 where undefined) and mean reward per event;
        ``pr_auc`` (average precision) where scores are given and there are threats.
    """
    votes = THREAT_VOTE[decisions]
    tp, threats = int(np.count_nonzero(votes & labels)), int(np.count_nonzero(labels))
    fp, fn = int(np.count_nonzero(votes)) - tp, threats - tp
    tn = len(labels) - tp - fp - fn
    if rewards is None:
        rewards = Payoffs(reward).of_actions(labels, decisions)
    return Metrics(
        tp=tp,
        tn=tn,
        fp=fp,
        fn=fn,
        accuracy=(tp + tn) / len(labels),
        precision=_share(tp, tp + fp),
        recall=_share(tp, threats),
        f1=_share(2 * tp, threats + tp + fp),
        reward_per_event=float(rewards.mean(dtype=np.float64)),
        pr_auc=(None if scores is None or not labels.any() else average_precision(labels, scores)),
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def reward_per_event(
    labels: BoolArray,
    decisions: Int8Array,
    reward: RewardConfig,
    table: TrafficTable | None = None,
) -> float:
    """Mean payoff of the decisions; a reward of the user's own needs the table."""
    payoffs = Payoffs(reward, table=table)
    events = payoffs.events(np.arange(len(labels)), labels)
    return float(payoffs.of_actions(events, decisions).mean(dtype=np.float64))


def event_rewards(reward: RewardConfig, table: TrafficTable, decisions: Int8Array) -> Float32Array:
    """What each decision earns, with the run's own reward where it has one.

    Args:
        reward: Reward of each outcome.
        table: The scaled table that was evaluated.
        decisions: Actions.  # (rows,) int8

    Returns:
        Rewards.  # (rows,) float32
    """
    return Payoffs(reward, table=table).of_table(table, decisions)


def family_recall(
    table: TrafficTable, votes: BoolArray, seen: NDArray[np.int16]
) -> dict[str, FamilyRecall]:
    """Recall of each attack family, and whether training had seen it.

    Args:
        table: The table evaluated.
        votes: Whether the team decided "threat".  # (rows,) bool
        seen: Family codes of the training split.

    Returns:
        Family name to its recall, the most frequent family first.
    """
    threats = table.families[table.labels]
    codes, counts = np.unique(threats, return_counts=True)
    known = set(np.unique(seen).tolist())
    return {
        table.family_names[code]: FamilyRecall(
            events=int(count),
            recall=float(votes[table.labels & (table.families == code)].mean()),
            seen_in_train=int(code) in known,
        )
        for code, count in sorted(zip(codes, counts, strict=True), key=lambda item: -item[1])
    }


def action_shares(actions: Int8Array) -> dict[str, float]:
    """Share of each action."""
    counts = np.bincount(actions.ravel(), minlength=len(Action))
    return {action.name: float(counts[action] / actions.size) for action in Action}


def normalized_score(reward: float, best_constant: float, best: float) -> float | None:
    """Where a reward lies between the best constant policy (0) and a reference (1).

    Returns:
        None where the reference is no better than the constant.
    """
    return (reward - best_constant) / (best - best_constant) if best > best_constant else None


def equal_actions(
    config: EnvConfig, table: TrafficTable | None = None
) -> tuple[tuple[str, ...], ...]:
    """Groups of actions that have the same reward on every event, whatever its label.

    In ``TrafficResponse-v0`` actions also change later events, so none are equal. A reward of the
    user's own is looked at on the events of the table.
    """
    if config.dynamics != "replay":
        return ()
    matrix = Payoffs(config.reward, table=table).matrix
    groups: dict[bytes, list[str]] = {}
    for action in Action:
        groups.setdefault(matrix[:, action].tobytes(), []).append(action.name)
    return tuple(tuple(names) for names in groups.values() if len(names) > 1)

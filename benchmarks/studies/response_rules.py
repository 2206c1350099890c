"""Hand-written policies for ``TrafficResponse-v0``: thresholds without and with memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TypeAlias

import numpy as np
from marl_stl_agents.evaluation.containment import containment_metrics
from marl_stl_agents.evaluation.replay import replay
from marl_stl_agents.evaluation.rollouts import Rollout

from marl_stl_env.config import EnvConfig
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.response import CONTEXT
from marl_stl_env.types import Action, Float32Array, Float64Array, Int8Array, IntArray

#: Maps table rows (lanes,) and shared context (lanes, context) to actions (lanes, agents).
Rule: TypeAlias = Callable[[IntArray, Float32Array], Int8Array]

_TRIALS = 60


@dataclass(frozen=True)
class Thresholds:
    """P(threat) from which a sensor takes each action; above 1 is never.

    Attributes:
        alert: Threshold of Alert.
        block: Threshold of Block, which takes precedence over Alert.
        quarantine: Threshold of Quarantine, which takes precedence over both.
        record: Log-odds that are added if an entity's record is 1.
        verdict: Log-odds that a verdict adds or subtracts.
    """

    alert: float
    block: float
    quarantine: float
    record: float = 0.0
    verdict: float = 0.0

    def rule(self, evidence: Float64Array) -> Rule:
        """The rule on this evidence.

        Args:
            evidence: P(threat) on what each sensor sees.  # (rows, agents) float64
        """
        column = {name: number for number, name in enumerate(CONTEXT)}

        def choose(rows: IntArray, told: Float32Array) -> Int8Array:
            seen = evidence[rows].clip(1e-6, 1 - 1e-6)
            verdict = told[:, column["verdict_threat"]] - told[:, column["verdict_benign"]]
            known = self.record * told[:, column["record"]] + self.verdict * verdict
            odds = np.log(seen / (1 - seen)) + known[:, None]
            belief = 1 / (1 + np.exp(-odds))
            actions = np.full(seen.shape, Action.ALLOW, np.int8)
            actions[belief >= self.alert] = Action.ALERT
            actions[belief >= self.block] = Action.BLOCK
            actions[belief >= self.quarantine] = Action.QUARANTINE
            return actions

        return choose


def always(action: Action, agents: int) -> Rule:
    """Every sensor takes the same action on every event."""
    return lambda rows, _: np.full((len(rows), agents), action, np.int8)


def at_random(agents: int) -> Rule:
    """Every sensor takes random actions."""
    rng = np.random.default_rng(0)
    return lambda rows, _: rng.integers(0, len(Action), (len(rows), agents)).astype(np.int8)


def oracle(table: TrafficTable, agents: int, action: Action) -> Rule:
    """Every sensor knows the label and stops threats with this action."""
    answers = np.where(table.labels, np.int8(action), np.int8(Action.ALLOW))
    return lambda rows, _: np.repeat(answers[rows][:, None], agents, axis=1)


def play(config: EnvConfig, table: TrafficTable, rule: Rule) -> Rollout:
    """Rollout of a rule over all events of a table."""
    rows, agents = len(table), config.agents
    rollout = Rollout(
        actions=np.empty((rows, agents), np.int8),
        decisions=np.empty(rows, np.int8),
        scores=np.zeros(rows),
        rewards=np.empty(rows, np.float32),
        isolated=np.empty(rows, np.bool_),
        granted=np.empty(rows, np.bool_),
        refused=np.zeros(rows, np.bool_),
        shielded=np.zeros(rows, np.bool_),
    )

    def choose(engine: Engine) -> Int8Array:
        told = engine.global_state()[:, table.features.shape[1] :]
        return rule(engine.rows, told)

    for record in replay(config, table, choose):
        evaluated = record.rows[record.live]
        rollout.actions[evaluated] = record.actions[record.live]
        rollout.decisions[evaluated] = record.decisions[record.live]
        rollout.rewards[evaluated] = record.decision_rewards[record.live]
        rollout.isolated[evaluated] = record.isolated[record.live]
        rollout.granted[evaluated] = record.granted[record.live]
    return rollout


def tune(
    config: EnvConfig, table: TrafficTable, evidence: Float64Array, memory: bool
) -> tuple[Thresholds, float]:
    """The thresholds with the highest reward on a split.

    Args:
        config: The environment.
        table: The scaled table to tune on.
        evidence: P(threat) on what each sensor sees there.  # (rows, agents) float64
        memory: Whether to use record and verdicts.

    Returns:
        The thresholds and their mean reward per event.
    """
    earned = {
        one: float(play(config, table, one.rule(evidence)).rewards.mean(dtype=np.float64))
        for one in candidates(memory)
    }
    best = max(earned, key=lambda one: earned[one])
    return best, earned[best]


def candidates(memory: bool) -> Iterator[Thresholds]:
    """Settings to try, drawn from a grid."""
    rng = np.random.default_rng(0)
    never = 2.0
    for _ in range(_TRIALS):
        alert = float(rng.choice([never, never, 0.05, 0.1, 0.15, 0.2]))
        block = float(rng.choice([0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, never]))
        quarantine = float(rng.choice([0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, never]))
        record, verdict = float(rng.choice([2, 4, 6])), float(rng.choice([2, 4, 6]))
        yield Thresholds(alert, block, quarantine, *((record, verdict) if memory else ()))


def figures(config: EnvConfig, table: TrafficTable, rollout: Rollout) -> dict[str, float]:
    """Reward and containment as one flat dictionary."""
    found = containment_metrics(config, table, rollout)
    metrics = asdict(found)
    waits = metrics.pop("steps_to_containment")
    return {
        "reward": float(rollout.rewards.mean(dtype=np.float64)),
        **metrics,
        "median_steps": waits["median"],
        "p95_steps": waits["p95"],
    }

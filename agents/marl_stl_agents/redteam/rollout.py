"""Every event of a split once, against an attacker: what the team earned and what it was sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from marl_stl_agents.evaluation.replay import segment_length
from marl_stl_env.adversary.engine import AdversarialEngine, Attack
from marl_stl_env.adversary.policies import Choose, TeamMixture
from marl_stl_env.adversary.table import DisguisedTable
from marl_stl_env.config import AdversaryConfig, EnvConfig
from marl_stl_env.engine.reward import Payoffs
from marl_stl_env.types import (
    THREAT_VOTE,
    Action,
    BoolArray,
    Float32Array,
    Float64Array,
    Int8Array,
    IntArray,
)


@dataclass(frozen=True, eq=False)
class AttackedRollout:
    """Decisions on every event of a split, in the split's order.

    Attributes:
        labels: True labels.  # (events,) bool
        decisions: The team's decisions.  # (events,) int8
        rewards: What they earned.  # (events,) float32
        disguises: The disguise in which each event came, 0 for none.  # (events,) int8
        gains: What each attack earned its attacker, costs included.  # (events,) float32
        costs: What disguise and waiting cost there.  # (events,) float32
        waited: How often an event was made to wait.
    """

    labels: BoolArray
    decisions: Int8Array
    rewards: Float32Array
    disguises: Int8Array
    gains: Float32Array
    costs: Float32Array
    waited: int

    @property
    def stopped(self) -> BoolArray:
        """Whether the team stopped each event.  # (events,) bool."""
        return THREAT_VOTE[self.decisions]


def attacked_rollout(
    config: EnvConfig,
    adversary: AdversaryConfig,
    disguised: DisguisedTable,
    choose: Choose,
    attack: Attack,
    seed: int = 0,
) -> AttackedRollout:
    """Let a team decide on every event once, a segment in every lane.

    Every lane begins one event early, because the first event of a lane is never disguised.

    Args:
        config: The environment, whose faulty sensors are drawn anew for every segment.
        adversary: The attackers.
        disguised: The events.
        choose: The policy of every honest sensor.
        attack: The attackers' policy.
        seed: Seed of the lanes: of what the attackers draw.
    """
    rows = disguised.events
    segment = segment_length(config, rows)
    lanes = -(-rows // segment)
    starts = np.arange(lanes) * segment
    begins, ends = np.maximum(starts - 1, 0), np.minimum(starts + segment, rows)
    engine = AdversarialEngine(config, adversary, disguised, lanes, seed)
    engine.reset()
    engine.place(begins, ends)
    out = _columns(rows)
    waited = _replay(engine, choose, attack, starts, out)
    return AttackedRollout(disguised.table.labels[:rows], waited=waited, **out)


def _columns(rows: int) -> dict[str, Any]:
    kinds = {"decisions": np.int8, "rewards": np.float32, "disguises": np.int8}
    kinds |= {"gains": np.float32, "costs": np.float32}
    return {name: np.zeros(rows, kind) for name, kind in kinds.items()}


def _replay(
    engine: AdversarialEngine,
    choose: Choose,
    attack: Attack,
    starts: IntArray,
    out: dict[str, Any],
) -> int:
    """Step through all segments and write what happened; how often an event had to wait."""
    team, waited = TeamMixture([choose]), 0
    steps = 1 + int((engine.get_state()["ends"] - starts).max())
    for _ in range(steps * (1 + engine.config.deliberation)):
        positions = engine.get_state()["positions"]
        record = engine.step(team(engine), attack(engine))
        sent = engine.last_attack
        if sent is None:
            break
        waited += int(sent.waited.sum())
        here = record.live & record.voting & (positions >= starts)
        events = sent.events[here]
        out["decisions"][events] = record.decisions[here]
        out["rewards"][events] = record.decision_rewards[here]
        out["disguises"][events] = sent.disguises[here]
        owned = np.maximum(sent.owners, 0).astype(np.int64)
        lane = np.arange(engine.lanes)
        out["gains"][events] = sent.rewards[lane, owned][here]
        out["costs"][events] = sent.costs[lane, owned][here]
        if record.truncated.all():
            break
    return waited


def normalized(config: EnvConfig, labels: BoolArray, reward: float) -> float:
    """Where a mean reward lies between the best constant decision (0) and the right ones (1)."""
    payoffs = Payoffs(config.reward, dynamics="replay")

    def mean(actions: Int8Array) -> float:
        return float(payoffs.of_actions(labels, actions).mean(dtype=np.float64))

    constant = max(mean(np.full(len(labels), a, np.int8)) for a in (Action.ALLOW, Action.BLOCK))
    oracle = mean(np.where(labels, np.int8(Action.BLOCK), np.int8(Action.ALLOW)))
    return (reward - constant) / (oracle - constant)


def mean(values: Float32Array | Float64Array) -> float:
    """The mean, 0 of nothing."""
    return float(values.mean(dtype=np.float64)) if len(values) else 0.0

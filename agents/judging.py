"""Let a team judge every event of a table exactly once, through the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy

from marl_stl_env.config import EnvConfig
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.types import THREAT_VOTE, BoolArray, Float32Array, Float64Array, Int8Array

#: Maps observations (batch, width) to actions (batch,) and threat probabilities (batch,).
Act: TypeAlias = Callable[[Float32Array], tuple[Int8Array, Float64Array]]

_LANES = 256


@dataclass(frozen=True)
class Judgement:
    """What a team said and decided on every event of a table, in the table's order.

    Attributes:
        actions: What the sensors said.  # (rows, agents) int8
        decisions: What the team decided.  # (rows,) int8
        scores: The sensors' mean probability of a threat vote.  # (rows,) float64
    """

    actions: Int8Array
    decisions: Int8Array
    scores: Float64Array

    @property
    def votes(self) -> BoolArray:
        """Whether each sensor voted "threat".  # (rows, agents) bool."""
        return THREAT_VOTE[self.actions]

    @property
    def decision_votes(self) -> BoolArray:
        """Whether the team decided "threat".  # (rows,) bool."""
        return THREAT_VOTE[self.decisions]


def judge(config: EnvConfig, table: TrafficTable, act: Act) -> Judgement:
    """Replay the whole table once, a stretch of it in every lane.

    Args:
        config: The environment; episodes are replaced by the stretches, so each stretch has faulty
            sensors of its own.
        table: The scaled table of the split to judge on.
        act: The policy of every honest sensor.
    """
    rows, agents = len(table), config.agents
    stretch = -(-rows // _LANES)
    starts = np.minimum(np.arange(_LANES) * stretch, rows)
    engine = Engine(config, table, _LANES, seeds=0)
    engine.reset()
    engine.place(starts, np.minimum(starts + stretch, rows))
    actions = np.empty((rows, agents), dtype=np.int8)
    decisions = np.empty(rows, dtype=np.int8)
    scores = np.empty(rows, dtype=np.float64)
    for _ in range(stretch * (1 + config.deliberation)):
        chosen, threat = act(engine.observe().reshape(_LANES * agents, -1))
        record = engine.step(chosen.reshape(_LANES, agents))
        live = record.live & record.voting
        judged = record.rows[live]
        actions[judged] = record.actions[live]
        decisions[judged] = record.decisions[live]
        scores[judged] = threat.reshape(_LANES, agents).mean(axis=1)[live]
    return Judgement(actions, decisions, scores)


def greedy(policy: ActorCriticPolicy) -> Act:
    """The most probable action of a trained policy."""
    threat = torch.from_numpy(THREAT_VOTE).to(policy.device)

    def act(observations: Float32Array) -> tuple[Int8Array, Float64Array]:
        with torch.no_grad():
            batch = torch.from_numpy(observations).to(policy.device)
            distribution = policy.get_distribution(batch).distribution
            if not isinstance(distribution, torch.distributions.Categorical):
                raise TypeError(f"a policy over actions is categorical, not {distribution!r}")
            probabilities: torch.Tensor = distribution.probs
        return (
            probabilities.argmax(dim=1).to(torch.int8).cpu().numpy(),
            probabilities[:, threat].sum(dim=1).double().cpu().numpy(),
        )

    return act

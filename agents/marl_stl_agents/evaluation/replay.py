"""Let a team evaluate every event of a table exactly once, a segment of it in every lane."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from marl_stl_env.config import EnvConfig
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.state import StepRecord
from marl_stl_env.types import Float32Array, Int8Array

_LANES = 256


def segment_length(config: EnvConfig, rows: int) -> int:
    """Events of each lane's segment; row i of the table is event ``i % length`` of one of them."""
    segment = -(-rows // _LANES)
    remembers = config.dynamics == "response" or config.stl.shield
    if remembers or config.consensus.weights == "reliability":
        segment = max(segment, min(config.episode_length, rows))
    return segment


def replay(
    config: EnvConfig, table: TrafficTable, choose: Callable[[Engine], Int8Array]
) -> Iterator[StepRecord]:
    """Step through the whole table.

    Episodes are replaced by the segments, so each segment has faulty sensors of its own.
    WithFeedback votes and a response begin at nothing in each segment; with them segments are as
    long as episodes.

    Args:
        config: The environment.
        table: The scaled table to evaluate.
        choose: The actions of the engine's sensors on their current events.
            # (lanes, agents) int8

    Yields:
        Every step.
    """
    rows = len(table)
    segment = segment_length(config, rows)
    lanes = -(-rows // segment)
    starts = np.arange(lanes) * segment
    engine = Engine(config, table, lanes, seeds=0)
    engine.reset()
    engine.place(starts, np.minimum(starts + segment, rows))
    for _ in range(segment * (1 + config.deliberation)):
        yield engine.step(choose(engine))


@dataclass(frozen=True)
class Trajectory:
    """Decision and reward of every event of a table, in the table's order.

    Attributes:
        decisions: The decision that was carried out.  # (rows,) int8
        rewards: Reward of each decision.  # (rows,) float32
    """

    decisions: Int8Array
    rewards: Float32Array


def trajectory_of(config: EnvConfig, table: TrafficTable, actions: Int8Array) -> Trajectory:
    """Decisions and rewards of a team whose honest sensors take the given actions.

    Args:
        config: The environment, without deliberation.
        table: The scaled table to evaluate.
        actions: The action of each sensor on each event.  # (rows, agents) int8
    """
    decisions = np.empty(len(table), dtype=np.int8)
    rewards = np.empty(len(table), dtype=np.float32)
    for record in replay(config, table, lambda engine: actions[engine.rows]):
        decisions[record.rows[record.live]] = record.decisions[record.live]
        rewards[record.rows[record.live]] = record.decision_rewards[record.live]
    return Trajectory(decisions, rewards)

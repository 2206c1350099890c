"""Let a team judge every event of a table exactly once, a stretch of it in every lane."""

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


def stretch_length(config: EnvConfig, rows: int) -> int:
    """Events of each lane's stretch; row i of the table is event ``i % length`` of one of them."""
    stretch = -(-rows // _LANES)
    if config.consensus.weights == "audited" or config.dynamics == "response":
        stretch = max(stretch, min(config.episode_length, rows))
    return stretch


def replay(
    config: EnvConfig, table: TrafficTable, choose: Callable[[Engine], Int8Array]
) -> Iterator[StepRecord]:
    """Step through the whole table.

    Episodes are replaced by the stretches, so each stretch has faulty sensors of its own. Audited
    votes and a response begin at nothing in each stretch; with them stretches are as long as
    episodes.

    Args:
        config: The environment.
        table: The scaled table to judge.
        choose: The actions of the engine's sensors on their current events.
            # (lanes, agents) int8

    Yields:
        Every step.
    """
    rows = len(table)
    stretch = stretch_length(config, rows)
    lanes = -(-rows // stretch)
    starts = np.arange(lanes) * stretch
    engine = Engine(config, table, lanes, seeds=0)
    engine.reset()
    engine.place(starts, np.minimum(starts + stretch, rows))
    for _ in range(stretch * (1 + config.deliberation)):
        yield engine.step(choose(engine))


@dataclass(frozen=True)
class Course:
    """What became of every event of a table, in the table's order.

    Attributes:
        decisions: What was carried out.  # (rows,) int8
        rewards: What the decisions earned.  # (rows,) float32
    """

    decisions: Int8Array
    rewards: Float32Array


def course_of(config: EnvConfig, table: TrafficTable, actions: Int8Array) -> Course:
    """What becomes of a team whose sensors, where honest, say what is given.

    Args:
        config: The environment, without deliberation.
        table: The scaled table to judge.
        actions: What each sensor says on each event.  # (rows, agents) int8
    """
    decisions = np.empty(len(table), dtype=np.int8)
    rewards = np.empty(len(table), dtype=np.float32)
    for record in replay(config, table, lambda engine: actions[engine.rows]):
        decisions[record.rows[record.live]] = record.decisions[record.live]
        rewards[record.rows[record.live]] = record.decision_rewards[record.live]
    return Course(decisions, rewards)

"""One step of all lanes, as the signals need it."""

from __future__ import annotations

from typing import NamedTuple

from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.response import Outcome
from marl_stl_env.types import BoolArray, Float32Array, Int8Array, IntArray


class StepContext(NamedTuple):
    """One step of all lanes, as the signals need it.

    Attributes:
        steps: Number of the step in its episode.  # (lanes,) int64
        labels: True labels.  # (lanes,) bool
        decisions: What was carried out.  # (lanes,) int8
        rewards: What the decision earned.  # (lanes,) float32
        outcome: What the response brought; nothing in a replay.
        rows: Row of ``table`` that was decided on.  # (lanes,) int64
        actions: What the sensors chose, as agreed on, -1 for silence.  # (lanes, agents) int8
        faulty: Which sensors were faulty.  # (lanes, agents) bool
        table: The scaled table: families, entities, times, features of all events.
    """

    steps: IntArray
    labels: BoolArray
    decisions: Int8Array
    rewards: Float32Array
    outcome: Outcome
    rows: IntArray
    actions: Int8Array
    faulty: BoolArray
    table: TrafficTable

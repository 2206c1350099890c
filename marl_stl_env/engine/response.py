"""What actions change in ``TrafficResponse-v0``: quarantines last, and alerts buy verdicts.

While an entity is isolated its events are contained whatever the sensors vote. No event is ever
taken out of the stream, so that rewards stay comparable and nobody can farm threats by letting
attacks go on.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from marl_stl_env.arrays import NUMPY, Arrays
from marl_stl_env.config import EnvConfig
from marl_stl_env.config.response import PRESENCE
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.entity_memory import LONG_AGO, NEVER, UNKNOWN, Current, EntityMemory
from marl_stl_env.engine.state import LaneState
from marl_stl_env.errors import TableError
from marl_stl_env.stl.shield import Situation
from marl_stl_env.stl.shield_rules import Effects
from marl_stl_env.types import (
    THREAT_VOTE,
    BoolArray,
    Float32Array,
    Int8Array,
    Int32Array,
    IntArray,
    unchanging,
)

#: The shared columns of the current event's entity and of the analyst, each in [0, 1].
CONTEXT = (
    "isolated",
    "isolation_left",
    "verdict_threat",
    "verdict_benign",
    "analysed",
    "budget",
    "record",
)
#: What the newest decision weighs in an entity's record.
_NEWEST = 0.25


class Outcome(NamedTuple):
    """What a decision did beyond its payoff.

    Attributes:
        isolated: Whether the event was contained because its entity was isolated.  # (lanes,) bool
        granted: Whether an alert got an analyst.  # (lanes,) bool
        refused: Whether an alert came above the budget.  # (lanes,) bool
        requarantined: Whether a benign event's entity went back into quarantine; the steps since
            its last one, or -1.  # (lanes,) int32
        age: At a threat that passed: steps since the first of its entity's threats of which none
            was stopped since; else 0.  # (lanes,) int32
        present: Entities met in the last 64 steps.  # (lanes,) int32
    """

    isolated: BoolArray
    granted: BoolArray
    refused: BoolArray
    requarantined: Int32Array
    age: Int32Array
    present: Int32Array

    @classmethod
    def nothing(cls, lanes: int, arrays: Arrays = NUMPY) -> Outcome:
        """What decisions do in a replay, where nothing persists."""
        no, zero = np.zeros(lanes, np.bool_), np.zeros(lanes, np.int32)
        blank = (no, no, no, zero + NEVER, zero, zero)
        return cls(*(arrays.asarray(unchanging(array)) for array in blank))


class ResponseDynamics(EntityMemory):
    """The response of many lanes.

    Args:
        config: The environment.
        table: The scaled table of one split.
        order: Table row at each place of the replay.  # (rows + 1,) int64
        lanes: Independent copies of the stream.
        arrays: The array library and device.

    Raises:
        TableError: If the table names no entities.
    """

    def __init__(
        self,
        config: EnvConfig,
        table: TrafficTable,
        order: IntArray,
        lanes: int,
        arrays: Arrays = NUMPY,
    ) -> None:
        if table.entities is None:
            raise TableError(
                f"dynamics='response' isolates entities, but {table.name!r} names none; use "
                "dynamics='replay', a data set with hosts (synthetic, ctu-13, unsw-nb15-raw, "
                "cic-ids2017 flow files), or a custom table with entity=COLUMN"
            )
        self._settings = settings = config.response
        entities, longest = table.entities[order], config.episode_length
        super().__init__(entities, settings.alert_window, longest, lanes, arrays)

        def number(value: float, kind: type[np.generic] = np.int32) -> Any:
            return arrays.asarray(np.array(value, kind))

        self._length, self._delay, self._shown_for = (
            number(setting)
            for setting in (
                settings.quarantine_length,
                settings.alert_delay,
                settings.verdict_length,
            )
        )
        self._budget = number(settings.alert_budget, np.int64)
        # What is left of the budget, by the alerts that were granted.
        most = max(settings.alert_budget, 1)
        left = (most - np.arange(settings.alert_window + 1)) / most
        self._left: Float32Array = arrays.asarray(left.astype(np.float32))
        self._lasting = number(1 + settings.quarantine_length)
        self._never, self._long_ago = number(NEVER), number(LONG_AGO)
        self._benign, self._threat, self._unknown = (
            number(verdict, np.int8) for verdict in (0, 1, UNKNOWN)
        )
        self._newest = number(_NEWEST, np.float32)
        self._last_turn = number(PRESENCE - 1, np.int64)
        self._first_met = arrays.asarray(np.arange(lanes) * PRESENCE)
        self._nowhere = arrays.asarray(np.full(lanes, -1))
        self._nothing = Outcome.nothing(lanes, arrays)

    def step(
        self,
        state: LaneState,
        labels: BoolArray,
        decisions: Int8Array,
        effects: Effects,
        known: BoolArray | None = None,
    ) -> Outcome:
        """Carry the decisions out.

        Args:
            state: Where every lane stands, before it moves on.
            labels: True labels of the current events.  # (lanes,) bool
            decisions: What the teams decided.  # (lanes,) int8
            effects: What these decisions begin.
            known: Events of which an analyst finds out the label; None for all.  # (lanes,) bool
        """
        arrays, now = self._arrays, self._current(state)
        self._current_of = None  # the lanes move on
        voted = arrays.constant(THREAT_VOTE)[arrays.cast(decisions, np.int64)]
        age = self._age(now, labels, now.isolated | voted, effects)
        requarantined = self._isolate(now, labels, effects.quarantines)
        granted, refused = self._alert(now, labels, known, effects)
        record = now.record
        newest = self._newest * (arrays.cast(voted, np.float32) - record)
        arrays.replace(record, effects.free, record + newest)
        self._memory.record[now.at] = record
        present = self._met(now, effects)
        return Outcome(now.isolated, granted, refused, requarantined, age, present)

    def stand_still(self, state: LaneState) -> Outcome:
        """What a round does in which no lane acts."""
        return self._nothing._replace(isolated=self._current(state).isolated)

    def _only(self, mask: BoolArray, places: IntArray) -> IntArray:
        """The places to write to where the mask holds; elsewhere the spare one, the last."""
        chosen: IntArray = self._arrays.copy(self._nowhere)
        self._arrays.replace(chosen, mask, places)
        return chosen

    def _isolate(self, now: Current, labels: BoolArray, starts: BoolArray) -> Int32Array:
        """Begin quarantines; steps since the last one of a benign event's entity, or -1."""
        arrays = self._arrays
        requarantined = self._nothing.requarantined
        if not arrays.surely_none(starts):
            arrays.replace(now.until, starts, now.steps + self._lasting)
            self._memory.isolated_until[now.at] = now.until
            # Where there was none, the last one ended before the first step.
            again = (starts > labels) & (now.freed < now.steps)
            requarantined = arrays.copy(requarantined)
            arrays.replace(requarantined, again, now.freed)
        return requarantined

    def _alert(
        self, now: Current, labels: BoolArray, known: BoolArray | None, effects: Effects
    ) -> tuple[BoolArray, BoolArray]:
        """Call the analyst; one who is at work on the entity, or was lately, needs no call."""
        memory, arrays, alerts = self._memory, self._arrays, effects.alerts
        if arrays.surely_none(alerts | now.leaving):
            return self._nothing.granted, self._nothing.refused
        wanted = alerts & (now.known >= self._shown_for)
        granted = wanted & (now.spent < self._budget)
        spent = now.spent + arrays.cast(granted, np.int64)
        memory.spent = effects.keep(memory.spent, spent, arrays)
        memory.granted[now.turn] = effects.keep(now.leaving, granted, arrays)
        if not arrays.surely_none(granted):
            at = self._only(granted, now.at)
            memory.verdict_from[at] = now.steps + self._delay
            found = labels if known is None else arrays.where(known, labels * 1, UNKNOWN)
            memory.verdict[at] = arrays.cast(found, np.int8)
        return granted, wanted > granted

    def _age(
        self, now: Current, labels: BoolArray, stopped: BoolArray, effects: Effects
    ) -> Int32Array:
        arrays, memory, age = self._arrays, self._memory, self._nothing.age
        passes, ends = effects.among(labels > stopped), effects.among(stopped)
        since = memory.passing_since[now.at]
        if not arrays.surely_none(passes):
            arrays.replace(since, passes & (since == self._long_ago), now.steps)
            age = (now.steps - since) * passes
        arrays.replace(since, ends, self._long_ago)
        memory.passing_since[now.at] = since
        return age

    def _met(self, now: Current, effects: Effects) -> Int32Array:
        """Meet the current events' entities, and count those met lately."""
        memory, arrays = self._memory, self._arrays
        at, turn = now.at, self._first_met + (now.since_start & self._last_turn)
        present = arrays.cast(arrays.count_bits(now.present), np.int32)
        memory.present = effects.keep(memory.present, present, arrays)
        self._seen = effects.keep(self._seen, now.present << self._one, arrays)
        if not effects.everywhere:
            at, turn = self._only(effects.acting, at), self._only(effects.acting, turn)
        memory.last_met[at] = now.steps
        memory.recent[turn] = now.slots
        met: Int32Array = arrays.copy(memory.present)  # the memory's own is written over
        return met

    def learn(self, step: int, slot: int, threat: bool) -> None:
        """Give the first lane the verdict on an alert that was granted some steps ago.

        It is lost where the alert was not granted, or a later one was.

        Args:
            step: The step of the alert.
            slot: The slot of its entity.
            threat: The verdict.
        """
        self._current_of = None
        if self._memory.verdict_from[slot] == step + self._settings.alert_delay:
            self._memory.verdict[slot] = threat

    def context(self, state: LaneState) -> Float32Array:
        """The shared columns, in the order of :data:`CONTEXT`.

        Returns:
            Values in [0, 1].  # (lanes, context) float32
        """
        memory, arrays, now = self._memory, self._arrays, self._current(state)
        shared: Float32Array = arrays.zeros(self._lanes, len(CONTEXT))
        if not arrays.surely_none(now.isolated):
            shared[:, 0] = now.isolated
            shared[:, 1] = arrays.maximum(-now.freed, self._zero) / self._length
        known = now.known < self._shown_for
        if not arrays.surely_none(known):
            awaited, verdict = now.known < self._zero, memory.verdict[now.at]
            arrays.replace(verdict, awaited >= known, self._unknown)  # awaited or not known
            shared[:, 2] = verdict == self._threat
            shared[:, 3] = verdict == self._benign
            shared[:, 4] = awaited
        shared[:, 5] = self._left[now.spent]
        shared[:, 6] = now.record
        return shared

    def situation(self, state: LaneState) -> Situation:
        """What a shield must know of the current events."""
        now = self._current(state)
        return Situation(now.since_start, now.isolated, now.freed, now.present)

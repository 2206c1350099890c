"""What actions change in ``TrafficResponse-v0``: quarantines last, and alerts buy verdicts.

While an entity is isolated its events are contained whatever the sensors vote. No event is ever
taken out of the stream, so that rewards stay comparable and nobody can farm threats by letting
attacks go on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from marl_stl_env.arrays import NUMPY, Arrays
from marl_stl_env.config import EnvConfig
from marl_stl_env.config.response import PRESENCE
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.entity_memory import NEVER, UNKNOWN, Current, EntityMemory
from marl_stl_env.engine.state import LaneState
from marl_stl_env.errors import TableError
from marl_stl_env.stl.shield import Situation
from marl_stl_env.types import (
    THREAT_VOTE,
    Action,
    BoolArray,
    Float32Array,
    Int8Array,
    Int32Array,
    IntArray,
)

_QUARANTINE, _ALERT = int(Action.QUARANTINE), int(Action.ALERT)

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
        return cls(*(arrays.asarray(array) for array in (no, no, no, zero + NEVER, zero, zero)))


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
        # Arrays of no dimension: numpy converts a number of Python's anew in every operation.
        self._never, self._presence, self._lasting, self._delay, self._known_for = (
            arrays.asarray(np.array(number, np.int32))
            for number in (
                NEVER,
                PRESENCE,
                1 + settings.quarantine_length,
                settings.alert_delay,
                settings.verdict_length,
            )
        )
        self._every = arrays.asarray(np.array(PRESENCE))
        self._quarantines, self._alerts = (
            arrays.asarray(np.array(action, np.int8)) for action in (_QUARANTINE, _ALERT)
        )
        self._nothing = Outcome.nothing(lanes, arrays)
        self._first_met = arrays.asarray(np.arange(lanes) * PRESENCE)

    def step(
        self,
        state: LaneState,
        labels: BoolArray,
        decisions: Int8Array,
        acting: BoolArray,
        known: BoolArray | None = None,
    ) -> Outcome:
        """Carry the decisions out.

        Args:
            state: Where every lane stands, before it moves on.
            labels: True labels of the current events.  # (lanes,) bool
            decisions: What the teams decided.  # (lanes,) int8
            acting: Lanes that vote on a running episode.  # (lanes,) bool
            known: Events of which an analyst finds out the label; None for all.  # (lanes,) bool
        """
        arrays, now = self._arrays, self._current(state)
        self._known = None  # the lanes move on
        steps, until = now.steps, now.until
        isolated = until > steps
        free = acting > isolated  # and not
        voted = arrays.take(arrays.constant(THREAT_VOTE), arrays.cast(decisions, np.int64))
        age = self._age(now, labels, isolated | voted, acting)
        requarantined = self._isolate(now, labels, free & (decisions == self._quarantines))
        granted, refused = self._alert(
            now, free & (decisions == self._alerts), labels, known, acting
        )
        newest = _NEWEST * (arrays.cast(voted, np.float32) - now.record)
        arrays.replace(now.record, free, now.record + newest)
        arrays.put(self._flat.record, now.at, now.record)
        present = self._met(now, acting)
        return Outcome(isolated, granted, refused, requarantined, age, present)

    def _isolate(self, now: Current, labels: BoolArray, starts: BoolArray) -> Int32Array:
        """Begin quarantines; steps since the last one of a benign event's entity, or -1."""
        arrays, steps, until = self._arrays, now.steps, now.until
        if arrays.surely_none(starts):
            return self._nothing.requarantined
        again = (starts > labels) & (until != self._never)
        requarantined: Int32Array = arrays.where(again, steps - until, self._never)
        arrays.replace(until, starts, steps + self._lasting)
        arrays.put(self._flat.isolated_until, now.at, until)
        return requarantined

    def _alert(
        self,
        now: Current,
        alerts: BoolArray,
        labels: BoolArray,
        known: BoolArray | None,
        acting: BoolArray,
    ) -> tuple[BoolArray, BoolArray]:
        """Call the analyst; one who is at work on the entity, or was lately, needs no call."""
        memory, flat, arrays, due = self._memory, self._flat, self._arrays, now.due
        turn, before = now.turn, arrays.take(flat.granted, now.turn)
        leaving, staying = acting & before, before > acting
        if not arrays.surely_none(leaving):
            memory.spent -= arrays.cast(leaving, np.int32)
        if arrays.surely_none(alerts):
            arrays.put(flat.granted, turn, staying)
            return self._nothing.granted, self._nothing.refused
        over = (due == self._never) | (now.steps >= due + self._known_for)
        wanted = alerts & over
        granted = wanted & (memory.spent < self._settings.alert_budget)
        memory.spent += arrays.cast(granted, np.int32)
        arrays.put(flat.granted, turn, granted | staying)
        arrays.replace(due, granted, now.steps + self._delay)
        arrays.put(flat.verdict_from, now.at, due)
        verdict = arrays.take(flat.verdict, now.at)
        found = labels if known is None else arrays.where(known, labels * 1, UNKNOWN)
        arrays.replace(verdict, granted, arrays.cast(found, np.int8))
        arrays.put(flat.verdict, now.at, verdict)
        return granted, wanted > granted

    def _age(
        self, now: Current, labels: BoolArray, stopped: BoolArray, acting: BoolArray
    ) -> Int32Array:
        arrays, since = self._arrays, self._arrays.take(self._flat.passing_since, now.at)
        passes, age = (acting & labels) > stopped, self._nothing.age
        if not arrays.surely_none(passes):
            arrays.replace(since, passes & (since == self._never), now.steps)
            age = (now.steps - since) * passes
        arrays.replace(since, acting & stopped, self._never)
        arrays.put(self._flat.passing_since, now.at, since)
        return age

    def _met(self, now: Current, acting: BoolArray) -> Int32Array:
        """Count the entities met lately: this one, less those last met just too long ago."""
        memory, flat, arrays, last = self._memory, self._flat, self._arrays, now.last
        gone = now.steps - self._presence
        new = acting & (last <= arrays.maximum(gone, self._never))
        arrays.replace(last, acting, now.steps)
        arrays.put(flat.last_met, now.at, last)
        turn = self._first_met + now.since_start % self._every
        recent = arrays.take(flat.recent, turn)
        met_then = arrays.take(flat.last_met, self._first_slot + recent)
        old = acting & (met_then == gone) & (gone > self._never)
        arrays.replace(recent, acting, arrays.cast(now.slots, np.int32))
        arrays.put(flat.recent, turn, recent)
        memory.present += arrays.cast(new, np.int32) - arrays.cast(old, np.int32)
        present: Int32Array = arrays.copy(memory.present)
        return present

    def learn(self, step: int, slot: int, threat: bool) -> None:
        """Give the first lane the verdict on an alert that was granted some steps ago.

        It is lost where the alert was not granted, or a later one was.

        Args:
            step: The step of the alert.
            slot: The slot of its entity.
            threat: The verdict.
        """
        self._known = None
        if self._memory.verdict_from[0, slot] == step + self._settings.alert_delay:
            self._memory.verdict[0, slot] = threat

    def context(self, state: LaneState) -> Float32Array:
        """The shared columns, in the order of :data:`CONTEXT`.

        Returns:
            Values in [0, 1].  # (lanes, context) float32
        """
        memory, settings, arrays = self._memory, self._settings, self._arrays
        now = self._current(state)
        steps, due = now.steps, now.due
        shared: Float32Array = arrays.zeros(self._lanes, len(CONTEXT))
        left = now.until - steps
        isolated = left > 0
        shared[:, 0], shared[:, 1] = isolated, left * isolated / settings.quarantine_length
        known = (due != self._never) & (steps < due + self._known_for)
        if not arrays.surely_none(known):
            shown, verdict = known & (steps >= due), arrays.take(self._flat.verdict, now.at)
            shared[:, 2], shared[:, 3] = shown & (verdict == 1), shown & (verdict == 0)
            shared[:, 4] = known > shown
        # The place of this step still holds the call that now leaves the window.
        leaving = arrays.take(self._flat.granted, now.turn)
        budget = max(settings.alert_budget, 1)
        spent = memory.spent - arrays.cast(leaving, np.int32)
        shared[:, 5] = (budget - spent) / budget
        shared[:, 6] = now.record
        return shared

    def situation(self, state: LaneState) -> Situation:
        """What a shield must know of the current events."""
        arrays, now, never = self._arrays, self._current(state), self._never
        steps, until, last = now.steps, now.until, now.last
        freed = arrays.maximum(steps - until, never)  # what lasts ends in the future
        arrays.replace(freed, until == never, never)
        met = steps - last
        arrays.replace(met, last == never, never)
        return Situation(now.since_start, until > steps, freed, met)

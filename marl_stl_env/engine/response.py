"""What actions change in ``TrafficResponse-v0``: quarantines last, and alerts buy verdicts.

While an entity is isolated its events are contained whatever the sensors vote. No event is ever
taken out of the stream, so that rewards stay comparable and nobody can farm threats by letting
attacks go on.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from marl_stl_env.arrays import NUMPY, Arrays
from marl_stl_env.config import EnvConfig
from marl_stl_env.config.response import PRESENCE
from marl_stl_env.data.entities import EntitySlots, entity_slots
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.state import LaneState, is_threat_vote
from marl_stl_env.errors import StateError, TableError
from marl_stl_env.stl.shield import Situation
from marl_stl_env.types import (
    Action,
    AnyArray,
    BoolArray,
    Float32Array,
    Int8Array,
    Int32Array,
    IntArray,
)

_QUARANTINE, _ALERT = int(Action.QUARANTINE), int(Action.ALERT)
_NEVER = _UNKNOWN = -1

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
        return cls(*(arrays.asarray(array) for array in (no, no, no, zero + _NEVER, zero, zero)))


@dataclass
class _Memory:
    """What a lane remembers; times are its steps, -1 is never."""

    isolated_until: Int32Array  # (lanes, slots)
    verdict_from: Int32Array  # (lanes, slots)
    verdict: Int8Array  # (lanes, slots), 1 for a threat, 0 for benign, -1 for unknown
    passing_since: Int32Array  # (lanes, slots)
    last_met: Int32Array  # (lanes, slots)
    record: Float32Array  # (lanes, slots), in [0, 1]
    granted: BoolArray  # (lanes, alert_window), by step modulo the window
    recent: Int32Array  # (lanes, PRESENCE), slots of the last events, by step modulo PRESENCE
    spent: Int32Array  # (lanes,), alerts granted within the window
    present: Int32Array  # (lanes,), entities met lately

    @classmethod
    def empty(cls, lanes: int, slots: int, window: int, arrays: Arrays = NUMPY) -> _Memory:
        def never() -> Int32Array:
            return np.full((lanes, slots), _NEVER, np.int32)

        def zeros() -> Int32Array:
            return np.zeros(lanes, np.int32)

        record = np.zeros((lanes, slots), np.float32)
        verdict = np.full((lanes, slots), _UNKNOWN, np.int8)
        granted = np.zeros((lanes, window), np.bool_)
        recent = np.zeros((lanes, PRESENCE), np.int32)
        lasting = (never(), never(), verdict, never(), never(), record)
        blank = (*lasting, granted, recent, zeros(), zeros())
        return cls(*(arrays.asarray(array) for array in blank))


_BLANK = _Memory.empty(1, 1, 1)


class ResponseDynamics:
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
        self._settings, self._lanes, self._arrays = config.response, lanes, arrays
        self._entities = table.entities[order]
        self._number = arrays.asarray(np.arange(lanes))
        self._provide(config.episode_length)

    def _provide(self, window: int) -> None:
        """Make room for segments of this length, and forget everything."""
        self._use(entity_slots(self._entities, window))
        self._blank()

    def _use(self, slots: EntitySlots) -> None:
        self._slots, self._slot_of = slots, self._arrays.asarray(slots.slots)

    def _blank(self) -> None:
        """Remember nothing, in a new memory."""
        count, window = self._slots.count, self._settings.alert_window
        self._memory = _Memory.empty(self._lanes, count, window, self._arrays)

    def reset(self, mask: BoolArray) -> None:
        """Forget what was known in the masked lanes.  # (lanes,) bool."""
        for item in fields(_Memory):
            blank = getattr(_BLANK, item.name).flat[0].item()
            self._arrays.fill(getattr(self._memory, item.name), mask, blank)

    def place(self, longest: int) -> None:
        """Forget everything, and make room for segments of this length."""
        if longest > self._slots.window:
            self._provide(longest)
        else:
            self._blank()

    def follow(self, slots: EntitySlots, new: IntArray) -> None:
        """Go on with other events; what is remembered of their entities stays.

        Args:
            slots: The slot of the entity of every event; as many slots in every call.
            new: Slots that pass on to other entities, not met before these events.
                # (new,) int64
        """
        grown = slots.count != self._slots.count
        self._use(slots)
        if grown:
            self._blank()
        for item in fields(_Memory):
            array = getattr(self._memory, item.name)
            if array.shape == (self._lanes, slots.count):
                array[:, new] = getattr(_BLANK, item.name).flat[0].item()

    def step(
        self,
        state: LaneState,
        labels: BoolArray,
        decisions: Int8Array,
        known: BoolArray | None = None,
    ) -> Outcome:
        """Carry the decisions out, in the lanes that vote on a running episode.

        Args:
            state: Where every lane stands, before it moves on.
            labels: True labels of the current events.  # (lanes,) bool
            decisions: What the teams decided.  # (lanes,) int8
            known: Events of which an analyst finds out the label; None for all.  # (lanes,) bool
        """
        memory, settings, arrays = self._memory, self._settings, self._arrays
        at = (self._number, self._here(state))
        steps = arrays.cast(state.positions - state.starts, np.int32)
        acting = (state.positions < state.ends) & state.voting
        until = memory.isolated_until[at]
        isolated = until > steps
        free = acting & ~isolated

        starts = free & (decisions == _QUARANTINE)
        again = starts & ~labels & (until != _NEVER)
        requarantined = arrays.where(again, steps - until, _NEVER)
        lasting = steps + 1 + settings.quarantine_length
        arrays.put(memory.isolated_until, at, arrays.where(starts, lasting, until))
        found = labels if known is None else arrays.where(known, labels * 1, _UNKNOWN)
        granted, refused = self._alert(at, steps, free & (decisions == _ALERT), found, acting)
        voted = is_threat_vote(decisions)
        age = self._age(at, steps, labels, isolated | voted, acting)
        record = memory.record[at]
        newest = _NEWEST * (arrays.cast(voted, np.float32) - record)
        arrays.put(memory.record, at, arrays.where(free, record + newest, record))
        present = self._met(at, steps, acting)
        return Outcome(isolated, granted, refused, requarantined, age, present)

    def _alert(
        self,
        at: tuple[IntArray, IntArray],
        steps: Int32Array,
        alerts: BoolArray,
        found: AnyArray,
        acting: BoolArray,
    ) -> tuple[BoolArray, BoolArray]:
        """Call the analyst; one who is at work on the entity, or was lately, needs no call."""
        memory, settings, arrays = self._memory, self._settings, self._arrays
        due = memory.verdict_from[at]
        wanted = alerts & ~((due != _NEVER) & (steps < due + settings.verdict_length))
        turn = (self._number, steps % settings.alert_window)
        before = memory.granted[turn]
        memory.spent -= (acting & before) * 1
        granted = wanted & (memory.spent < settings.alert_budget)
        memory.spent += granted
        arrays.put(memory.granted, turn, arrays.where(acting, granted, before))
        promised = steps + settings.alert_delay
        arrays.put(memory.verdict_from, at, arrays.where(granted, promised, due))
        known = memory.verdict[at]
        arrays.put(memory.verdict, at, arrays.where(granted, arrays.cast(found, np.int8), known))
        return granted, wanted & ~granted

    def _age(
        self,
        at: tuple[IntArray, IntArray],
        steps: Int32Array,
        labels: BoolArray,
        stopped: BoolArray,
        acting: BoolArray,
    ) -> Int32Array:
        arrays, since = self._arrays, self._memory.passing_since[at]
        passes = acting & labels & ~stopped
        since = arrays.where(passes & (since == _NEVER), steps, since)
        lasting = arrays.where(acting & stopped, _NEVER, since)
        arrays.put(self._memory.passing_since, at, lasting)
        age: Int32Array = arrays.where(passes, steps - since, 0)
        return age

    def _met(
        self, at: tuple[IntArray, IntArray], steps: Int32Array, acting: BoolArray
    ) -> Int32Array:
        """Count the entities met lately: this one, less those last met just too long ago."""
        memory, arrays, gone = self._memory, self._arrays, steps - PRESENCE
        last = memory.last_met[at]
        new = acting & ((last == _NEVER) | (last <= gone))
        arrays.put(memory.last_met, at, arrays.where(acting, steps, last))
        turn = (self._number, steps % PRESENCE)
        recent = memory.recent[turn]
        old = acting & (gone >= 0) & (memory.last_met[self._number, recent] == gone)
        slots = arrays.cast(at[1], np.int32)
        arrays.put(memory.recent, turn, arrays.where(acting, slots, recent))
        memory.present = arrays.cast(memory.present + new - old * 1, np.int32)
        return memory.present

    def learn(self, step: int, slot: int, threat: bool) -> None:
        """Give the first lane the verdict on an alert that was granted some steps ago.

        It is lost where the alert was not granted, or a later one was.

        Args:
            step: The step of the alert.
            slot: The slot of its entity.
            threat: The verdict.
        """
        if self._memory.verdict_from[0, slot] == step + self._settings.alert_delay:
            self._memory.verdict[0, slot] = threat

    def context(self, state: LaneState) -> Float32Array:
        """The shared columns, in the order of :data:`CONTEXT`.

        Returns:
            Values in [0, 1].  # (lanes, context) float32
        """
        memory, settings, arrays = self._memory, self._settings, self._arrays
        at = (self._number, self._here(state))
        steps = state.positions - state.starts
        left = arrays.above(memory.isolated_until[at] - steps, 0)
        due = memory.verdict_from[at]
        known = (due != _NEVER) & (steps < due + settings.verdict_length)
        shown, verdict = known & (steps >= due), memory.verdict[at]
        shared: Float32Array = arrays.zeros(self._lanes, len(CONTEXT))
        shared[:, 0], shared[:, 1] = left > 0, left / settings.quarantine_length
        shared[:, 2], shared[:, 3] = shown & (verdict == 1), shown & (verdict == 0)
        shared[:, 4] = known & ~shown
        # The place of this step still holds the call that now leaves the window.
        turn = (self._number, steps % settings.alert_window)
        spent, budget = memory.spent - memory.granted[turn] * 1, max(settings.alert_budget, 1)
        shared[:, 5] = (budget - spent) / budget
        shared[:, 6] = memory.record[at]
        return shared

    def situation(self, state: LaneState) -> Situation:
        """What a shield must know of the current events."""
        arrays, at = self._arrays, (self._number, self._here(state))
        steps, until = state.positions - state.starts, self._memory.isolated_until[at]
        last, isolated = self._memory.last_met[at], until > steps
        ended = (until != _NEVER) & ~isolated
        freed = arrays.cast(arrays.where(ended, steps - until, _NEVER), np.int32)
        met = arrays.cast(arrays.where(last != _NEVER, steps - last, _NEVER), np.int32)
        return Situation(steps, isolated, freed, met)

    def get_state(self) -> dict[str, AnyArray]:
        """Copies of all arrays, by name."""
        return {
            item.name: self._arrays.tonumpy(
                getattr(self._memory, item.name), getattr(_BLANK, item.name).dtype
            )
            for item in fields(_Memory)
        }

    def set_state(self, arrays: dict[str, AnyArray]) -> None:
        """Go back to a state that :meth:`get_state` gave.

        Raises:
            StateError: If the arrays do not fit.
        """
        for name, own in self.get_state().items():
            given = arrays.get(name)
            if given is None or (given.shape, given.dtype) != (own.shape, own.dtype):
                raise StateError(
                    f"the response's {name} must be {own.shape} {own.dtype}; the state "
                    "belongs to an engine with other lanes, data or settings"
                )
        taken = {item.name: arrays[item.name].copy() for item in fields(_Memory)}
        self._memory = _Memory(**{n: self._arrays.asarray(array) for n, array in taken.items()})

    def _here(self, state: LaneState) -> IntArray:
        """The slot of the entity of each lane's current event."""
        slots: IntArray = self._arrays.take(self._slot_of, state.places)
        return slots

"""The engine of a deployed team: one lane over events that keep coming."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from marl_stl_env.config import EnvConfig
from marl_stl_env.data.entities import REMEMBERED, EntitySlots
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.state import is_threat_vote
from marl_stl_env.errors import ConfigError, StateError
from marl_stl_env.types import AnyArray, BoolArray, Int8Array, IntArray

#: A verdict that nobody has given.
UNKNOWN = -1
_EVENTS = "events"
_MOST = 2**30 - 1  # the response counts steps in int32, from a "never" that was 2**30 steps ago


class StreamEngine(Engine):
    """One lane of honest sensors, whose single episode goes on for as long as events come.

    The dynamics are those of :class:`Engine`; only labels are rare. Where an analyst has returned
    a verdict on an event, it is that event's label. Elsewhere the decision is taken to be right,
    so that no signal of a specification counts an error that nobody has seen.

    A verdict is learned by reliability weights right after the vote on its event. It becomes the
    verdict on the entity, ``alert_delay`` events later, where the alert on that event was granted.
    Without one the entity's verdict columns stay 0.

    Args:
        config: The environment, without faulty sensors.
        table: Scaled events with the columns of the training; :meth:`follow` brings those to
            decide on.
        entities: Slots for entities, as many as those that :meth:`follow` is given have.

    Raises:
        ConfigError: If the environment has faulty sensors.
    """

    def __init__(self, config: EnvConfig, table: TrafficTable, entities: int = REMEMBERED) -> None:
        if config.faults.faulty:
            raise ConfigError(
                f"faulty={config.faults.faulty}: only replays simulate faults; use faulty=0"
            )
        blank = replace(table, entities=np.zeros(len(table), np.int32))
        super().__init__(config, blank, lanes=1, seeds=0)
        self.reset()
        slots = EntitySlots(np.zeros(len(table) + 1, np.int64), entities, len(table) + 1)
        self._memory.follow(slots, np.zeros(0, np.int64))
        self._verdicts: Int8Array = np.zeros(0, np.int8)
        self._begin_at(0, 0)

    @property
    def waiting(self) -> bool:
        """Whether there are events that have not been decided on."""
        return bool(self._state.positions[0] < self._state.ends[0])

    @property
    def events(self) -> int:
        """Events decided on so far."""
        return int((self._state.positions - self._state.starts)[0])

    def follow(
        self,
        table: TrafficTable,
        verdicts: Int8Array,
        entities: tuple[EntitySlots, IntArray] | None = None,
    ) -> None:
        """Go on with these events once all events before have been decided on.

        Args:
            table: Their scaled features; the labels are not looked at.
            verdicts: What an analyst has found out: 1 for a threat, 0 for benign, -1 for unknown.
                # (rows,) int8
            entities: The slots of their entities and those among them that are new, as
                :class:`~marl_stl_env.data.entities.EntityDirectory` gives them; None in a replay.

        Raises:
            StateError: If events before have not been decided on, they have other columns, or the
                stream has become longer than steps can be counted.
        """
        if self.waiting:
            raise StateError("the events before have not all been decided on; step through them")
        if self.events + len(table) > _MOST:
            raise StateError(f"a stream has at most {_MOST:,} events; begin a new one")
        if table.feature_names != self.table.feature_names:
            raise StateError("the events have other columns than the stream's")
        told = TrafficTable.of_checked(table.state() | {"labels": verdicts == 1})
        self.observations.follow(told.features)
        self._replay(told, np.append(np.arange(len(table)), len(table) - 1))
        self._verdicts = verdicts
        if entities is not None:
            self._memory.follow(*entities)
        self._begin_at(self.events, len(table))

    def learn(self, event: int, slot: int | None, actions: Int8Array, threat: bool) -> None:
        """Learn a verdict that came after its event was decided on.

        Where it is in time, weights and the entity's columns go on as if it had stood beside the
        event: an analyst's verdict is shown ``alert_delay`` events after the alert at the earliest.
        What the specifications measured of the event stays.

        Args:
            event: Number of the event in the stream, counted from 0.
            slot: The slot of its entity; None in a replay, or where it was passed on.
            actions: What the sensors voted.  # (agents,) int8
            threat: Whether it was a threat.
        """
        everywhere = np.ones(1, np.bool_)
        labels = np.array([threat])
        self._vote.learn(self._state, actions[None], labels, everywhere, everywhere)
        if slot is not None:
            self._memory.learn(event, slot, threat)

    def get_state(self) -> dict[str, AnyArray]:
        """What is remembered of the events decided on, between two calls of :meth:`follow`."""
        events = {_EVENTS: np.array([self.events])}
        return events | self._vote.to_arrays() | self._memory.get_state()

    def set_state(self, arrays: Mapping[str, AnyArray]) -> None:
        """Go back to a state that :meth:`get_state` gave.

        Raises:
            StateError: If the arrays do not fit this engine.
        """
        given = dict(arrays)
        events = np.asarray(given.pop(_EVENTS, -1))
        if events.shape != (1,) or events.dtype != np.int64 or not 0 <= events[0] <= _MOST:
            raise StateError(f"a stream's state has the number of its events, not {events!r}")
        others = self._memory.set_state(self._vote.taken_from(given))
        if others:
            raise StateError(f"the state has arrays of another team: {', '.join(sorted(others))}")
        self._begin_at(int(events[0]), 0)

    def _begin_at(self, before: int, rows: int) -> None:
        """Put the lane before the first of so many events."""
        state = self._state
        state.starts, state.positions = np.array([-before]), np.zeros(1, np.int64)
        state.ends = np.array([rows])
        self._allowed = None

    def _revealed(
        self, rows: IntArray, labels: BoolArray, decisions: Int8Array
    ) -> tuple[BoolArray, BoolArray | None]:
        del labels
        verdicts = self._verdicts[rows]
        known: BoolArray = verdicts != UNKNOWN
        return np.where(known, verdicts == 1, is_threat_vote(decisions)), known

"""Which event comes when, in which disguise: the attackers' part of a lane's dynamics.

Most events are benign. So the work of a step is done for the lanes whose event is an attack, which
are listed, and not for all of them.
"""

from __future__ import annotations

import numpy as np

from marl_stl_env.adversary.state import NOBODY, AttackState, Coming, Current
from marl_stl_env.adversary.table import DisguisedTable
from marl_stl_env.config.adversary import AdversaryConfig
from marl_stl_env.engine.state import LaneState
from marl_stl_env.types import BoolArray, Int8Array, IntArray


class Schedule:
    """The events of all lanes, of which some are disguised or late.

    Args:
        adversary: The attackers.
        disguised: The disguised events.
        order: The row at each place of the replay, the last one twice.  # (events + 1,) int64
        lanes: Number of lanes.

    Attributes:
        state: What is remembered from one step to the next.
    """

    def __init__(
        self, adversary: AdversaryConfig, disguised: DisguisedTable, order: IntArray, lanes: int
    ) -> None:
        self._disguised, self._order, self._lanes = disguised, order, lanes
        self._owners = disguised.owners.take(order)
        self._wait, self._wait_events = adversary.disguises + 1, adversary.wait_events
        self._first = np.arange(lanes) * adversary.attackers
        self.state = AttackState.empty(lanes, adversary.attackers)
        self._current: Current | None = None
        self._coming: Coming | None = None

    def begin(self, mask: BoolArray, positions: IntArray) -> None:
        """Begin episodes at these positions in the masked lanes."""
        self.state.begin(mask, positions)
        self.forget()

    def forget(self) -> None:
        """The lanes stand elsewhere: nothing that was worked out for the old places holds."""
        self._current = self._coming = None

    def current(self) -> Current:
        """The events that all lanes show."""
        if self._current is None:
            places, disguises = self.state.places, self.state.disguises
            events = self._order.take(places, mode="clip")
            owners = self._owners.take(places, mode="clip")
            rows, changed = events, disguises.nonzero()[0]
            if len(changed):
                rows = events.copy()
                attacks = events[changed]
                rows[changed] = self._disguised.disguised_rows(attacks, disguises[changed])
            lanes = (owners >= 0).nonzero()[0]
            slots = self._first.take(lanes) + owners.take(lanes)
            self._current = Current(events, rows, owners, disguises, lanes, slots)
        return self._current

    def coming(self, state: LaneState) -> Coming:
        """The events to come in all lanes.

        Args:
            state: Where the lanes stand.
        """
        if self._coming is None:
            following = state.positions + 1
            places, released, blocked = self.state.upcoming(following)
            owners, left = self._owners.take(places, mode="clip"), state.ends - following
            lanes = ((owners >= 0) & (left > 0) & state.voting).nonzero()[0]
            left[blocked] = 1  # nothing else of these lanes can wait
            may_wait = left.take(lanes) > 1
            slots = self._first.take(lanes) + owners.take(lanes)
            events = self._order.take(places, mode="clip")
            self._coming = Coming(places, events, owners, lanes, slots, may_wait, released)
        return self._coming

    def rows_of(self, coming: Coming, disguise: int) -> IntArray:
        """Rows of events to come, the attacks among them in this disguise.  # (lanes,) int64."""
        chosen = np.where(coming.owners >= 0, np.int8(disguise), np.int8(0))
        return self._disguised.rows(coming.events, chosen)

    def advance(
        self, coming: Coming, chosen: Int8Array, moved: BoolArray, state: LaneState
    ) -> IntArray:
        """Let the lanes that moved on show their next event.

        Args:
            coming: What :meth:`coming` said before they moved; not to be used any more.
            chosen: Action of each attacker.  # (lanes, attackers) int8
            moved: The lanes that moved on.  # (lanes,) bool
            state: Where the lanes stand now.

        Returns:
            Where an attacker made its event wait: ``lane * attackers + attacker``.
        """
        own, wanted = self.state, chosen.reshape(-1).take(coming.slots)
        places, disguises = coming.places, np.zeros(self._lanes, np.int8)
        disguises[coming.lanes] = wanted * (wanted < self._wait)
        if len(coming.released):
            own.held[coming.released[moved[coming.released]]] = NOBODY
        waits = (wanted == self._wait) & coming.may_wait
        waiting: IntArray = coming.slots[waits]
        if len(waiting):
            lanes = coming.lanes[waits]
            self._hold(lanes, places, state)
            disguises[lanes] = self._instead(lanes, places, chosen)
        if np.count_nonzero(moved) < self._lanes:
            places = np.where(moved, places, own.places)
            disguises = np.where(moved, disguises, own.disguises)
        own.places, own.disguises = places, disguises
        self.forget()
        return waiting

    def _hold(self, lanes: IntArray, places: IntArray, state: LaneState) -> None:
        """Keep the events of these lanes back, and go on with those behind them."""
        positions = state.positions[lanes]
        latest = state.ends[lanes] - 1
        self.state.held[lanes] = places[lanes]
        self.state.releases[lanes] = np.minimum(positions + self._wait_events, latest)
        places[lanes] = positions + 1

    def _instead(self, lanes: IntArray, places: IntArray, chosen: Int8Array) -> Int8Array:
        """Disguises of the events that come instead of those that wait; they cannot wait too.

        Another attacker may own such an event. The same one has chosen to wait, not a disguise.
        """
        owners = self._owners.take(places[lanes], mode="clip")
        wanted = chosen.reshape(-1).take(self._first.take(lanes) + owners, mode="clip")
        disguises: Int8Array = wanted * ((owners >= 0) & (wanted < self._wait))
        return disguises

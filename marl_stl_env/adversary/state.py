"""Where the attackers of every lane stand, and what their last step brought."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from marl_stl_env.engine.state import LaneState
from marl_stl_env.errors import StateError
from marl_stl_env.types import THREAT_VOTE, AnyArray, BoolArray, Float32Array, Int8Array, IntArray

#: What :attr:`AttackState.passed` says before an attacker's first event.
UNKNOWN = -1
#: What :attr:`AttackState.held` says where no event waits.
NOBODY = -1
_PREFIX = "adversary."


class PlacedState(LaneState):
    """Lane states whose current event need not be the next one of the replay: events may wait."""

    _places: IntArray

    @property
    def places(self) -> IntArray:
        """Place of the current event in the replay order.  # (lanes,) int64."""
        return self._places

    def stand_at(self, places: IntArray) -> None:
        """Show the events at these places.  # (lanes,) int64."""
        self._places = places

    @classmethod
    def of(
        cls, state: LaneState, places: IntArray, positions: IntArray | None = None
    ) -> PlacedState:
        """A state with these places, and with other positions where they are given."""
        values = {item.name: getattr(state, item.name) for item in fields(LaneState)}
        if positions is not None:
            values["positions"] = positions
        found = cls(**values)
        found.stand_at(places)
        return found


@dataclass
class AttackState:
    """All that is remembered of the attackers.

    While an event waits, the lane runs one event ahead of the replay:

        position  5  6  7  8  9        event 5 waits for 3 positions:
        place     6  7  8  5  9        it comes at position 8

    Attributes:
        places: Place of the current event in the replay order.  # (lanes,) int64
        disguises: Disguise of the current event, 0 for none.  # (lanes,) int8
        held: Place of the event that waits, or -1.  # (lanes,) int64
        releases: Position at which it comes.  # (lanes,) int64
        passed: Whether each attacker's last event passed, -1 before the first.
            # (lanes, attackers) int8
    """

    places: IntArray
    disguises: Int8Array
    held: IntArray
    releases: IntArray
    passed: Int8Array

    @classmethod
    def empty(cls, lanes: int, attackers: int) -> AttackState:
        """Before the first reset."""
        return cls(
            places=np.zeros(lanes, np.int64),
            disguises=np.zeros(lanes, np.int8),
            held=np.full(lanes, NOBODY, np.int64),
            releases=np.zeros(lanes, np.int64),
            passed=np.full((lanes, attackers), UNKNOWN, np.int8),
        )

    def begin(self, mask: BoolArray, positions: IntArray) -> None:
        """Forget everything in the masked lanes, whose episodes begin at these positions."""
        self.places = np.where(mask, positions, self.places)
        self.disguises = np.where(mask, np.int8(0), self.disguises)
        self.held = np.where(mask, NOBODY, self.held)
        self.passed = np.where(mask[:, None], np.int8(UNKNOWN), self.passed)

    def hear(self, current: Current, decisions: Int8Array, moved: BoolArray) -> None:
        """Let the attackers know what became of their events.

        Args:
            current: The events that were decided on.
            decisions: What the team decided.  # (lanes,) int8
            moved: The lanes whose decision counts.  # (lanes,) bool
        """
        counts = moved.take(current.lanes)
        stopped = THREAT_VOTE.take(decisions.take(current.lanes[counts]))
        self.passed.reshape(-1)[current.slots[counts]] = ~stopped

    def upcoming(self, positions: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """The event that comes at a lane's next position.

        Args:
            positions: The next positions.  # (lanes,) int64

        Returns:
            Its place (lanes,) int64; the lanes where it is the one that waited; the lanes where
            that one goes on waiting.
        """
        waiting = (self.held != NOBODY).nonzero()[0]
        if not len(waiting):  # mostly
            return positions, waiting, waiting
        comes = positions[waiting] >= self.releases[waiting]
        released, blocked = waiting[comes], waiting[~comes]
        places = positions.copy()
        places[released] = self.held[released]
        places[blocked] += 1
        return places, released, blocked

    def to_arrays(self) -> dict[str, AnyArray]:
        """Copies of all fields, by name."""
        return {_PREFIX + item.name: getattr(self, item.name).copy() for item in fields(self)}

    def taken_from(self, arrays: dict[str, AnyArray], rows: int) -> dict[str, AnyArray]:
        """Go back to the arrays of :meth:`to_arrays`.

        Args:
            arrays: A whole state.
            rows: Places of the replay.

        Returns:
            The other arrays.

        Raises:
            StateError: If an array is missing or belongs to other lanes or attackers.
        """
        others = dict(arrays)
        given = {item.name: np.asarray(others.pop(_PREFIX + item.name, 0)) for item in fields(self)}
        for name, array in given.items():
            own = getattr(self, name)
            if (array.shape, array.dtype) != (own.shape, own.dtype):
                raise StateError(
                    f"{_PREFIX}{name} must be {own.shape} {own.dtype}, not {array.shape} "
                    f"{array.dtype}; the state belongs to an engine with other lanes or attackers"
                )
        for name in ("places", "held"):
            if given[name].min() < NOBODY or given[name].max() > rows:
                raise StateError(f"{_PREFIX}{name} must lie in {NOBODY}..{rows}")
        for name, array in given.items():
            setattr(self, name, array.copy())
        return others


class Current(NamedTuple):
    """The events that all lanes show.

    Attributes:
        events: Their rows, without disguise.  # (lanes,) int64
        rows: Their rows in their disguises.  # (lanes,) int64
        owners: The attackers that own them; -1 for benign ones.  # (lanes,) int8
        disguises: Their disguises, 0 for none.  # (lanes,) int8
        lanes: The lanes whose event is an attack.  # (attacks,) int64
        slots: ``lane * attackers + owner`` of each of these.  # (attacks,) int64
    """

    events: IntArray
    rows: IntArray
    owners: Int8Array
    disguises: Int8Array
    lanes: IntArray
    slots: IntArray


class Coming(NamedTuple):
    """The events to come in all lanes.

    Attributes:
        places: Their places in the replay order.  # (lanes,) int64
        events: Their rows, without disguise.  # (lanes,) int64
        owners: The attackers that own them; -1 for benign ones.  # (lanes,) int8
        lanes: The lanes where an attack comes in this episode, of those that vote.
            # (attacks,) int64
        slots: ``lane * attackers + owner`` of each of these.  # (attacks,) int64
        may_wait: Whether each of these may wait.  # (attacks,) bool
        released: The lanes whose event is one that waited.  # (released,) int64
    """

    places: IntArray
    events: IntArray
    owners: Int8Array
    lanes: IntArray
    slots: IntArray
    may_wait: BoolArray
    released: IntArray


class AttackRecord(NamedTuple):
    """What one step did to the attackers of every lane.

    Attributes:
        events: Row of the event that was evaluated, without its disguise.  # (lanes,) int64
        owners: The attacker that owns it; -1 for a benign one.  # (lanes,) int8
        disguises: Its disguise, 0 for none.  # (lanes,) int8
        waited: Whether each attacker made its next event wait.  # (lanes, attackers) bool
        costs: What disguises and waiting cost each attacker.  # (lanes, attackers) float32
        rewards: Reward of each attacker, costs included.  # (lanes, attackers) float32
    """

    events: IntArray
    owners: Int8Array
    disguises: Int8Array
    waited: BoolArray
    costs: Float32Array
    rewards: Float32Array

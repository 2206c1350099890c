"""What the lanes of ``TrafficResponse-v0`` remember of entities and of the analyst."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from marl_stl_env.arrays import NUMPY, Arrays
from marl_stl_env.config.response import PRESENCE
from marl_stl_env.data.entities import EntitySlots, entity_slots
from marl_stl_env.engine.state import LaneState
from marl_stl_env.errors import StateError
from marl_stl_env.types import (
    AnyArray,
    BoolArray,
    Float32Array,
    Int8Array,
    Int32Array,
    IntArray,
)

NEVER = UNKNOWN = -1
#: In place of :data:`NEVER` where times are compared: longer ago than any window or length. What
#: is as long ago from step 2**30 - 1 is still an int32.
LONG_AGO = -(2**30)
#: What is remembered of an entity at first. In numpy all of it lies side by side, so that little
#: memory is touched in a step.
_OF_A_SLOT: dict[str, np.generic] = {
    "isolated_until": np.int32(LONG_AGO),
    "verdict_from": np.int32(LONG_AGO),
    "last_met": np.int32(LONG_AGO),
    "passing_since": np.int32(LONG_AGO),
    "record": np.float32(0),
    "verdict": np.int8(UNKNOWN),
}
_SLOT = np.dtype([(name, value.dtype) for name, value in _OF_A_SLOT.items()], align=True)
_TIMES = ("isolated_until", "verdict_from", "passing_since", "last_met")
_OF_ENTITIES = (*_TIMES, "verdict", "record")
#: All bits but that of an entity last met so many steps ago: none is to be taken away where it was
#: met too long ago.
_OTHERS = ~np.array([*(1 << ago for ago in range(PRESENCE)), 0], np.uint64).view(np.int64)


@dataclass
class Remembered:
    """What lanes remember; times are their steps, :data:`LONG_AGO` is never.

    Arrays of more than a number for each lane are flat and have a spare last entry, for what a
    lane is not to remember.
    """

    isolated_until: Int32Array  # (lanes * slots + 1,)
    verdict_from: Int32Array  # (lanes * slots + 1,)
    verdict: Int8Array  # (lanes * slots + 1,), 1 for a threat, 0 for benign, -1 for unknown
    passing_since: Int32Array  # (lanes * slots + 1,)
    last_met: Int32Array  # (lanes * slots + 1,)
    record: Float32Array  # (lanes * slots + 1,), in [0, 1]
    granted: BoolArray  # (lanes * alert_window + 1,), by step modulo the window
    recent: IntArray  # (lanes * PRESENCE + 1,), slots of events, by step modulo PRESENCE
    spent: IntArray  # (lanes,), alerts granted within the window
    present: Int32Array  # (lanes,), entities met lately

    @classmethod
    def empty(cls, lanes: int, slots: int, window: int, arrays: Arrays = NUMPY) -> Remembered:
        """Nothing yet."""

        def zeros(count: int, kind: type[np.generic]) -> Any:
            return arrays.asarray(np.zeros(count, kind))

        each = np.full(lanes * slots + 1, np.array(tuple(_OF_A_SLOT.values()), _SLOT))
        return cls(
            **{name: arrays.asarray(each[name]) for name in _OF_A_SLOT},
            granted=zeros(lanes * window + 1, np.bool_),
            recent=zeros(lanes * PRESENCE + 1, np.int64),
            spent=zeros(lanes, np.int64),
            present=zeros(lanes, np.int32),
        )

    def rows(self, lanes: int) -> dict[str, AnyArray]:
        """The same memory by name, a row for each lane."""
        arrays = {item.name: getattr(self, item.name) for item in fields(self)}
        return {
            name: array if len(array) == lanes else array[:-1].reshape(lanes, -1)
            for name, array in arrays.items()
        }


_BLANK = {name: rows.flat[0] for name, rows in Remembered.empty(1, 1, 1).rows(1).items()}
#: The types of arrays in a state, where they are others.
_STORED = {"recent": np.int32, "spent": np.int32}


class Current(NamedTuple):
    """The current event's entity in every lane, and what is remembered of it."""

    slots: IntArray  # (lanes,)
    at: IntArray  # its place among all lanes' slots
    turn: IntArray  # of this step among all lanes' granted alerts
    since_start: IntArray  # steps, in two types
    steps: Int32Array
    until: Int32Array  # the step at which its last isolation ends
    isolated: BoolArray
    freed: Int32Array  # steps since its isolation ended; negative while it lasts
    known: Int32Array  # steps since the verdict on it came; negative while it is awaited
    record: Float32Array
    present: IntArray  # bit j: an entity was last met j steps ago; bit 0 is its own
    leaving: BoolArray  # whether an alert was granted that leaves the window now
    spent: IntArray  # alerts granted within the window, without that one


class EntityMemory:
    """The memory of many lanes; every entity of a segment has a slot of its own.

    Args:
        entities: The entity of the event at each place of the replay.  # (rows + 1,) int32
        window: Steps over which granted alerts are counted.
        longest: Steps of the longest segment.
        lanes: Independent copies of the stream.
        arrays: The array library and device.
    """

    def __init__(
        self, entities: Int32Array, window: int, longest: int, lanes: int, arrays: Arrays = NUMPY
    ) -> None:
        self._entities, self._lanes, self._arrays = entities, lanes, arrays
        self._number = arrays.asarray(np.arange(lanes))
        self._alert_window, self._first_turn = window, self._number * window
        # Arrays of no dimension: numpy converts a number of Python's anew in every operation.
        self._window, self._one = (arrays.asarray(np.array(number)) for number in (window, 1))
        self._zero, self._presence = (
            arrays.asarray(np.array(number, np.int32)) for number in (0, PRESENCE)
        )
        self._current_of: tuple[LaneState, Current] | None = None
        self._provide(longest)

    def _provide(self, window: int) -> None:
        """Make room for segments of this length, and forget everything."""
        self._use(entity_slots(self._entities, window))
        self._blank()

    def _use(self, slots: EntitySlots) -> None:
        self._slots, self._slot_of = slots, self._arrays.asarray(slots.slots)

    def _blank(self) -> None:
        """Remember nothing, in a new memory."""
        lanes, count, arrays = self._lanes, self._slots.count, self._arrays
        self._memory = Remembered.empty(lanes, count, self._alert_window, arrays)
        # Bit j: an entity was last met j steps before the current event.
        self._seen: IntArray = arrays.asarray(np.zeros(lanes, np.int64))
        self._first_slot = self._number * count
        self._current_of = None

    def reset(self, mask: BoolArray) -> None:
        """Forget what was known in the masked lanes.  # (lanes,) bool."""
        self._current_of = None
        self._arrays.fill(self._seen, mask, 0)
        for name, rows in self._memory.rows(self._lanes).items():
            self._arrays.fill(rows, mask, _BLANK[name].item())

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
        self._current_of = None
        if grown:
            self._blank()
        memory = self._memory.rows(self._lanes)
        newest = memory["last_met"].max(axis=1, keepdims=True)
        self._seen &= ~_seen(memory["last_met"][:, new], newest)
        for name in _OF_ENTITIES:
            memory[name][:, new] = _BLANK[name].item()

    def get_state(self) -> dict[str, AnyArray]:
        """Copies of all arrays, by name, with -1 for never."""
        state = {}
        for name, rows in self._memory.rows(self._lanes).items():
            array = self._arrays.tonumpy(rows, _BLANK[name].dtype)
            array = array.astype(_STORED.get(name, array.dtype), copy=False)
            state[name] = np.maximum(array, NEVER) if name in _TIMES else array
        return state

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
        self.reset(self._arrays.asarray(np.ones(self._lanes, np.bool_)))
        for name, rows in self._memory.rows(self._lanes).items():
            given = arrays[name]
            if name in _TIMES:
                given = np.where(given == NEVER, np.int32(LONG_AGO), given)
            rows[:] = self._arrays.asarray(given)
        last_met = arrays["last_met"]
        seen = _seen(last_met, last_met.max(axis=1, keepdims=True))
        self._seen[:] = self._arrays.asarray(seen)

    def _current(self, state: LaneState) -> Current:
        """What is remembered of the current events, looked up once for each step."""
        if self._current_of is None or self._current_of[0] is not state:
            arrays, memory = self._arrays, self._memory
            slots = self._slot_of[state.places]
            at = self._first_slot + slots
            since_start = state.positions - state.starts
            steps = arrays.cast(since_start, np.int32)
            turn = self._first_turn + since_start % self._window
            until = memory.isolated_until[at]
            freed = steps - until
            known = steps - memory.verdict_from[at]
            met = arrays.minimum(steps - memory.last_met[at], self._presence)
            others = arrays.constant(_OTHERS)[arrays.cast(met, np.int64)]
            leaving, spent = memory.granted[turn], memory.spent
            if not arrays.surely_none(leaving):
                spent = spent - arrays.cast(leaving, np.int64)
            found = Current(
                slots,
                at,
                turn,
                since_start,
                steps,
                until,
                freed < self._zero,
                freed,
                known,
                memory.record[at],
                self._seen & others | self._one,
                leaving,
                spent,
            )
            self._current_of = state, found
        return self._current_of[1]


def _seen(last_met: Int32Array, newest: Int32Array) -> IntArray:
    """Bit j of a lane: an entity was last met j steps before the current event, the next one.

    Args:
        last_met: When entities were last met; less than 0 is never.  # (lanes, entities) int32
        newest: When the lane's last event was met.  # (lanes, 1) int32

    Returns:
        The bits of these entities.  # (lanes,) int64
    """
    ago = newest + 1 - last_met
    bits = np.where(
        (last_met > NEVER) & (ago < PRESENCE), 1 << np.clip(ago, 0, 63).astype(np.uint64), 0
    )
    seen: IntArray = np.bitwise_or.reduce(bits.astype(np.uint64), axis=1).view(np.int64)
    return seen

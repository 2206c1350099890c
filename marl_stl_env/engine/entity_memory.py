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


@dataclass
class Remembered:
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
    def empty(cls, lanes: int, slots: int, window: int, arrays: Arrays = NUMPY) -> Remembered:
        """Nothing yet."""

        def never() -> Int32Array:
            return np.full((lanes, slots), NEVER, np.int32)

        def zeros() -> Int32Array:
            return np.zeros(lanes, np.int32)

        record = np.zeros((lanes, slots), np.float32)
        verdict = np.full((lanes, slots), UNKNOWN, np.int8)
        granted = np.zeros((lanes, window), np.bool_)
        recent = np.zeros((lanes, PRESENCE), np.int32)
        lasting = (never(), never(), verdict, never(), never(), record)
        blank = (*lasting, granted, recent, zeros(), zeros())
        return cls(*(arrays.asarray(array) for array in blank))


_BLANK = Remembered.empty(1, 1, 1)


class Current(NamedTuple):
    """The current event's entity in every lane, and what is remembered of it."""

    slots: IntArray  # (lanes,)
    at: IntArray  # its place in a flat array of all lanes' slots
    turn: IntArray  # of this step in the flat record of granted alerts
    since_start: IntArray  # steps, in two types
    steps: Int32Array
    until: Int32Array
    due: Int32Array
    last: Int32Array
    record: Float32Array


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
        self._window = arrays.asarray(np.array(window))
        self._known: tuple[LaneState, Current] | None = None
        self._provide(longest)

    def __getstate__(self) -> dict[str, Any]:
        """What a copy is made of: all but what shares memory with it."""
        return {n: one for n, one in self.__dict__.items() if n not in {"_flat", "_known"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Continue as the copied one."""
        self.__dict__.update(state)
        self._remember(self._memory)

    def _provide(self, window: int) -> None:
        """Make room for segments of this length, and forget everything."""
        self._use(entity_slots(self._entities, window))
        self._blank()

    def _use(self, slots: EntitySlots) -> None:
        self._slots, self._slot_of = slots, self._arrays.asarray(slots.slots)

    def _blank(self) -> None:
        """Remember nothing, in a new memory."""
        count, window = self._slots.count, self._alert_window
        self._remember(Remembered.empty(self._lanes, count, window, self._arrays))

    def _remember(self, memory: Remembered) -> None:
        """Go on with this memory, whose arrays are only ever changed in place."""
        arrays = {item.name: getattr(memory, item.name) for item in fields(Remembered)}
        self._memory = memory
        self._flat = Remembered(**{name: array.reshape(-1) for name, array in arrays.items()})
        self._first_slot = self._number * self._slots.count
        self._known = None

    def reset(self, mask: BoolArray) -> None:
        """Forget what was known in the masked lanes.  # (lanes,) bool."""
        self._known = None
        for item in fields(Remembered):
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
        self._known = None
        if grown:
            self._blank()
        for item in fields(Remembered):
            array = getattr(self._memory, item.name)
            if array.shape == (self._lanes, slots.count):
                array[:, new] = getattr(_BLANK, item.name).flat[0].item()

    def get_state(self) -> dict[str, AnyArray]:
        """Copies of all arrays, by name."""
        return {
            item.name: self._arrays.tonumpy(
                getattr(self._memory, item.name), getattr(_BLANK, item.name).dtype
            )
            for item in fields(Remembered)
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
        taken = {item.name: arrays[item.name].copy() for item in fields(Remembered)}
        self._remember(Remembered(**{n: self._arrays.asarray(array) for n, array in taken.items()}))

    def _current(self, state: LaneState) -> Current:
        """What is remembered of the current events, looked up once for each step."""
        if self._known is None or self._known[0] is not state:
            arrays, flat = self._arrays, self._flat
            slots = arrays.take(self._slot_of, state.places)
            at = self._first_slot + slots
            since_start = state.positions - state.starts
            steps = arrays.cast(since_start, np.int32)
            turn = self._first_turn + since_start % self._window
            memories = (flat.isolated_until, flat.verdict_from, flat.last_met, flat.record)
            found = (arrays.take(memory, at) for memory in memories)
            self._known = state, Current(slots, at, turn, since_start, steps, *found)
        return self._known[1]

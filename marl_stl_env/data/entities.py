"""Where a lane keeps what it knows of each entity."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from marl_stl_env.errors import StateError
from marl_stl_env.types import AnyArray, IntArray


@dataclass(frozen=True)
class EntitySlots:
    """A slot for the entity of every event of a replay.

    Attributes:
        slots: Slot at each place of the replay.  # (places,) int64
        count: Number of slots.
        window: No two entities that occur within this many neighbouring places share a slot.
    """

    slots: IntArray
    count: int
    window: int


def entity_slots(entities: AnyArray, window: int) -> EntitySlots:
    """Give entities slots, so that a lane need not remember more than it can meet in an episode.

    Few entities have a slot each. Where there are more than ``window``, a slot passes on to a new
    entity once its old one has not been met for ``window`` places, so that no segment of that
    length needs more slots than places.

    Args:
        entities: The entity at each place of the replay.  # (places,) integer
        window: The longest segment that a lane replays.
    """
    names, codes = np.unique(entities, return_inverse=True)
    codes = codes.astype(np.int64)
    if len(names) <= window:
        return EntitySlots(codes, len(names), len(codes))
    slots = np.empty_like(codes)
    held = np.full(len(names), -1, np.int64)
    last = np.full(len(names), -1, np.int64)
    free: deque[int] = deque()
    count = 0
    for place, entity in enumerate(codes.tolist()):
        gone = place - window
        if gone >= 0 and last[codes[gone]] == gone:
            free.append(int(held[codes[gone]]))
            held[codes[gone]] = -1
        if held[entity] < 0:
            if free:
                held[entity] = free.popleft()
            else:
                held[entity], count = count, count + 1
        slots[place], last[entity] = held[entity], place
    return EntitySlots(slots, count, window)


#: Entities that a stream without end remembers.
REMEMBERED = 2**17


class EntityDirectory:
    """Slots for the entities of a stream without end.

    Once all slots are taken, a new entity gets that of the one that was met longest ago.

    Args:
        count: Number of slots.
    """

    def __init__(self, count: int = REMEMBERED) -> None:
        self.count = count
        self._slots: OrderedDict[Hashable, int] = OrderedDict()
        self._unknown = 0

    @property
    def most(self) -> int:
        """Events that may be placed at once, so that none of them takes another one's slot."""
        return self.count // 2

    def place(self, names: Sequence[str | None]) -> tuple[EntitySlots, IntArray]:
        """The slots of the entities of the next events.

        Args:
            names: The entity of each event, at most ``most`` of them; None for one that is not
                known, which counts as an entity of its own.

        Returns:
            The slots, and those of them that pass on to an entity that had none.  # (new,) int64
        """
        held, new = self._slots, list[int]()
        slots = np.empty(len(names) + 1, np.int64)
        for at, name in enumerate(names):
            key: Hashable = name
            if name is None:
                self._unknown += 1
                key = self._unknown
            slot = held.get(key)
            if slot is None:
                slot = len(held) if len(held) < self.count else held.popitem(last=False)[1]
                held[key] = slot
                new.append(slot)
            else:
                held.move_to_end(key)
            slots[at] = slot
        slots[-1] = slots[-2]  # after the last event it is shown again
        return EntitySlots(slots, self.count, len(slots)), np.array(new, np.int64)

    def slot_of(self, name: str) -> int | None:
        """The slot of an entity; None where it has none, or has none any more."""
        return self._slots.get(name)

    def get_state(self) -> dict[str, AnyArray]:
        """Names and slots of the entities, the one met longest ago first, as plain arrays."""
        return {
            "names": np.array([name if isinstance(name, str) else "" for name in self._slots], "U"),
            "known": np.array([isinstance(name, str) for name in self._slots], np.bool_),
            "slots": np.array([*self._slots.values()], np.int64),
        }

    def set_state(self, arrays: Mapping[str, AnyArray]) -> None:
        """Go back to a state that :meth:`get_state` gave.

        Raises:
            StateError: If it is none, or has more entities than there are slots.
        """
        try:
            names, known, slots = (arrays[name].tolist() for name in ("names", "known", "slots"))
            keys = [
                n if is_known else -at - 1
                for n, is_known, at in zip(names, known, slots, strict=True)
            ]
        except (KeyError, ValueError, TypeError) as error:
            raise StateError(f"these are not the entities of a stream: {error!r}") from None
        if len(set(keys)) < len(keys) or {*slots} != {*range(len(slots))}:
            raise StateError("these are not the entities of a stream: one occurs twice")
        if len(slots) > self.count:
            raise StateError(f"{len(slots)} entities do not fit into {self.count} slots")
        self._slots = OrderedDict(zip(keys, slots, strict=True))

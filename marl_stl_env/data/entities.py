"""Where a lane keeps what it knows of each entity."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

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

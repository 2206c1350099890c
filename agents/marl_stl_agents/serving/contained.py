"""The entities that are blocked or quarantined now, as a file for firewalls and people."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from marl_stl_agents.serving.records import Decided
from marl_stl_env.errors import StateError
from marl_stl_env.files import write_text
from marl_stl_env.types import Action

_LISTED = (Action.BLOCK, Action.QUARANTINE)


class Contained:
    """The list of contained entities.

    The clock is the event, as in training: a quarantine lasts ``quarantine`` events from its
    beginning, a block is listed for ``block`` events. A quarantine stays where a block comes after
    it.

    Args:
        quarantine: Events that a quarantine lasts.
        block: Events that a block is listed.
    """

    def __init__(self, quarantine: int, block: int) -> None:
        self._lasting = np.zeros(len(Action), np.int64)  # (actions,)
        self._lasting[[Action.QUARANTINE, Action.BLOCK]] = quarantine, block
        self._entries: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, decided: Decided) -> None:
        """Take note of the next decisions."""
        rollout = decided.rollout
        # An event of an isolated entity begins nothing: its quarantine goes on.
        rows = np.flatnonzero(np.isin(rollout.decisions, _LISTED) & ~rollout.isolated)
        decisions = rollout.decisions[rows]
        ends = decided.chunk.events[rows] + 1 + self._lasting[decisions]
        longest = dict[str, tuple[int, int]]()  # of each entity: what ends last, the later of two
        for row, until in zip(rows.tolist(), ends.tolist(), strict=True):
            entity = decided.entities[row]
            if entity is not None and longest.get(entity, (0, 0))[0] <= until:
                longest[entity] = until, row
        for entity, (until, row) in longest.items():
            self._list(entity, until, decided, row)

    def _list(self, entity: str, until: int, decided: Decided, row: int) -> None:
        old = self._entries.get(entity)
        if old is not None and old["until_event"] > until:
            return
        self._entries[entity] = {
            "entity": entity,
            "action": Action(decided.rollout.decisions[row]).name,
            "event": int(decided.chunk.events[row]),
            "time": decided.times[row],
            "until_event": until,
        }

    def expire(self, events: int) -> None:
        """Drop what is over once so many events have been decided on."""
        over = [name for name, entry in self._entries.items() if entry["until_event"] <= events]
        for name in over:
            del self._entries[name]

    def counts(self) -> dict[str, int]:
        """How many entities are listed, by action."""
        found = {action.name: 0 for action in _LISTED}
        for entry in self._entries.values():
            found[entry["action"]] += 1
        return found

    def write(self, path: Path, events: int) -> None:
        """Replace the file of the list: ``events``, and the ``entities`` with what ends them.

        Raises:
            OutputError: If it cannot be written.
        """
        content = {"events": events, "entities": list(self._entries.values())}
        write_text(path, json.dumps(content, indent=1) + "\n")

    def to_list(self) -> list[dict[str, Any]]:
        """JSON types; :meth:`restore` takes them."""
        return [dict(entry) for entry in self._entries.values()]

    def restore(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Go back to a list that :meth:`to_list` gave.

        Raises:
            StateError: If it is none.
        """
        try:
            self._entries = OrderedDict((str(one["entity"]), dict(one)) for one in entries)
        except (TypeError, KeyError) as error:
            raise StateError(f"this is no list of contained entities: {error!r}") from None

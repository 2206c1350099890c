"""An analyst's verdicts, which come after the decisions."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from marl_stl_agents.evaluation.new_traffic.decision import verdict_of
from marl_stl_agents.evaluation.new_traffic.stream import TeamStream
from marl_stl_agents.serving.follow import FollowedFile
from marl_stl_agents.serving.records import Decided
from marl_stl_env.errors import DecidingError, StateError

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Awaited:
    """An event that a verdict may come on.

    Attributes:
        event: Its number.
        entity: Its host.
        votes: What the sensors voted, -1 for silence.
    """

    event: int
    entity: str | None
    votes: tuple[int, ...]


class AwaitedVerdicts:
    """The latest events that a verdict teaches something about.

    Args:
        every: Whether every event does, as for votes weighed by reliability; otherwise those for
            which the analyst was called.
        most: Events that are remembered; the oldest are forgotten first.
    """

    def __init__(self, every: bool, most: int = 10_000) -> None:
        self._every, self._most = every, most
        self._events: OrderedDict[str, Awaited] = OrderedDict()

    def __len__(self) -> int:
        return len(self._events)

    def add(self, decided: Decided) -> None:
        """Await verdicts on these decisions."""
        rollout, every = decided.rollout, np.arange(len(decided))
        rows = every if self._every else np.flatnonzero(rollout.granted)
        for row in rows[-self._most :].tolist():
            votes = tuple(rollout.actions[row].tolist())
            event = int(decided.chunk.events[row])
            self._events[decided.keys[row]] = Awaited(event, decided.entities[row], votes)
        while len(self._events) > self._most:
            self._events.popitem(last=False)

    def learn(self, lines: Sequence[bytes], stream: TeamStream) -> dict[str, int]:
        """Let a stream learn verdicts.

        Args:
            lines: ``{"key": KEY, "verdict": "threat" or "benign"}`` each.
            stream: The stream.

        Returns:
            How many were ``learned``, were for an event that is not awaited (``unknown``), and
            could not be read (``malformed``).
        """
        counts = {"learned": 0, "unknown": 0, "malformed": 0}
        for line in filter(None, map(bytes.strip, lines)):
            try:
                key, verdict = _parsed(line)
            except (ValueError, TypeError, KeyError, DecidingError):
                counts["malformed"] += 1
                continue
            one = self._events.pop(key, None) if verdict >= 0 else None
            if one is None:
                counts["unknown"] += 1
                continue
            stream.learn(one.event, one.entity, np.array(one.votes, np.int8), verdict == 1)
            counts["learned"] += 1
        return counts

    def to_dict(self) -> dict[str, Any]:
        """JSON types; :meth:`restore` takes them."""
        return {key: [one.event, one.entity, list(one.votes)] for key, one in self._events.items()}

    def restore(self, events: Mapping[str, Any]) -> None:
        """Go back to what :meth:`to_dict` gave.

        Raises:
            StateError: If it is something else.
        """
        try:
            self._events = OrderedDict(
                (key, Awaited(int(event), entity, tuple(map(int, votes))))
                for key, (event, entity, votes) in events.items()
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise StateError(f"these are no awaited verdicts: {error!r}") from None


def _parsed(line: bytes) -> tuple[str, int]:
    content = json.loads(line)
    return str(content["key"]), verdict_of(content["verdict"])


def new_lines(file: FollowedFile) -> list[bytes]:
    """The next whole lines of a file, at most about a mebibyte of them."""
    block, ended = file.peek(_BLOCK)
    size = len(block) if ended or len(block) == _BLOCK else block.rfind(b"\n") + 1
    if len(block) == _BLOCK and b"\n" in block:
        size = block.rfind(b"\n") + 1
    file.take(size)
    if ended:
        file.leave()
    return block[:size].split(b"\n")

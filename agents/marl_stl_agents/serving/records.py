"""Decisions as lines of NDJSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from json.encoder import encode_basestring_ascii as quoted

import numpy as np

from marl_stl_agents.evaluation.new_traffic.rows import by_row
from marl_stl_agents.evaluation.rollouts import Rollout
from marl_stl_env.data.ingest.incoming import Chunk
from marl_stl_env.types import Action, AnyArray, Int8Array

_NAMES = [quoted(action.name) for action in Action]
_VOTES = [*_NAMES, "null"]  # silence is -1: the last
_TRUTH = ("false", "true")
_FINE = 2.0**33  # steps of double precision beyond are wider than a millionth


@dataclass(frozen=True, eq=False)
class Decided:
    """Some events and what was decided on them, column by column.

    An object for every event would take longer than the decision of a replay team.

    Attributes:
        chunk: The events.
        rollout: Votes and decisions.
        reasons: The reason of each.
        keys: What names each event.
        specifications: Names of the monitored specifications.
    """

    chunk: Chunk
    rollout: Rollout
    reasons: Sequence[str]
    keys: Sequence[str]
    specifications: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def entities(self) -> Sequence[str | None]:
        """The host of each event, where it is known."""
        found = self.chunk.entities
        return [None] * len(self) if found is None else found

    @cached_property
    def times(self) -> Sequence[float | None]:
        """Seconds, where they are known."""
        found = self.chunk.times
        return [None] * len(self) if found is None else found.tolist()

    def lines(self) -> bytes:
        """A JSON object a line."""
        rollout = self.rollout
        flags = (rollout.decisions, rollout.isolated, rollout.granted, rollout.refused)
        pieces = [
            self.chunk.events.tolist(),
            map(quoted, self.keys),
            self._times(),
            self._entities(),
            map(repr, np.round(rollout.scores, 6).tolist()),
            by_row(np.column_stack([*flags, rollout.actions]), _parts),
            map(quoted, self.reasons),
            self._robustness(),
        ]
        return "".join(
            [
                f'{{"event":{event},"key":{key},"time":{time},"entity":{entity},'
                f'"decision":{decision},"threat_score":{score},"votes":[{votes}],'
                f'"reason":{reason},{flags}{specifications}}}\n'
                for event, key, time, entity, score, (decision, votes, flags), reason,
                specifications in zip(*pieces, strict=True)
            ]
        ).encode()  # fmt: skip

    def _times(self) -> Iterable[str]:
        times = self.chunk.times
        if times is None:
            return repeat("null", len(self))
        # np.round multiplies, which takes digits from numbers that large, but they have no more.
        texts = [*map(repr, np.where(np.abs(times) < _FINE, np.round(times, 6), times).tolist())]
        for row in np.flatnonzero(~np.isfinite(times)).tolist():
            texts[row] = "null"
        return texts

    def _entities(self) -> Iterable[str]:
        if self.chunk.entities is None:
            return repeat("null", len(self))
        return ("null" if one is None else quoted(one) for one in self.chunk.entities)

    def _robustness(self) -> Iterable[str]:
        """The member ``specifications`` of each line, with the comma before it."""
        found = self.rollout.robustness
        if found is None:
            return repeat("", len(self))
        names = [quoted(name) for name in self.specifications]

        def text(row: AnyArray) -> str:
            members = (
                f'{name}:{{"robustness":{_number(left)},"satisfied":{_TRUTH[not left < 0]}}}'
                for name, left in zip(names, row.tolist(), strict=True)
            )
            return f',"specifications":{{{",".join(members)}}}'

        return by_row(found, text)


def _parts(row: Int8Array) -> tuple[str, str, str]:
    """The decision, the votes, and the flags of an event."""
    decision, isolated, granted, refused, *votes = row.tolist()
    alert = '"granted"' if granted else '"refused"' if refused else "null"
    flags = f'"isolated":{_TRUTH[isolated]},"alert":{alert}'
    return _NAMES[decision], ",".join(_VOTES[vote] for vote in votes), flags


def _number(value: float) -> str:
    return repr(round(value, 6)) if math.isfinite(value) else "null"

"""Decisions as lines of NDJSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from json.encoder import encode_basestring_ascii as quoted

import numpy as np

from marl_stl_agents.evaluation.rollouts import Rollout
from marl_stl_env.data.ingest.incoming import Chunk
from marl_stl_env.types import Action, AnyArray, BoolArray

_NAMES = [quoted(action.name) for action in Action]
_VOTES = [*_NAMES, "null"]  # silence is -1: the last
_TRUTH = ("false", "true")


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
        pieces = [
            map(str, self.chunk.events.tolist()),
            map(quoted, self.keys),
            map(_number, self.times),
            ("null" if one is None else quoted(one) for one in self.entities),
            (_NAMES[one] for one in rollout.decisions.tolist()),
            map(repr, np.round(rollout.scores, 6).tolist()),
            _by_row(rollout.actions, _votes),
            map(quoted, self.reasons),
            (_TRUTH[one] for one in rollout.isolated.tolist()),
            _alerts(rollout.granted, rollout.refused),
            self._robustness(),
        ]
        return "".join(
            f'{{"event":{event},"key":{key},"time":{time},"entity":{entity},'
            f'"decision":{decision},"threat_score":{score},"votes":[{votes}],"reason":{reason},'
            f'"isolated":{isolated},"alert":{alert}{specifications}}}\n'
            for event, key, time, entity, decision, score, votes, reason, isolated, alert,
            specifications in zip(*pieces, strict=True)
        ).encode()  # fmt: skip

    def _robustness(self) -> Iterable[str]:
        """The member ``specifications`` of each line, with the comma before it."""
        found = self.rollout.robustness
        if found is None:
            return [""] * len(self)
        names = [quoted(name) for name in self.specifications]

        def text(row: AnyArray) -> str:
            members = (
                f'{name}:{{"robustness":{_number(left)},"satisfied":{_TRUTH[not left < 0]}}}'
                for name, left in zip(names, row.tolist(), strict=True)
            )
            return f',"specifications":{{{",".join(members)}}}'

        return _by_row(found, text)


def _by_row(rows: AnyArray, text: Callable[[AnyArray], str]) -> list[str]:
    """The text of each row; it is made once for equal rows, of which there are few."""
    rows, known = np.ascontiguousarray(rows), dict[bytes, str]()
    data, size, found = rows.tobytes(), rows.itemsize * rows.shape[1], list[str]()
    for number in range(len(rows)):
        row = data[number * size : (number + 1) * size]
        written = known.get(row)
        if written is None:
            written = known[row] = text(rows[number])
        found.append(written)
    return found


def _votes(row: AnyArray) -> str:
    return ",".join(_VOTES[vote] for vote in row.tolist())


def _alerts(granted: BoolArray, refused: BoolArray) -> Iterable[str]:
    words = ("null", '"granted"', '"refused"')
    return [words[one] for one in np.where(granted, 1, np.where(refused, 2, 0)).tolist()]


def _number(value: float | None) -> str:
    return "null" if value is None or not math.isfinite(value) else repr(round(value, 6))

"""The decision on one event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from marl_stl_agents.evaluation.rollouts import Rollout
from marl_stl_env.data.ingest.incoming import Chunk
from marl_stl_env.data.ingest.one_event import as_text
from marl_stl_env.data.ingest.readers.verdicts import value_of
from marl_stl_env.data.ingest.texts import MISSING
from marl_stl_env.errors import DecidingError
from marl_stl_env.types import Action

_ACTIONS: tuple[Action | None, ...] = (*Action, None)  # silence is -1: the last


@dataclass(frozen=True, slots=True)
class Decision:
    """What a team decided on one event.

    Attributes:
        event: Number of the event in its stream, counted from 0.
        time: Its time in seconds, where it has one.
        entity: Its host, where it has one.
        action: What is carried out.
        threat_score: The sensors' mean probability of a threat vote, 0 to 1.
        votes: What each sensor voted; None for silence.
        reason: Why, in words.
        isolated: Whether the event was contained because its entity is isolated.
        granted: Whether the analyst is called.
        refused: Whether no analyst was left in the budget.
        shielded: Whether the shield replaced the vote's decision.
        specifications: The least robustness of each monitored specification so far: below 0 where
            it is violated, +inf before the first event that counts.
    """

    event: int
    time: float | None
    entity: str | None
    action: Action
    threat_score: float
    votes: tuple[Action | None, ...]
    reason: str
    isolated: bool = False
    granted: bool = False
    refused: bool = False
    shielded: bool = False
    specifications: Mapping[str, float] = field(default_factory=dict)

    @property
    def violated(self) -> tuple[str, ...]:
        """The specifications that are violated."""
        return tuple(name for name, left in self.specifications.items() if left < 0)


def as_decisions(
    chunk: Chunk, rollout: Rollout, reasons: Sequence[str], specifications: Sequence[str]
) -> list[Decision]:
    """The decisions of a rollout, event by event.

    Args:
        chunk: The events.
        rollout: Votes and decisions.
        reasons: The reason of each.
        specifications: Names of the monitored specifications.
    """
    rows = len(reasons)
    times = [None] * rows if chunk.times is None else chunk.times.tolist()
    entities = [None] * rows if chunk.entities is None else chunk.entities
    left = [()] * rows if rollout.robustness is None else rollout.robustness.tolist()
    columns = zip(
        chunk.events.tolist(), times, entities, rollout.decisions.tolist(),
        rollout.scores.tolist(), rollout.actions.tolist(), reasons, rollout.isolated.tolist(),
        rollout.granted.tolist(), rollout.refused.tolist(), rollout.shielded.tolist(), left,
        strict=True,
    )  # fmt: skip
    return [
        Decision(
            event, time, entity, Action(decision), score,
            tuple(_ACTIONS[vote] for vote in votes), reason, isolated, granted, refused, shielded,
            dict(zip(specifications, values, strict=bool(values))),
        )
        for event, time, entity, decision, score, votes, reason, isolated, granted, refused,
        shielded, values in columns
    ]  # fmt: skip


def verdict_of(value: Any) -> int:
    """A verdict as a stream takes it: 1 for a threat, 0 for benign, -1 for unknown.

    Raises:
        DecidingError: If it is none.
    """
    text = as_text(value)
    found = -1 if text in MISSING else value_of(text)
    if found is None:
        raise DecidingError(f"{value!r} is no verdict; write threat, benign, or nothing")
    return found

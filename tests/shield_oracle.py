"""What a shield must mask, by trying: carry the action out and let the worst stream follow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from marl_stl_env.stl.enforcement import Bound
from marl_stl_env.types import Action

PRESENCE = 64


class Event(NamedTuple):
    """A past event: its entity, what was carried out, and whether the entity was isolated."""

    entity: int
    action: int
    isolated: bool


@dataclass
class ScalarShield:
    """One lane's episode, remembered in full."""

    bounds: tuple[Bound, ...]
    quarantine_length: int
    past: list[Event] = field(default_factory=list)

    def isolated(self, entity: int, past: list[Event]) -> bool:
        starts = self._starts(entity, past)
        return bool(starts) and len(past) <= starts[-1] + self.quarantine_length

    def step(self, entity: int, action: int) -> None:
        self._append(self.past, entity, action)

    def masked(self, entity: int, action: int) -> bool:
        """Whether the action can end in a violation, all later events being of this entity."""
        past = list(self.past)
        if self.isolated(entity, past) or action in (Action.ALLOW, Action.BLOCK):
            return False
        self._append(past, entity, action)
        broken = self._violated(past)
        longest = max([self.quarantine_length, *(bound.window for bound in self.bounds)])
        begins = max(bound.start for bound in self.bounds)
        for _ in range(longest + max(begins - len(past), 0) + 1):
            self._append(past, entity, Action.ALLOW)
            broken = broken or self._violated(past)
        return broken

    def _append(self, past: list[Event], entity: int, action: int) -> None:
        isolated = self.isolated(entity, past)
        past.append(Event(entity, Action.QUARANTINE if isolated else action, isolated))

    def _violated(self, past: list[Event]) -> bool:
        """Whether a bound fails at the last event."""
        now = len(past) - 1
        for bound in self.bounds:
            value = self.signal(bound.kind, bound.window, past)
            limit, strict = _constant(bound), bound.comparison.operator == "<"
            if now >= bound.start and not (value < limit if strict else value <= limit):
                return True
        return False

    def signal(self, kind: str, window: int, past: list[Event]) -> float:
        """The signal at the last event, a benign one."""
        length = self.quarantine_length
        match kind:
            case "alerts":
                return sum(event.action == Action.ALERT for event in past[-window:])
            case "quarantines":
                return sum(_starts_one(event) for event in past[-window:])
            case "quarantined":
                return sum(_starts_one(event) for event in past[-length:])
            case "quarantined_fraction":
                present = {event.entity for event in past[-PRESENCE:]}
                return sum(_starts_one(event) for event in past[-length:]) / len(present)
        last = past[-1]
        before = self._starts(last.entity, past[:-1])
        if not _starts_one(last) or not before:
            return 0
        since = len(past) - 1 - (before[-1] + 1 + length)
        return float(0 <= since < window)

    def _starts(self, entity: int, past: list[Event]) -> list[int]:
        return [s for s, event in enumerate(past) if event.entity == entity and _starts_one(event)]


def _starts_one(event: Event) -> bool:
    return event.action == Action.QUARANTINE and not event.isolated


def _constant(bound: Bound) -> float:
    right = bound.comparison.right
    value: float = right.value  # type: ignore[attr-defined] # a constant
    return value

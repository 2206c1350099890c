"""The attackers' part of one lane, event by event, as a plain program would have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass
class ScalarAttack:
    """Which event comes next, in which disguise, and what it pays; no arrays, no lanes.

    Attributes:
        queue: Rows of the events still to come, in order; the first is the current one.
        owners: Row to its attacker, -1 for nobody.
        attackers: Number of attackers.
        disguises: Number of disguises.
        wait_events: Events for which an event waits.
        effectiveness: What is left of an attack in each disguise.
        wait_cost: What waiting costs.
    """

    queue: list[int]
    owners: Sequence[int]
    attackers: int
    disguises: int
    wait_events: int
    effectiveness: Sequence[float]
    wait_cost: float
    disguise: int = 0
    waiting: int | None = None
    left: int = 0
    payoffs: list[float] = field(default_factory=list)

    def current(self) -> tuple[int, int]:
        """Row and disguise of the current event."""
        return self.queue[0], self.disguise

    def step(self, chosen: Sequence[int], payoff: float) -> list[float]:
        """Evaluate the current event with the team's payoff; the rewards of the attackers."""
        row, disguise = self.current()
        rewards = [0.0] * self.attackers
        if self.owners[row] < 0:
            rewards = [-payoff / self.attackers] * self.attackers
        else:
            gain = -payoff
            lost = (1 - self.effectiveness[disguise]) * gain if gain > 0 else 0.0
            rewards[self.owners[row]] = gain - lost
        self.queue.pop(0)
        waited = self._next(chosen)
        if waited is not None:
            rewards[waited] -= self.wait_cost
        return rewards

    def _next(self, chosen: Sequence[int]) -> int | None:
        """Prepare the next event; the attacker that made it wait, if one did."""
        self.disguise = 0
        if self.waiting is not None:
            self.left -= 1
            if self.left <= 0:
                self.queue.insert(0, self.waiting)
                self.waiting = None
        if not self.queue:
            return None
        owner, wait = self.owners[self.queue[0]], self.disguises + 1
        action = chosen[owner] if owner >= 0 else 0
        waited = None
        if action == wait and self.waiting is None and len(self.queue) > 1:
            waited, self.waiting = owner, self.queue.pop(0)
            self.left = min(self.wait_events, len(self.queue))
            other = self.owners[self.queue[0]]
            action = chosen[other] if other >= 0 and other != owner else 0
        self.disguise = action if action < wait else 0
        return waited


def rows_of(start: int, length: int) -> list[int]:
    """Rows of an episode."""
    return list(np.arange(start, start + length))

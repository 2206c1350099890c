"""Slow scalar references for the consensus tests, written from the definitions."""

from __future__ import annotations

from collections.abc import Sequence

THREAT = (1, 2)  # Block, Quarantine
BENIGN = (0, 3)  # Allow, Alert


def decide(actions: Sequence[int], max_faulty: int, threshold: int) -> int:
    """The decision on one agreed vector of actions (-1 is silence)."""
    threat = sum(action in THREAT for action in actions) >= threshold
    decision, most = (2, max_faulty) if threat else (0, max_faulty)
    for action in THREAT if threat else BENIGN:
        supporters = sum(other == action for other in actions)
        if supporters > most:
            decision, most = action, supporters
    return decision

"""Slow scalar references for the consensus tests, written from the definitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

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


def majority(values: Sequence[int]) -> int:
    """The value that more than half of them hold, else silence."""
    for value in set(values):
        if 2 * values.count(value) > len(values):
            return value
    return -1


class Messages:
    """Messages of Byzantine sensors, from one array per round; other values count as silence."""

    def __init__(self, rounds: Sequence[np.ndarray[Any, Any]], byzantine: Sequence[bool]) -> None:
        self.rounds = rounds
        self.byzantine = byzantine

    def __call__(self, number: int, *place: int) -> int:
        value = int(self.rounds[number][place])
        return value if value in range(4) else -1


def oral_messages(votes: Sequence[int], max_faulty: int, sent: Messages) -> list[list[int]]:
    """Lamport, Shostak and Pease's OM(f) for each sender, by recursion over the paths."""
    agents = range(len(votes))

    def held(sensor: int, path: tuple[int, ...]) -> int:
        *before, last = path
        if sent.byzantine[last]:
            return sent(len(before), sensor, last, *before)
        return held(last, tuple(before)) if before else votes[last]

    def settled(sensor: int, path: tuple[int, ...]) -> int:
        if len(path) == max_faulty + 1:
            return held(sensor, path)
        return majority([settled(sensor, (*path, q)) for q in agents if q not in path])

    return [[settled(sensor, (sender,)) for sender in agents] for sensor in agents]


def phase_kings(votes: Sequence[int], max_faulty: int, sent: Messages) -> list[list[int]]:
    """Berman, Garay and Perry's Phase King on the vote of each sender, sensor by sensor."""
    agents = range(len(votes))
    agreed = [[0 for _ in agents] for _ in agents]
    for instance in agents:
        faulty_sensor = sent.byzantine[instance]
        x = [sent(0, r, instance) if faulty_sensor else votes[instance] for r in agents]
        for king in range(max_faulty + 1):
            x = phase_king(x, instance, king, max_faulty, sent)
        for sensor in agents:
            agreed[sensor][instance] = x[sensor]
    return agreed


def phase_king(
    x: list[int], instance: int, king: int, max_faulty: int, sent: Messages
) -> list[int]:
    """One phase of one agreement; None is "no proposal"."""
    agents = range(len(x))
    quorum = len(x) - max_faulty

    def received_in(number: int, honest: Sequence[int | None], receiver: int) -> list[int | None]:
        return [
            sent(number, receiver, s, instance) if sent.byzantine[s] else honest[s] for s in agents
        ]

    proposals: list[int | None] = []
    for receiver in agents:
        votes = received_in(1 + 3 * king, x, receiver)
        often = [v for v in range(-1, 4) if votes.count(v) >= quorum]
        proposals.append(often[0] if often else None)
    taken, sure = list(x), []
    for receiver in agents:
        received = received_in(2 + 3 * king, proposals, receiver)
        for value in range(-1, 4):
            taken[receiver] = value if received.count(value) > max_faulty else taken[receiver]
        sure.append(any(received.count(value) >= quorum for value in range(-1, 4)))
    orders = [
        sent(3 + 3 * king, r, 0, instance) if sent.byzantine[king] else taken[king] for r in agents
    ]
    return [taken[r] if sure[r] else orders[r] for r in agents]

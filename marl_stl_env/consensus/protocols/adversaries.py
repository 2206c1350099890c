"""What Byzantine sensors send while a protocol runs: adversaries for tests and studies."""

from __future__ import annotations

import numpy as np

from marl_stl_env.consensus.protocols.agreement import Adversary
from marl_stl_env.consensus.rules import SILENT
from marl_stl_env.types import ACTIONS, Int8Array


def random_messages(rng: np.random.Generator) -> Adversary:
    """Any action or silence, drawn anew for every single message: random equivocation."""

    def adversary(number: int, messages: Int8Array) -> Int8Array:  # noqa: ARG001 - its contract
        return rng.integers(SILENT, ACTIONS, messages.shape, np.int8)

    return adversary


def random_splits(rng: np.random.Generator) -> Adversary:
    """One value to some receivers and another to the rest, all faulty sensors together.

    Values and receivers are drawn anew for every lane and round. Far more dangerous than random
    messages, since it can hold two halves of the team apart.
    """

    def adversary(number: int, messages: Int8Array) -> Int8Array:  # noqa: ARG001 - its contract
        lanes, receivers, *rest = messages.shape
        one = [1] * len(rest)
        first, second = rng.integers(SILENT, ACTIONS, (2, lanes, 1, *one), np.int8)
        side = rng.random((lanes, receivers, *one)) < 0.5
        return np.broadcast_to(np.where(side, first, second), messages.shape)

    return adversary


def two_faced(even: int, odd: int) -> Adversary:
    """One value to the receivers of even number, another to those of odd number, always."""

    def adversary(number: int, messages: Int8Array) -> Int8Array:  # noqa: ARG001 - its contract
        lies = np.full((messages.shape[1], *[1] * (messages.ndim - 2)), even, np.int8)
        lies[1::2] = odd
        return np.broadcast_to(lies, messages.shape)

    return adversary

"""Adversaries: the messages of Byzantine sensors during a protocol, for tests and studies."""

from __future__ import annotations

import numpy as np

from marl_stl_env.consensus.protocols.agreement import Adversary
from marl_stl_env.consensus.rules import SILENT
from marl_stl_env.types import ACTIONS, Int8Array


def random_messages(rng: np.random.Generator) -> Adversary:
    """A random action or silence in every single message: random equivocation."""

    def adversary(number: int, messages: Int8Array) -> Int8Array:  # noqa: ARG001 - its contract
        return rng.integers(SILENT, ACTIONS, messages.shape, np.int8)

    return adversary


def random_splits(rng: np.random.Generator) -> Adversary:
    """All faulty sensors send one value to some receivers and another to the rest.

    The values and receivers of every lane and round are random. This is far more dangerous than
    random messages, since it can keep two halves of the team apart.
    """

    def adversary(number: int, messages: Int8Array) -> Int8Array:  # noqa: ARG001 - its contract
        lanes, receivers, *rest = messages.shape
        one = [1] * len(rest)
        first, second = rng.integers(SILENT, ACTIONS, (2, lanes, 1, *one), np.int8)
        side = rng.random((lanes, receivers, *one)) < 0.5
        return np.broadcast_to(np.where(side, first, second), messages.shape)

    return adversary


def two_faced(even: int, odd: int) -> Adversary:
    """Always one value to receivers of even index and another to those of odd index."""

    def adversary(number: int, messages: Int8Array) -> Int8Array:  # noqa: ARG001 - its contract
        values = np.full((messages.shape[1], *[1] * (messages.ndim - 2)), even, np.int8)
        values[1::2] = odd
        return np.broadcast_to(values, messages.shape)

    return adversary

"""Votes, adversaries and the properties of agreement, for the tests of protocols."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from marl_stl_env.consensus.faults import draw_faulty
from marl_stl_env.consensus.protocols.agreement import Adversary
from marl_stl_env.consensus.rules import SILENT
from marl_stl_env.types import ACTIONS, BoolArray, Int8Array

SYMBOLS = range(SILENT, ACTIONS)
TEAMS = [(4, 1), (7, 2)]
teams = pytest.mark.parametrize(("agents", "faulty"), TEAMS)


def draw(rng: np.random.Generator, lanes: int, agents: int, n_byzantine: int) -> Any:
    """Random votes, half of the lanes with two different votes only, and Byzantine sensors."""
    votes = rng.integers(0, ACTIONS, (lanes, agents), np.int8)
    pair = rng.integers(0, ACTIONS, (lanes // 2, 2), np.int8)
    votes[: lanes // 2] = np.take_along_axis(pair, votes[: lanes // 2] % 2, axis=1)
    return votes, draw_faulty(rng.integers(0, 2**64, (lanes, agents), np.uint64), n_byzantine)


def agreement(outputs: Int8Array, byzantine: BoolArray) -> BoolArray:
    """Whether all honest sensors end with the same output, by lane."""
    outputs = outputs.reshape(*byzantine.shape, -1)
    honest = ~byzantine[:, :, None]
    high = np.where(honest, outputs, SILENT).max(axis=1)
    low = np.where(honest, outputs, ACTIONS).min(axis=1)
    same: BoolArray = np.logical_and.reduce(high == low, axis=1)
    return same


def validity(agreed: Int8Array, votes: Int8Array, byzantine: BoolArray) -> BoolArray:
    """Whether every honest sensor's vote is what every honest sensor holds for it, by lane."""
    right = agreed == votes[:, None]
    anyway = byzantine[:, :, None] | byzantine[:, None, :]
    valid: BoolArray = np.logical_and.reduce((right | anyway).reshape(len(votes), -1), axis=1)
    return valid


def replay(rounds: list[Int8Array]) -> Adversary:
    return lambda number, _: rounds[number]

"""Counter-based random words: every lane has its own stream, whatever its neighbours do.

A word depends on the lane's seed, the number of its episode and the number of the draw alone, so
that the state of the generator is two integers per lane and lanes can be added, dropped or moved
to another array library without changing what any of them sees.

The arithmetic is on *bits*: 64-bit words held in int64, in which every array library multiplies
and adds modulo 2**64. It uses operators only, and so works on numpy and torch alike.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from marl_stl_env.arrays import shift_right
from marl_stl_env.errors import ConfigError
from marl_stl_env.types import IntArray

WordArray: TypeAlias = NDArray[np.uint64]


def _signed(word: int) -> int:
    return word - 2**64 if word >= 2**63 else word


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_FACTORS = (_signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB))


def mix(bits: IntArray) -> IntArray:
    """The SplitMix64 finaliser (Steele, Lea and Flood 2014, "Fast splittable generators")."""
    bits = (bits ^ shift_right(bits, 30)) * _FACTORS[0]
    bits = (bits ^ shift_right(bits, 27)) * _FACTORS[1]
    return bits ^ shift_right(bits, 31)


def random_bits(seeds: IntArray, episodes: IntArray, draws: IntArray | Literal[0]) -> IntArray:
    """64 random bits for every (seed, episode, draw).

    Args:
        seeds: Seed of each lane, as bits.  # broadcastable int64
        episodes: Number of the lane's episode, from 0.  # broadcastable int64
        draws: Number of the draw within the episode, from 0.  # broadcastable int64

    Returns:
        Uniform bits.  # broadcast shape, int64
    """
    bits = mix(seeds + _GOLDEN)
    bits = mix(bits + (episodes + 1) * _GOLDEN)
    return mix(bits + (draws + 1) * _GOLDEN)


def random_words(seeds: WordArray, episodes: WordArray, draws: WordArray) -> WordArray:
    """:func:`random_bits` of numpy arrays, as unsigned words.

    Args:
        seeds: Seed of each lane.  # broadcastable uint64
        episodes: Number of the lane's episode, from 0.  # broadcastable uint64
        draws: Number of the draw within the episode, from 0.  # broadcastable uint64

    Returns:
        Uniform words.  # broadcast shape, uint64
    """
    signed = (array.view(np.int64) for array in (seeds, episodes, draws))
    return random_bits(*signed).view(np.uint64)


def lane_seeds(seeds: int | ArrayLike | None, lanes: int) -> WordArray:
    """A seed for every lane.

    Args:
        seeds: One seed s (lane i gets s + i), or one per lane; None draws from the system.
        lanes: Number of lanes.

    Returns:
        The seeds.  # (lanes,) uint64

    Raises:
        ConfigError: If a seed is negative or there are not as many as lanes.
    """
    if seeds is None:
        seeds = int(np.random.SeedSequence().generate_state(1)[0])
    given = np.asarray(seeds)
    if given.ndim == 0 and given.dtype.kind in "iu":
        given = given + np.arange(lanes)
    if given.shape != (lanes,) or given.dtype.kind not in "iu" or (given < 0).any():
        raise ConfigError(
            f"seeds must be one non-negative integer or {lanes} of them, not {seeds!r}"
        )
    return given.astype(np.uint64)

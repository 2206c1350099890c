"""Counter-based random words: every lane has its own stream, whatever its neighbours do.

A word depends on the lane's seed, the number of its episode and the number of the draw alone, so
that the state of the generator is two integers per lane and lanes can be added, dropped or moved
to another array library without changing what any of them sees.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

WordArray: TypeAlias = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def mix(words: WordArray) -> WordArray:
    """The SplitMix64 finaliser (Steele, Lea and Flood 2014, "Fast splittable generators")."""
    words = (words ^ (words >> _SHIFTS[0])) * _FACTORS[0]
    words = (words ^ (words >> _SHIFTS[1])) * _FACTORS[1]
    return words ^ (words >> _SHIFTS[2])


def random_words(seeds: WordArray, episodes: WordArray, draws: WordArray) -> WordArray:
    """One 64-bit word for every (seed, episode, draw).

    Args:
        seeds: Seed of each lane.  # broadcastable uint64
        episodes: Number of the lane's episode, from 0.  # broadcastable uint64
        draws: Number of the draw within the episode, from 0.  # broadcastable uint64

    Returns:
        Uniform words.  # broadcast shape, uint64
    """
    words = mix(seeds + _GOLDEN)
    for counter in (episodes, draws):
        words = mix(words + (counter + np.uint64(1)) * _GOLDEN)
    return words


def uniform(words: WordArray) -> NDArray[np.float64]:
    """The words as float64 in [0, 1), from their upper 53 bits."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53

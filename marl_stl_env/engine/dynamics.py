"""How episodes begin and events follow each other in ``Traffic-v0``."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np

from marl_stl_env.arrays import Arrays
from marl_stl_env.config import Order
from marl_stl_env.engine.state import LaneState
from marl_stl_env.engine.streams import random_bits
from marl_stl_env.types import BoolArray, IntArray

_SHUFFLE_SEED = 20_090_708
_START_DRAW: Literal[0] = 0


@lru_cache(maxsize=8)
def replay_order(rows: int, order: Order) -> IntArray:
    """The table row at each place of the replay, the same in every lane and run.

    After the split's last event there is no next one: its observation is shown again.

    Returns:
        Row indices, the last one twice.  # (rows + 1,) int64, read-only
    """
    places = np.arange(rows, dtype=np.int64)
    if order == "shuffled":
        places = np.random.default_rng(_SHUFFLE_SEED).permutation(places)
    places = np.append(places, places[-1])
    places.setflags(write=False)
    return places


def begin_episodes(
    state: LaneState, mask: BoolArray, rows: int, episode_length: int, arrays: Arrays
) -> None:
    """Put the masked lanes at the start of their next episode, drawn uniformly.

    The start leaves room for a whole episode and for the observation after its last event.

    Args:
        state: Changed in place.
        mask: Lanes to begin anew.  # (lanes,) bool
        rows: Rows of the table.
        episode_length: Events of an episode.
        arrays: The library of the arrays.
    """
    lanes = arrays.lanes_of(mask)
    seeds, episodes = (arrays.bits(words[lanes]) for words in (state.seeds, state.episodes))
    bits = random_bits(seeds, episodes, _START_DRAW)
    starts = arrays.below(bits, max(rows - episode_length, 1))
    ends = starts + min(episode_length, rows)
    for places, new in ((state.starts, starts), (state.positions, starts), (state.ends, ends)):
        places[lanes] = arrays.where(mask[lanes], new, places[lanes])
    state.episodes += mask


def advance(state: LaneState, acting: BoolArray, arrays: Arrays) -> None:
    """Move every running lane that voted on to its next event.

    Args:
        state: Changed in place.
        acting: Lanes that voted, and whose episode is running.  # (lanes,) bool
        arrays: The library of the arrays.
    """
    state.positions += arrays.cast(acting, np.int64)

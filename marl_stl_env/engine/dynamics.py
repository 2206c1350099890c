"""How episodes begin and events follow each other in ``Traffic-v0``."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from marl_stl_env.config import Order
from marl_stl_env.engine.state import LaneState
from marl_stl_env.engine.streams import random_words, uniform
from marl_stl_env.types import BoolArray, IntArray

_SHUFFLE_SEED = 20_090_708
_START_DRAW = np.zeros(1, dtype=np.uint64)


@lru_cache(maxsize=8)
def replay_order(rows: int, order: Order) -> IntArray:
    """The table row at each place of the replay, the same in every lane and run.

    Returns:
        Row indices.  # (rows,) int64, read-only
    """
    places = np.arange(rows, dtype=np.int64)
    if order == "shuffled":
        places = np.random.default_rng(_SHUFFLE_SEED).permutation(places)
    places.setflags(write=False)
    return places


def begin_episodes(state: LaneState, mask: BoolArray, rows: int, episode_length: int) -> None:
    """Put the masked lanes at the start of their next episode, drawn uniformly.

    The start leaves room for a whole episode and for the observation after its last event.

    Args:
        state: Changed in place.
        mask: Lanes to begin anew.  # (lanes,) bool
        rows: Rows of the table.
        episode_length: Events of an episode.
    """
    words = random_words(state.seeds[mask], state.episodes[mask], _START_DRAW)
    starts = (uniform(words) * max(rows - episode_length, 1)).astype(np.int64)
    state.starts[mask] = starts
    state.positions[mask] = starts
    state.ends[mask] = np.minimum(starts + episode_length, rows)
    state.episodes[mask] += np.uint64(1)


def advance(state: LaneState) -> None:
    """Move every lane that voted on to its next event; finished lanes stay at their end."""
    np.minimum(state.positions + state.voting, state.ends, out=state.positions)

"""How often things happened in the last steps, lane by lane."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from marl_stl_env.arrays import Arrays
from marl_stl_env.engine.spec_signals.names import BIT
from marl_stl_env.types import AnyArray, BoolArray, Float32Array, IntArray

#: What is counted, and over how many steps.
Key = tuple[str, int]


class WindowCounts:
    """Counts over windows that end with the current step.

    A step leaves one byte in a ring, whose bits say what happened. It enters every window, and an
    older one leaves each. All lanes write to the same place of the ring.

    Args:
        keys: What is counted.
        counts: The counts, all 0, which are changed in place.  # (keys, lanes) float32
        arrays: The array library and device.
    """

    def __init__(self, keys: Sequence[Key], counts: Float32Array, arrays: Arrays) -> None:
        self._counts, self._arrays, lanes = counts, arrays, counts.shape[1]
        windows = np.array([window for _, window in keys], np.int64)
        self._longest = int(max(windows, default=1))
        # With one place more, what leaves the longest window is still there.
        places = self._longest + 1
        self._ring = arrays.asarray(np.zeros((places, lanes), np.uint8))
        self._cycle = arrays.cycle(places)
        self._place = next(self._cycle)
        now = np.arange(places)[:, None]
        self._moved: IntArray = arrays.asarray(  # (places, entering and leaving, keys)
            np.stack([np.repeat(now, len(keys), axis=1), (now - windows) % places], axis=1)
        )
        self._before: IntArray = arrays.asarray(np.arange(-1, places - 1) % places)
        bits = np.array([BIT.get(name, 0) for name, _ in keys], np.uint8)
        # Of full shape: over few lanes, numpy's broadcasting takes longer than the operation.
        self._bits = arrays.asarray(np.tile(bits[:, None], (2, 1, lanes)))
        self._no_bit = arrays.asarray(np.array(0, np.uint8))
        self._moves = arrays.asarray(np.zeros((2, len(keys), lanes), np.float32))
        self._entering, self._leaving = self._moves[0], self._moves[1]

    def reset(self, mask: BoolArray) -> None:
        """Forget the masked lanes.  # (lanes,) bool."""
        self._arrays.fill_columns(self._ring, mask, 0)
        self._arrays.fill_columns(self._counts, mask, 0)

    def step(self, happened: AnyArray, counting: BoolArray | None) -> None:
        """Count one step.

        Args:
            happened: The bits of what happened.  # (lanes,) uint8
            counting: Lanes in which it counts, None for all; in others there was no step.
                # (lanes,) bool
        """
        arrays, ring = self._arrays, self._ring
        self._place = place = next(self._cycle)
        if counting is not None:  # the past of the others moves along
            ring[:] = arrays.where(counting, ring, arrays.take(ring, self._before))
            happened = arrays.where(counting, happened, ring[place])
        ring[place] = happened
        bits = arrays.take(ring, self._moved[place]) & self._bits
        self._moves[:] = bits != self._no_bit
        if counting is not None:
            self._moves *= counting
        self._counts += self._entering
        self._counts -= self._leaving

    def history(self, steps: IntArray) -> AnyArray:
        """A copy of the bytes of the last steps, in a form that no place of the ring enters.

        Args:
            steps: Number of each lane's last step in its episode.  # (lanes,) int64

        Returns:
            The byte of step s at s modulo the longest window.  # (lanes, longest) uint8
        """
        ring = self._arrays.tonumpy(self._ring, np.uint8)
        history = np.empty((len(steps), self._longest), np.uint8)
        lanes, columns, places = self._columns(steps)
        history[lanes, columns] = ring[places].T
        return history

    def follow(self, history: AnyArray, steps: IntArray) -> None:
        """Go on after what :meth:`history` gave."""
        ring = np.zeros(self._ring.shape, np.uint8)
        lanes, columns, places = self._columns(steps)
        ring[places] = history[lanes, columns].T
        self._ring[:] = self._arrays.asarray(ring)

    def _columns(self, steps: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """Where the last steps stand in a history, and in the ring."""
        back, place = np.arange(self._longest), int(self._place)
        columns = (steps[:, None] - back) % self._longest
        return np.arange(len(steps))[:, None], columns, (place - back) % len(self._ring)

"""What is remembered of each lane between two samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from marl_stl_env.arrays import NUMPY, Arrays
from marl_stl_env.errors import StateError
from marl_stl_env.types import AnyArray, BoolArray, Float32Array, IntArray
from marl_stl_env.validation import check_memory


class Memory:
    """What operators remember of each lane, and the clocks of the lanes.

    Rows are written in turns by a lane's tick. Lanes that sample together share theirs.

    Attributes:
        lanes: Number of lanes.
        arrays: The array library and device.
        youngest: At most the least age of any lane, known without a look at them; always -1 on a
            device, where one step is as all others and may be recorded in a graph.
    """

    def __init__(self, lanes: int, arrays: Arrays = NUMPY) -> None:
        self.lanes, self.arrays = lanes, arrays
        # Number of the current sample by lane, in all and in its episode.
        self._clocks: IntArray = arrays.asarray(np.full((2, lanes), -1))
        self._one: IntArray = arrays.asarray(np.array(1))
        self.youngest = -1
        self._tick: int | None = -1  # that of all lanes; None where they differ
        self._rows: list[tuple[Float32Array, float]] = []
        self._bytes = 0

    @property
    def ticks(self) -> IntArray:
        """Number of the current sample, by lane; changed in place.  # (lanes,) int64."""
        ticks: IntArray = self._clocks[0]
        return ticks

    @property
    def age(self) -> IntArray:
        """Number of the current sample in its episode; changed in place.  # (lanes,) int64."""
        age: IntArray = self._clocks[1]
        return age

    def rows(self, count: int, fill: float) -> Float32Array:
        """New rows, holding ``fill`` until written and after a reset.  # (count, lanes) float32.

        Raises:
            ConfigError: If all rows together would not fit into memory.
        """
        self._bytes += count * self.lanes * np.float32().nbytes
        check_memory({f"an interval of {count} steps in {self.lanes} lanes": self._bytes})
        rows: Float32Array = self.arrays.asarray(np.full((count, self.lanes), fill, np.float32))
        self._rows.append((rows, fill))
        return rows

    def advance(self, sampling: BoolArray | None = None) -> list[tuple[int, BoolArray | None]]:
        """Begin the next sample.

        Args:
            sampling: The lanes that take one; None for all. On a device the host waits for it.
                # (lanes,) bool

        Returns:
            Ticks, each with the lanes that take the sample at it (None for all): a single one as
            long as the lanes that sample do so together.
        """
        if sampling is None and self.arrays is NUMPY:
            self.youngest += 1
        if sampling is None and self._tick is not None:
            self._tick += 1
            self._clocks += self._one
            return [(self._tick, None)]
        arrays = self.arrays
        every = np.ones(self.lanes, np.bool_)
        given = every if sampling is None else arrays.tonumpy(sampling, np.bool_)
        all_ticks, age = (arrays.tonumpy(array, np.int64) for array in (self.ticks, self.age))
        lanes = np.flatnonzero(given)
        ticks, new = all_ticks[lanes], age[lanes] < 0
        if new.any():  # without samples a lane can take any tick: it joins the others
            ticks[new] = (ticks if new.all() else ticks[~new]).max()
        all_ticks[lanes] = ticks = ticks + 1
        self.ticks[:] = arrays.asarray(all_ticks)
        self._clocks[1] += arrays.asarray(given)
        self._tick = _common(all_ticks)
        return [
            (tick, arrays.asarray(given & (all_ticks == tick)))
            for tick in np.unique(ticks).tolist()
        ]

    @contextmanager
    def only(self, mask: BoolArray) -> Iterator[None]:
        """Undo afterwards what is written inside to the rows of other lanes."""
        arrays, others = self.arrays, self.arrays.lanes_of(~mask)
        kept = [arrays.copy(rows[:, others]) for rows, _ in self._rows]
        yield
        for (rows, _), values in zip(self._rows, kept, strict=True):
            rows[:, others] = arrays.where(mask[others], rows[:, others], values)

    def reset(self, mask: BoolArray) -> None:
        """Forget the lanes where ``mask`` is True."""
        self.youngest = -1
        self.arrays.fill(self.age, mask, -1)
        for rows, fill in self._rows:
            self.arrays.fill_columns(rows, mask, fill)

    def get_state(self) -> dict[str, AnyArray]:
        """Copies of all arrays, by name."""
        tonumpy = self.arrays.tonumpy
        state = {"tick": tonumpy(self.ticks, np.int64), "age": tonumpy(self.age, np.int64)}
        rows = (tonumpy(rows, np.float32) for rows, _ in self._rows)
        return state | {f"rows_{i}": array for i, array in enumerate(rows)}

    def set_state(self, state: Mapping[str, AnyArray]) -> None:
        """Take over the arrays of :meth:`get_state`.

        Raises:
            StateError: If they belong to other formulas or another number of lanes.
        """
        own = self.get_state()
        if state.keys() != own.keys():
            raise StateError(f"monitor state has {len(state)} arrays, these monitors {len(own)}")
        for name, array in own.items():
            given = np.asarray(state[name])
            if (given.shape, given.dtype) != (array.shape, array.dtype):
                raise StateError(
                    f"monitor state {name!r} is {given.shape} {given.dtype}, these monitors need "
                    f"{array.shape} {array.dtype}: build them from the same formulas and lanes"
                )
        taken = {name: self.arrays.asarray(np.array(array)) for name, array in state.items()}
        self.ticks[:], self.age[:] = taken["tick"], taken["age"]
        self._tick, self.youngest = _common(state["tick"]), -1
        for i, (rows, _) in enumerate(self._rows):
            rows[:] = taken[f"rows_{i}"]


def _common(ticks: IntArray) -> int | None:
    """The tick of all lanes; None where they differ."""
    return int(ticks[0]) if (ticks == ticks[0]).all() else None

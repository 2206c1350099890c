"""Temporal operators one sample at a time, all lanes at once.

Every operator is compiled for a delay d and gives, at each step, its value d samples ago. A future
window that ends b steps ahead is then a past window over an operand delayed by d - b. Only
comparisons and propositions really delay; everything remembered is rows of one :class:`Memory`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from marl_stl_env.arrays import NUMPY, Arrays
from marl_stl_env.errors import FormulaError, StateError
from marl_stl_env.stl.device.atoms import DeviceAtom
from marl_stl_env.stl.formula import (
    Comparison,
    Connective,
    Formula,
    Interval,
    Not,
    Proposition,
    Span,
    Truth,
    Window,
)
from marl_stl_env.stl.signals import Atom, atom
from marl_stl_env.types import AnyArray, BoolArray, Float32Array, IntArray
from marl_stl_env.validation import check_memory

#: Up to this width a plain ring is faster than two stacks.
_WIDEST_RING = 8


class Memory:
    """What operators remember of each lane, and the clocks of the lanes.

    Rows are written in turns by a lane's tick. Lanes that sample together share theirs.
    """

    def __init__(self, lanes: int, arrays: Arrays = NUMPY) -> None:
        self.lanes, self.arrays = lanes, arrays
        never = np.full(lanes, -1)
        self.ticks: IntArray = arrays.asarray(never)  # number of the current sample, by lane
        # Number of the current sample in its episode.
        self.age: IntArray = arrays.asarray(never.copy())
        self._tick: int | None = -1  # that of all lanes; None where they differ
        self._rows: list[tuple[Float32Array, float]] = []
        self._bytes = 0

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
        if sampling is None and self._tick is not None:
            self._tick += 1
            self.ticks += 1
            self.age += 1
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
        self.age += arrays.asarray(given)
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
        self._tick = _common(state["tick"])
        for i, (rows, _) in enumerate(self._rows):
            rows[:] = taken[f"rows_{i}"]


def _common(ticks: IntArray) -> int | None:
    """The tick of all lanes; None where they differ."""
    return int(ticks[0]) if (ticks == ticks[0]).all() else None


@dataclass(frozen=True)
class Sample:
    """One sample of every signal."""

    signals: Mapping[str, Float32Array]  # (lanes,) float32 each
    tick: int
    age: IntArray  # (lanes,) int64


class _Pairwise(Protocol):
    """The smaller or the larger ones of two arrays."""

    def __call__(self, values: Any, others: Any, out: Any = None) -> Any: ...


class Operator(ABC):
    """Something with a value at every step."""

    @abstractmethod
    def step(self, sample: Sample) -> Float32Array:
        """The value, d samples ago; valid until the next step.  # (lanes,) float32."""


class Compiler:
    """Turns formulas into operators.

    Args:
        memory: Where the operators keep their rows.
        boolean: Whether comparisons give +1 and -1 instead of a distance.
    """

    def __init__(self, memory: Memory, *, boolean: bool) -> None:
        self._memory, self._boolean = memory, boolean

    def operator(self, formula: Formula, delay: int) -> Operator:
        """Compile a formula.

        Args:
            formula: A formula with a horizon of at most ``delay``.
            delay: How many samples ago the value is wanted.

        Raises:
            FormulaError: If a future window is unbounded.
        """
        match formula:
            case Truth() | Proposition() | Comparison():
                return _Atom(formula, delay, self._memory, self._boolean)
            case Not(operand=operand):
                return _Negation(self.operator(operand, delay))
            case Connective(operator=operator, left=left, right=right):
                first, second = self.operator(left, delay), self.operator(right, delay)
                first = _Negation(first) if operator == "->" else first
                arrays = self._memory.arrays
                extreme = arrays.minimum if operator == "and" else arrays.maximum
                return _Extreme(extreme, first, second)
            case Window():
                return self._window(formula, delay)
            case Span():
                return self._span(formula, delay)
        raise TypeError(f"{formula!r} is no formula")

    def _window(self, formula: Window, delay: int) -> Operator:
        arrays = self._memory.arrays
        extreme = arrays.minimum if formula.is_universal else arrays.maximum
        neutral = math.inf if formula.is_universal else -math.inf
        operand = self._newest(formula, formula.operand, neutral, delay)
        width = formula.interval.width
        if width == 1:
            return operand
        if width is None:
            return _Accumulated(extreme, neutral, operand, self._memory)
        if width > _WIDEST_RING:
            return _TwoStacks(extreme, neutral, operand, width, self._memory)
        reduce = arrays.least if formula.is_universal else arrays.greatest
        return _Ring(reduce, neutral, operand, width, self._memory)

    def _span(self, formula: Span, delay: int) -> Operator:
        left = self._newest(formula, formula.left, math.inf, delay)
        right = self._newest(formula, formula.right, -math.inf, delay)
        start, width = formula.interval.start, formula.interval.width
        span: Operator
        if width is None:
            span = _Since(left, right, self._memory)
        else:
            span = _StackedSpan(left, right, width, formula.is_past, self._memory)
        if start == 0:
            return span
        # The left side must also hold on the `start` samples between now and the window.
        between = Interval(0, start - 1)
        held = Window("historically" if formula.is_past else "always", between, formula.left)
        return _Extreme(self._memory.arrays.minimum, span, self._window(held, delay))

    def _newest(
        self, formula: Window | Span, part: Formula, neutral: float, delay: int
    ) -> Operator:
        """A part of the formula at the newest instant of its window.

        Before the lane's start there is nothing, so a past window sees the neutral value there.
        """
        interval = formula.interval
        if formula.is_past:
            delay += interval.start
            operand = self.operator(part, delay)
            return _Started(operand, delay, neutral, self._memory.arrays) if delay else operand
        if interval.end is None:
            raise FormulaError(
                f"'{formula}' looks infinitely far ahead and cannot be monitored: bound the "
                "window or state the specification in past-time form"
            )
        return self.operator(part, delay - interval.end)


class _Atom(Operator):
    """A formula without inner formulas, delayed by a ring of d + 1 rows."""

    def __init__(self, formula: Atom, delay: int, memory: Memory, boolean: bool) -> None:
        lanes, arrays = memory.lanes, memory.arrays
        self._values: Callable[[Mapping[str, AnyArray]], Float32Array]
        if arrays is NUMPY:
            self._values = partial(atom, formula, shape=(lanes,), boolean=boolean)
        else:
            self._values = DeviceAtom(formula, lanes, boolean, arrays)
        self._ring = memory.rows(delay + 1, 0.0) if delay else None

    def step(self, sample: Sample) -> Float32Array:
        values = self._values(sample.signals)
        if self._ring is None:
            return values
        self._ring[sample.tick % len(self._ring)] = values
        oldest: Float32Array = self._ring[(sample.tick + 1) % len(self._ring)]
        return oldest


class _Negation(Operator):
    def __init__(self, operand: Operator) -> None:
        self._operand = operand

    def step(self, sample: Sample) -> Float32Array:
        return -self._operand.step(sample)


class _Extreme(Operator):
    """The smaller or the larger of two values."""

    def __init__(self, extreme: _Pairwise, left: Operator, right: Operator) -> None:
        self._extreme, self._left, self._right = extreme, left, right

    def step(self, sample: Sample) -> Float32Array:
        values: Float32Array = self._extreme(self._left.step(sample), self._right.step(sample))
        return values


class _Started(Operator):
    """The neutral value until the operand's instant lies within the lane's episode."""

    def __init__(self, operand: Operator, delay: int, neutral: float, arrays: Arrays) -> None:
        self._operand, self._delay, self._neutral = operand, delay, neutral
        self._arrays = arrays

    def step(self, sample: Sample) -> Float32Array:
        values = self._operand.step(sample)
        late: Float32Array = self._arrays.where(sample.age < self._delay, self._neutral, values)
        return late


class _Accumulated(Operator):
    """The extreme since the lane's start."""

    def __init__(
        self, extreme: _Pairwise, neutral: float, operand: Operator, memory: Memory
    ) -> None:
        self._extreme, self._operand = extreme, operand
        self._values: Float32Array = memory.rows(1, neutral)[0]

    def step(self, sample: Sample) -> Float32Array:
        self._extreme(self._values, self._operand.step(sample), out=self._values)
        return self._values


class _Ring(Operator):
    """The extreme of the last w values, recomputed from a ring of w rows."""

    def __init__(
        self,
        reduce: Callable[[Float32Array], Float32Array],
        neutral: float,
        operand: Operator,
        width: int,
        memory: Memory,
    ) -> None:
        self._reduce, self._operand = reduce, operand
        self._ring = memory.rows(width, neutral)

    def step(self, sample: Sample) -> Float32Array:
        self._ring[sample.tick % len(self._ring)] = self._operand.step(sample)
        return self._reduce(self._ring)


class _TwoStacks(Operator):
    """The extreme of the last w values, at a cost that does not grow with w.

    Values come in blocks of w. ``front`` is the extreme of the block so far; the rows after the
    current place still hold the previous block, each row the extreme from there to that block's
    end. Van Herk (1992), "A fast algorithm for local minimum and maximum filters".
    """

    def __init__(
        self, extreme: _Pairwise, neutral: float, operand: Operator, width: int, memory: Memory
    ) -> None:
        self._extreme, self._neutral, self._operand = extreme, neutral, operand
        self._arrays = memory.arrays
        self._block = memory.rows(width, neutral)
        self._front: Float32Array = memory.rows(1, neutral)[0]

    def step(self, sample: Sample) -> Float32Array:
        values, block, extreme = self._operand.step(sample), self._block, self._extreme
        place = sample.tick % len(block)
        block[place] = values
        extreme(self._front, values, out=self._front)
        if place + 1 < len(block):
            latest: Float32Array = extreme(self._front, block[place + 1])
            return latest
        whole: Float32Array = self._arrays.copy(self._front)
        for row in range(place - 1, -1, -1):
            extreme(block[row], block[row + 1], out=block[row])
        self._front[:] = self._neutral
        return whole


class _Since(Operator):
    """``left since right`` without a bound."""

    def __init__(self, left: Operator, right: Operator, memory: Memory) -> None:
        self._left, self._right, self._arrays = left, right, memory.arrays
        self._values: Float32Array = memory.rows(1, -math.inf)[0]

    def step(self, sample: Sample) -> Float32Array:
        self._arrays.minimum(self._values, self._left.step(sample), out=self._values)
        self._arrays.maximum(self._values, self._right.step(sample), out=self._values)
        return self._values


_Segment = tuple[Float32Array, Float32Array]


class _StackedSpan(Operator):
    """``until`` or ``since`` over the last w values of both sides, by two stacks.

    A segment of samples (l, r) maps the value u of what lies beyond it to max(r, min(l, u)). Such
    maps compose, so segments stack like extremes; the identity is (+inf, -inf).
    """

    def __init__(
        self, left: Operator, right: Operator, width: int, is_past: bool, memory: Memory
    ) -> None:
        self._left, self._right, self._is_past = left, right, is_past
        self._arrays = memory.arrays
        self._lefts, self._rights = memory.rows(width, math.inf), memory.rows(width, -math.inf)
        self._front: _Segment = memory.rows(1, math.inf)[0], memory.rows(1, -math.inf)[0]

    def step(self, sample: Sample) -> Float32Array:
        width = len(self._lefts)
        place = sample.tick % width
        row = self._row(place)
        row[0][:], row[1][:] = self._left.step(sample), self._right.step(sample)
        self._join(self._front, row, out=self._front)
        if place + 1 < width:
            return self._joined_right(self._row(place + 1), self._front)
        whole: Float32Array = self._arrays.copy(self._front[1])
        for k in range(width - 2, -1, -1):
            self._join(self._row(k), self._row(k + 1), out=self._row(k))
        self._front[0][:] = math.inf
        self._front[1][:] = -math.inf
        return whole

    def _row(self, place: int) -> _Segment:
        return self._lefts[place], self._rights[place]

    def _joined_right(self, older: _Segment, newer: _Segment) -> Float32Array:
        near, far = (newer, older) if self._is_past else (older, newer)
        arrays = self._arrays
        right: Float32Array = arrays.maximum(near[1], arrays.minimum(near[0], far[1]))
        return right

    def _join(self, older: _Segment, newer: _Segment, out: _Segment) -> None:
        out[1][:] = self._joined_right(older, newer)
        self._arrays.minimum(older[0], newer[0], out=out[0])

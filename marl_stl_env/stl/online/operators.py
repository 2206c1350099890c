"""Operators without windows, and those whose window has one side.

Every operator is compiled for a delay d and gives, at each step, its value d samples ago. Only
comparisons and propositions really delay; everything remembered is rows of one :class:`Memory`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from marl_stl_env.arrays import NUMPY, Arrays
from marl_stl_env.stl.device.atoms import DeviceAtom
from marl_stl_env.stl.online.memory import Memory
from marl_stl_env.stl.signals import Atom, atom
from marl_stl_env.types import AnyArray, Float32Array, IntArray


@dataclass(frozen=True)
class Sample:
    """One sample of every signal."""

    signals: Mapping[str, Float32Array]  # (lanes,) float32 each
    tick: int
    age: IntArray  # (lanes,) int64
    youngest: int  # at most the least age


class Pairwise(Protocol):
    """The smaller or the larger ones of two arrays."""

    def __call__(self, values: Any, others: Any, out: Any = None) -> Any:
        """The chosen ones, in ``out`` where it is given."""


class Operator(ABC):
    """Something with a value at every step."""

    @abstractmethod
    def step(self, sample: Sample) -> Float32Array:
        """The value, d samples ago; valid until the next step.  # (lanes,) float32."""


class AtomValue(Operator):
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
        """As of every operator."""
        values = self._values(sample.signals)
        if self._ring is None:
            return values
        self._ring[sample.tick % len(self._ring)] = values
        oldest: Float32Array = self._ring[(sample.tick + 1) % len(self._ring)]
        return oldest


class Negation(Operator):
    """What is true becomes false."""

    def __init__(self, operand: Operator) -> None:
        self._operand = operand

    def step(self, sample: Sample) -> Float32Array:
        """As of every operator."""
        return -self._operand.step(sample)


class Extreme(Operator):
    """The smaller or the larger of two values."""

    def __init__(self, extreme: Pairwise, left: Operator, right: Operator) -> None:
        self._extreme, self._left, self._right = extreme, left, right

    def step(self, sample: Sample) -> Float32Array:
        """As of every operator."""
        values: Float32Array = self._extreme(self._left.step(sample), self._right.step(sample))
        return values


class Started(Operator):
    """The neutral value until the operand's instant lies within the lane's episode."""

    def __init__(self, operand: Operator, delay: int, neutral: float, arrays: Arrays) -> None:
        self._operand, self._delay, self._neutral = operand, delay, neutral
        self._arrays = arrays

    def step(self, sample: Sample) -> Float32Array:
        """As of every operator."""
        values = self._operand.step(sample)
        if sample.youngest >= self._delay:
            return values
        late: Float32Array = self._arrays.where(sample.age < self._delay, self._neutral, values)
        return late


class Accumulated(Operator):
    """The extreme since the lane's start."""

    def __init__(
        self, extreme: Pairwise, neutral: float, operand: Operator, memory: Memory
    ) -> None:
        self._extreme, self._operand = extreme, operand
        self._values: Float32Array = memory.rows(1, neutral)[0]

    def step(self, sample: Sample) -> Float32Array:
        """As of every operator."""
        self._extreme(self._values, self._operand.step(sample), out=self._values)
        return self._values


class Ring(Operator):
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
        """As of every operator."""
        self._ring[sample.tick % len(self._ring)] = self._operand.step(sample)
        return self._reduce(self._ring)


class TwoStacks(Operator):
    """The extreme of the last w values, at a cost that does not grow with w.

    Values come in blocks of w. ``front`` is the extreme of the block so far; the rows after the
    current place still hold the previous block, each row the extreme from there to that block's
    end. Van Herk (1992), "A fast algorithm for local minimum and maximum filters".
    """

    def __init__(
        self, extreme: Pairwise, neutral: float, operand: Operator, width: int, memory: Memory
    ) -> None:
        self._extreme, self._neutral, self._operand = extreme, neutral, operand
        self._arrays = memory.arrays
        self._block = memory.rows(width, neutral)
        self._front: Float32Array = memory.rows(1, neutral)[0]

    def step(self, sample: Sample) -> Float32Array:
        """As of every operator."""
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

"""Operators whose window has two sides: ``until`` and ``since``."""

from __future__ import annotations

import math

from marl_stl_env.stl.online.memory import Memory
from marl_stl_env.stl.online.operators import Operator, Sample
from marl_stl_env.types import Float32Array


class Since(Operator):
    """``left since right`` without a bound."""

    def __init__(self, left: Operator, right: Operator, memory: Memory) -> None:
        self._left, self._right, self._arrays = left, right, memory.arrays
        self._values: Float32Array = memory.rows(1, -math.inf)[0]

    def step(self, sample: Sample) -> Float32Array:
        """As of every operator."""
        self._arrays.minimum(self._values, self._left.step(sample), out=self._values)
        self._arrays.maximum(self._values, self._right.step(sample), out=self._values)
        return self._values


_Segment = tuple[Float32Array, Float32Array]


class StackedSpan(Operator):
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
        """As of every operator."""
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

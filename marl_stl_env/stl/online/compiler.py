"""Turns formulas into operators.

A future window that ends b steps ahead is, d samples later, a past window over an operand delayed
by d - b.
"""

from __future__ import annotations

import math

from marl_stl_env.errors import FormulaError
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
from marl_stl_env.stl.online.memory import Memory
from marl_stl_env.stl.online.operators import (
    Accumulated,
    AtomValue,
    Extreme,
    Negation,
    Operator,
    Ring,
    Started,
    TwoStacks,
)
from marl_stl_env.stl.online.spans import Since, StackedSpan

#: Up to this width a plain ring is faster than two stacks.
_WIDEST_RING = 8


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
                return AtomValue(formula, delay, self._memory, self._boolean)
            case Not(operand=operand):
                return Negation(self.operator(operand, delay))
            case Connective(operator=operator, left=left, right=right):
                first, second = self.operator(left, delay), self.operator(right, delay)
                first = Negation(first) if operator == "->" else first
                arrays = self._memory.arrays
                extreme = arrays.minimum if operator == "and" else arrays.maximum
                return Extreme(extreme, first, second)
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
            return Accumulated(extreme, neutral, operand, self._memory)
        if width > _WIDEST_RING:
            return TwoStacks(extreme, neutral, operand, width, self._memory)
        reduce = arrays.least if formula.is_universal else arrays.greatest
        return Ring(reduce, neutral, operand, width, self._memory)

    def _span(self, formula: Span, delay: int) -> Operator:
        left = self._newest(formula, formula.left, math.inf, delay)
        right = self._newest(formula, formula.right, -math.inf, delay)
        start, width = formula.interval.start, formula.interval.width
        span: Operator
        if width is None:
            span = Since(left, right, self._memory)
        else:
            span = StackedSpan(left, right, width, formula.is_past, self._memory)
        if start == 0:
            return span
        # The left side must also hold on the `start` samples between now and the window.
        between = Interval(0, start - 1)
        held = Window("historically" if formula.is_past else "always", between, formula.left)
        return Extreme(self._memory.arrays.minimum, span, self._window(held, delay))

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
            return Started(operand, delay, neutral, self._memory.arrays) if delay else operand
        if interval.end is None:
            raise FormulaError(
                f"'{formula}' looks infinitely far ahead and cannot be monitored: bound the "
                "window or state the specification in past-time form"
            )
        return self.operator(part, delay - interval.end)

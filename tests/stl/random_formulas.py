"""Random formulas and traces. Numbers are quarters, so that float32 arithmetic is exact."""

from __future__ import annotations

from random import Random
from typing import get_args

import numpy as np

from marl_stl_env.stl.formula import (
    Arithmetic,
    Comparison,
    ComparisonOperator,
    Connective,
    ConnectiveOperator,
    Constant,
    Expression,
    Formula,
    Interval,
    Not,
    Proposition,
    Signal,
    Span,
    SpanOperator,
    Truth,
    Window,
    WindowOperator,
)
from marl_stl_env.types import AnyArray

NUMBERS, CONDITIONS = ("x", "y"), ("p", "q")


def random_formula(
    random: Random, depth: int = 3, *, unbounded: bool = True, longest: int = 12
) -> Formula:
    """A random formula.

    Args:
        random: The source of chance.
        depth: Operators above the deepest comparison, at most.
        unbounded: Whether future windows may be unbounded; past ones always may.
        longest: The largest bound of a window.
    """
    kind = random.randrange(9) if depth else random.randrange(3)

    def below() -> Formula:
        return random_formula(random, depth - 1, unbounded=unbounded, longest=longest)

    if kind == 0:
        return Proposition(random.choice(CONDITIONS))
    if kind in (1, 2):
        if random.random() < 0.05:
            return Truth(random.random() < 0.5)
        comparison = random.choice(get_args(ComparisonOperator))
        return Comparison(comparison, _expression(random, 2), _expression(random, 1))
    if kind == 3:
        return Not(below())
    if kind in (4, 5):
        left, right = below(), below()
        return Connective(random.choice(get_args(ConnectiveOperator)), left, right)
    if kind in (6, 7):
        name = random.choice(get_args(WindowOperator))
        interval = _interval(random, longest, unbounded or name in ("historically", "once"))
        return Window(name, interval, below())
    span = random.choice(get_args(SpanOperator))
    interval = _interval(random, longest, unbounded or span == "since")
    left, right = below(), below()
    return Span(span, interval, left, right)


def random_signals(rng: np.random.Generator, shape: tuple[int, ...]) -> dict[str, AnyArray]:
    """Quarters in [-3, 3] for the numbers, booleans for the conditions."""
    numbers = {n: (rng.integers(-12, 13, shape) / 4).astype(np.float32) for n in NUMBERS}
    return numbers | {n: rng.random(shape) < 0.5 for n in CONDITIONS}


def _expression(random: Random, depth: int) -> Expression:
    kind = random.randrange(4 if depth else 2)
    if kind == 0:
        return Constant(random.randrange(-12, 13) / 4)
    if kind == 1:
        return Signal(random.choice(NUMBERS))
    operator = random.choice("+-*/")
    right = Constant(2.0) if operator == "/" else _expression(random, depth - 1)
    return Arithmetic(operator, _expression(random, depth - 1), right)  # type: ignore[arg-type]


def _interval(random: Random, longest: int, unbounded: bool) -> Interval:
    start = random.choice((0, 0, random.randrange(longest)))
    if unbounded and random.random() < 0.3:
        return Interval(start)
    return Interval(start, random.randrange(start, longest + 1))

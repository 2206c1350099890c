"""The textbook definitions, one instant at a time: slow, and free of the product's methods.

A trace maps each name to a list of numbers. Maler and Nickovic (2004), section 2; the bounds
follow Deshmukh et al. (2017), "Robust online monitoring of signal temporal logic".
"""

from __future__ import annotations

import math
import operator

import numpy as np

from marl_stl_env.stl.formula import (
    Arithmetic,
    Comparison,
    Connective,
    Constant,
    Expression,
    Formula,
    Interval,
    Not,
    Proposition,
    Signal,
    Span,
    Truth,
    Window,
)
from marl_stl_env.types import AnyArray

Trace = dict[str, list[float]]
Bounds = tuple[float, float]
_OPERATORS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def as_trace(signals: dict[str, AnyArray], lane: int, length: int) -> Trace:
    """One lane as the oracle reads it: booleans as +1 and -1."""
    read = {n: np.where(v, 1.0, -1.0) if v.dtype == np.bool_ else v for n, v in signals.items()}
    return {name: [float(v) for v in values[lane, :length]] for name, values in read.items()}


def robustness(formula: Formula, trace: Trace, time: int) -> float:
    """Robustness at ``time``, windows cut at both ends of the trace."""
    match formula:
        case Truth(value=value):
            return math.inf if value else -math.inf
        case Proposition(name=name):
            return trace[name][time]
        case Comparison():
            return _margin(formula, trace, time)
        case Not(operand=operand):
            return -robustness(operand, trace, time)
        case Connective(operator=name, left=left, right=right):
            first, second = robustness(left, trace, time), robustness(right, trace, time)
            if name == "->":
                return max(-first, second)
            return min(first, second) if name == "and" else max(first, second)
        case Window(operator=name, interval=interval, operand=operand):
            times = _times(interval, time, _length(trace), formula.is_past)
            values = [robustness(operand, trace, t) for t in times]
            if name in ("always", "historically"):
                return min(values, default=math.inf)
            return max(values, default=-math.inf)
        case Span(interval=interval, left=left, right=right):
            best = -math.inf
            for witness in _times(interval, time, _length(trace), formula.is_past):
                between = range(witness + 1, time + 1) if formula.is_past else range(time, witness)
                held = [robustness(left, trace, t) for t in between]
                best = max(best, min([robustness(right, trace, witness), *held]))
            return best
    raise TypeError(formula)


def holds(formula: Formula, trace: Trace, time: int) -> bool:
    """Truth at ``time``, windows cut at both ends of the trace."""
    match formula:
        case Truth(value=value):
            return value
        case Proposition(name=name):
            return trace[name][time] > 0
        case Comparison(operator=name, left=left, right=right):
            compare = _OPERATORS[name]
            return bool(compare(_number(left, trace, time), _number(right, trace, time)))
        case Not(operand=operand):
            return not holds(operand, trace, time)
        case Connective(operator=name, left=left, right=right):
            first, second = holds(left, trace, time), holds(right, trace, time)
            if name == "->":
                return second or not first
            return first and second if name == "and" else first or second
        case Window(operator=name, interval=interval, operand=operand):
            times = _times(interval, time, _length(trace), formula.is_past)
            quantifier = all if name in ("always", "historically") else any
            return quantifier(holds(operand, trace, t) for t in times)
        case Span(interval=interval, left=left, right=right):
            return any(
                holds(right, trace, witness)
                and all(
                    holds(left, trace, t)
                    for t in (
                        range(witness + 1, time + 1) if formula.is_past else range(time, witness)
                    )
                )
                for witness in _times(interval, time, _length(trace), formula.is_past)
            )
    raise TypeError(formula)


def bounds(formula: Formula, trace: Trace, time: int, length: int, last: int) -> Bounds:
    """Least and greatest robustness at ``time`` if samples from ``length`` on are unknown.

    Unbounded windows look as far as ``last``, which the caller takes beyond every change.
    """
    match formula:
        case Truth(value=value):
            return (math.inf, math.inf) if value else (-math.inf, -math.inf)
        case Proposition() | Comparison():
            if time >= length:
                return -math.inf, math.inf
            exact = robustness(formula, trace, time)
            return exact, exact
        case Not(operand=operand):
            low, high = bounds(operand, trace, time, length, last)
            return -high, -low
        case Connective(operator=name, left=left, right=right):
            first = bounds(left, trace, time, length, last)
            second = bounds(right, trace, time, length, last)
            if name == "->":
                return max(-first[1], second[0]), max(-first[0], second[1])
            pick = min if name == "and" else max
            return pick(first[0], second[0]), pick(first[1], second[1])
        case Window(operator=name, interval=interval, operand=operand):
            universal = name in ("always", "historically")
            pick, neutral = (min, math.inf) if universal else (max, -math.inf)
            times = _open_times(interval, time, last, formula.is_past)
            values = [bounds(operand, trace, t, length, last) for t in times]
            lows, highs = [low for low, _ in values], [high for _, high in values]
            return pick([*lows, neutral]), pick([*highs, neutral])
        case Span(interval=interval, left=left, right=right):
            low, high = -math.inf, -math.inf
            for witness in _open_times(interval, time, last, formula.is_past):
                between = range(witness + 1, time + 1) if formula.is_past else range(time, witness)
                parts = [bounds(left, trace, t, length, last) for t in between]
                parts.append(bounds(right, trace, witness, length, last))
                low = max(low, min(part[0] for part in parts))
                high = max(high, min(part[1] for part in parts))
            return low, high
    raise TypeError(formula)


def _margin(formula: Comparison, trace: Trace, time: int) -> float:
    left, right = _number(formula.left, trace, time), _number(formula.right, trace, time)
    match formula.operator:
        case "<" | "<=":
            return right - left
        case ">" | ">=":
            return left - right
        case "==":
            return -abs(left - right)
        case _:
            return abs(left - right)


def _number(expression: Expression, trace: Trace, time: int) -> float:
    match expression:
        case Signal(name=name):
            return trace[name][time]
        case Constant(value=value):
            return value
        case Arithmetic(operator=name, left=left, right=right):
            compute = _OPERATORS[name]
            return float(compute(_number(left, trace, time), _number(right, trace, time)))
    raise TypeError(expression)


def _length(trace: Trace) -> int:
    return len(next(iter(trace.values())))


def _times(interval: Interval, time: int, length: int, past: bool) -> list[int]:
    """The instants of the window that the trace has."""
    end = length if interval.end is None else interval.end
    sign = -1 if past else 1
    times = [time + sign * k for k in range(interval.start, end + 1)]
    return [t for t in times if 0 <= t < length]


def _open_times(interval: Interval, time: int, last: int, past: bool) -> list[int]:
    """The instants of the window in a trace that goes on."""
    furthest = time if past else max(last, interval.start)  # the past reaches back to the start
    end = furthest if interval.end is None else interval.end
    sign = -1 if past else 1
    times = [time + sign * k for k in range(interval.start, end + 1)]
    return [t for t in times if t >= 0]

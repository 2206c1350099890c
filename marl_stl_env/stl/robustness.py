"""Robustness of recorded traces, all lanes and instants at once.

Robustness is how far a formula is from changing its truth: > 0 where it holds, < 0 where it is
violated. Fainekos and Pappas (2009), "Robustness of temporal logic specifications for
continuous-time signals"; Donze, Ferrere and Maler (2013), "Efficient robust monitoring for STL".
"""

from __future__ import annotations

import math
from enum import IntEnum

import numpy as np

from marl_stl_env.errors import SignalError
from marl_stl_env.stl.formula import (
    Comparison,
    Connective,
    Formula,
    Not,
    Proposition,
    Span,
    Truth,
    Window,
)
from marl_stl_env.stl.signals import Atom, Traces, atom, finite_arithmetic
from marl_stl_env.types import BoolArray, Float32Array, IntArray

# What is assumed of the samples beyond a lane's end.
_NOTHING = 0  # there are none: windows are cut there
_WORST, _BEST = -1, 1  # they are unknown: a lower or an upper bound is wanted


class Verdict(IntEnum):
    """What a trace that may go on says about a formula."""

    VIOLATED = -1
    UNDECIDED = 0
    SATISFIED = 1


def robustness(formula: Formula, traces: Traces) -> Float32Array:
    """Robustness at every instant, with windows cut at the end of each lane.

    An empty window satisfies ``always`` (+inf) and violates ``eventually`` (-inf).

    Args:
        formula: The formula.
        traces: The signals it names.

    Returns:
        The robustness; NaN beyond a lane's end.  # (lanes, time) float32

    Raises:
        UnknownNameError: If a signal is missing.
        SignalError: If a signal does not suit the formula.
    """
    evaluator = _Evaluator(formula, traces)
    values = evaluator.value(formula, _NOTHING)
    known = traces.known
    return np.array(values) if known is None else np.where(known, values, np.float32(np.nan))


def robustness_bounds(formula: Formula, traces: Traces) -> tuple[Float32Array, Float32Array]:
    """The least and the greatest robustness that any continuation of the traces can give.

    Bounds are taken operator by operator, so they may be wider than the true range where a
    formula contradicts itself (``x > 0 and x < 0``). Deshmukh et al. (2017), "Robust online
    monitoring of signal temporal logic".

    Args:
        formula: The formula.
        traces: The signals it names.

    Returns:
        Lower and upper bounds.  # (lanes, time) float32 each

    Raises:
        UnknownNameError: If a signal is missing.
        SignalError: If a signal does not suit the formula.
    """
    time = traces.shape[1]
    lower, upper = _bounds(formula, traces, boolean=False)
    return lower[:, :time], upper[:, :time]


def satisfied(formula: Formula, traces: Traces) -> BoolArray:
    """Whether each trace satisfies the formula at its start, windows cut at the end.

    This is the exact boolean semantics: ``x < 3`` is violated at ``x = 3``, where its robustness
    is 0.

    Returns:
        One truth per lane.  # (lanes,) bool

    Raises:
        UnknownNameError: If a signal is missing.
        SignalError: If a signal does not suit the formula, or a lane is empty.
    """
    _require_samples(traces)
    truth = _Evaluator(formula, traces, boolean=True).value(formula, _NOTHING)
    return np.asarray(truth[:, 0] > 0)


def verdict(formula: Formula, traces: Traces) -> IntArray:
    """What each trace says about the formula at its start, whatever may follow its end.

    Returns:
        A :class:`Verdict` per lane.  # (lanes,) int64

    Raises:
        UnknownNameError: If a signal is missing.
        SignalError: If a signal does not suit the formula.
    """
    lower, upper = _bounds(formula, traces, boolean=True)
    decided = [lower[:, 0] > 0, upper[:, 0] < 0]
    return np.select(decided, [Verdict.SATISFIED, Verdict.VIOLATED], Verdict.UNDECIDED)


def first_violation(formula: Formula, traces: Traces) -> IntArray:
    """The first instant at which a specification is violated.

    For ``always p`` that is the first instant at which ``p`` fails, for a conjunction the earlier
    of the two sides, for anything else 0.

    Returns:
        Sample number, -1 where the formula holds.  # (lanes,) int64

    Raises:
        UnknownNameError: If a signal is missing.
        SignalError: If a signal does not suit the formula, or a lane is empty.
    """
    match formula:
        case Connective(operator="and", left=left, right=right):
            first, second = first_violation(left, traces), first_violation(right, traces)
            both = (first >= 0) & (second >= 0)
            return np.where(both, np.minimum(first, second), np.maximum(first, second))
        case Window(operator="always", interval=interval, operand=body):
            _require_samples(traces)
            truth = _Evaluator(body, traces, boolean=True).value(body, _NOTHING)
            time = np.arange(traces.shape[1])
            end = math.inf if interval.end is None else interval.end
            broken = (truth < 0) & (time >= interval.start) & (time <= end)
            if traces.known is not None:
                broken &= traces.known
            return np.where(broken.any(axis=1), broken.argmax(axis=1), -1)
    return np.where(satisfied(formula, traces), -1, 0)


class _Evaluator:
    """Evaluates one formula on traces, lengthened by ``extra`` unknown samples."""

    def __init__(
        self, formula: Formula, traces: Traces, *, boolean: bool = False, extra: int = 0
    ) -> None:
        traces.require(formula)
        lanes, time = traces.shape
        self._shape, self._boolean, self._known = (lanes, time + extra), boolean, traces.known
        names = formula.signals()
        self._signals = {name: traces.signals[name] for name in names}
        if extra:
            pad = ((0, 0), (0, extra))
            self._signals = {name: np.pad(x, pad) for name, x in self._signals.items()}
            known = np.ones((lanes, time), np.bool_) if self._known is None else self._known
            self._known = np.pad(known, pad)

    def value(self, formula: Formula, beyond: int) -> Float32Array:
        """The value at every instant.  # (lanes, time + extra) float32."""
        match formula:
            case Truth() | Proposition() | Comparison():
                return self._atom(formula, beyond)
            case Not(operand=operand):
                return -self.value(operand, -beyond)
            case Connective():
                return self._connective(formula, beyond)
            case Window():
                return self._window(formula, beyond)
            case Span():
                return self._span(formula, beyond)
        raise TypeError(f"{formula!r} is no formula")

    def _atom(self, formula: Atom, beyond: int) -> Float32Array:
        with finite_arithmetic():
            values = atom(formula, self._signals, self._shape, self._boolean)
        unknown = beyond and not isinstance(formula, Truth)
        return self._masked(values, beyond * math.inf) if unknown else values

    def _connective(self, formula: Connective, beyond: int) -> Float32Array:
        right = self.value(formula.right, beyond)
        if formula.operator == "->":
            return np.maximum(-self.value(formula.left, -beyond), right)
        extreme = np.minimum if formula.operator == "and" else np.maximum
        return extreme(self.value(formula.left, beyond), right)

    def _window(self, formula: Window, beyond: int) -> Float32Array:
        extreme = np.minimum if formula.is_universal else np.maximum
        neutral = math.inf if formula.is_universal else -math.inf
        values = self._operand(formula.operand, beyond, neutral, formula.is_past)
        values = _sliding(values, formula.interval.width, extreme)
        hold = bool(beyond) and not formula.is_past
        values = _shifted(values, formula.interval.start, neutral, hold)
        return values[:, ::-1] if formula.is_past else values

    def _span(self, formula: Span, beyond: int) -> Float32Array:
        start = formula.interval.start
        left = self._operand(formula.left, beyond, math.inf, formula.is_past)
        right = self._operand(formula.right, beyond, -math.inf, formula.is_past)
        values = _sliding_span(left, right, formula.interval.width)
        if start:
            hold = bool(beyond) and not formula.is_past
            values = _shifted(values, start, -math.inf, hold)
            values = np.minimum(values, _sliding(left, start, np.minimum))
        return values[:, ::-1] if formula.is_past else values

    def _operand(
        self, formula: Formula, beyond: int, neutral: float, is_past: bool
    ) -> Float32Array:
        """The operand's values in the direction in which the operator looks."""
        values = self.value(formula, beyond)
        if is_past:
            return values[:, ::-1]
        return values if beyond else self._masked(values, neutral)

    def _masked(self, values: Float32Array, fill: float) -> Float32Array:
        return values if self._known is None else np.where(self._known, values, np.float32(fill))


def _bounds(
    formula: Formula, traces: Traces, *, boolean: bool
) -> tuple[Float32Array, Float32Array]:
    """Lower and upper bounds over the traces and at least one unknown sample."""
    evaluator = _Evaluator(formula, traces, boolean=boolean, extra=max(_settled_after(formula), 1))
    return evaluator.value(formula, _WORST), evaluator.value(formula, _BEST)


def _settled_after(formula: Formula) -> int:
    """How many unknown samples make a future operator's operand constant from there on."""
    looks_ahead = isinstance(formula, Window | Span) and not formula.is_past
    below = [c for c in formula.children if isinstance(c, Formula)]
    if looks_ahead:
        return max(1 + max(_memory(c) for c in below), *map(_settled_after, below))
    return max(map(_settled_after, below), default=0)


def _memory(formula: Formula) -> int:
    """How many samples after the input the value still changes."""
    below = max((_memory(c) for c in formula.children if isinstance(c, Formula)), default=0)
    if isinstance(formula, Window | Span) and formula.is_past:
        interval = formula.interval
        return below + (interval.start if interval.end is None else interval.end)
    return below


def _sliding(values: Float32Array, width: int | None, extreme: np.ufunc) -> Float32Array:
    """The extreme over samples ``t .. t + width - 1``, cut at the end; by log-doubling."""
    time = values.shape[1]
    if width is None or width >= time:
        backwards: Float32Array = extreme.accumulate(values[:, ::-1], axis=1)
        return backwards[:, ::-1]
    covered = 1
    while covered < width:
        step = min(covered, width - covered)
        wider = np.empty_like(values)
        extreme(values[:, :-step], values[:, step:], out=wider[:, :-step])
        wider[:, -step:] = values[:, -step:]
        values, covered = wider, covered + step
    return values


def _sliding_span(left: Float32Array, right: Float32Array, width: int | None) -> Float32Array:
    """``left until right`` within ``t .. t + width - 1``, cut at the end; by log-doubling.

    A segment of samples maps what holds after it, u, to max(r, min(l, u)). Such maps compose, and
    a composition may overlap, so segments double like windows of an extreme.
    """
    time = left.shape[1]
    width = time if width is None else min(width, time)
    covered = 1
    while covered < width:
        step = min(covered, width - covered)
        here, there = (slice(None), slice(None, -step)), (slice(None), slice(step, None))
        wider_left, wider_right = left.copy(), right.copy()
        np.minimum(left[here], right[there], out=wider_right[here])
        np.maximum(wider_right[here], right[here], out=wider_right[here])
        np.minimum(left[here], left[there], out=wider_left[here])
        left, right, covered = wider_left, wider_right, covered + step
    return right


def _shifted(values: Float32Array, start: int, neutral: float, hold: bool) -> Float32Array:
    """The values ``start`` samples ahead; beyond the end the last one or the neutral one."""
    if start == 0:
        return values
    kept = max(values.shape[1] - start, 0)
    shifted = np.empty_like(values)
    shifted[:, :kept] = values[:, values.shape[1] - kept :]
    shifted[:, kept:] = values[:, -1:] if hold else neutral
    return shifted


def _require_samples(traces: Traces) -> None:
    lanes, time = traces.shape
    lengths = np.full(lanes, time) if traces.lengths is None else traces.lengths
    if (lengths == 0).any():
        raise SignalError(
            f"lane {int(lengths.argmin())} has no sample, so it neither satisfies nor violates; "
            "leave it out, or ask for verdict()"
        )

"""Signals as the evaluators read them: finite, in their own type.

A boolean signal is a truth where a formula stands, and 0 or 1 where a number stands.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from marl_stl_env.errors import SignalError, UnknownNameError
from marl_stl_env.stl.formula import (
    Comparison,
    Formula,
    Proposition,
    Truth,
)
from marl_stl_env.stl.numbers import comparable, margin, number
from marl_stl_env.types import AnyArray, BoolArray, Float32Array, IntArray

_HOLDS = np.float32(1)
_COMPARE = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


@dataclass(frozen=True, eq=False)
class Traces:
    """Recorded signals of several lanes.

    Attributes:
        signals: Name to values, each in the type that holds it exactly.
            # (lanes, time) bool, int64, uint64, float32 or float64
        lengths: Valid samples of each lane, from the first on; None means all. What lies beyond
            is never read.  # (lanes,) int64

    Raises:
        SignalError: If shapes differ, a valid sample is NaN or infinite, or a length lies outside.
    """

    signals: Mapping[str, AnyArray]
    lengths: IntArray | None = None

    def __post_init__(self) -> None:
        if not self.signals:
            raise SignalError("traces need at least one signal")
        shape = np.shape(next(iter(self.signals.values())))
        if len(shape) != 2:
            raise SignalError(f"signals must be (lanes, time), not {shape}; use values[None, :]")
        lengths = None if self.lengths is None else _lengths(self.lengths, shape)
        object.__setattr__(self, "lengths", lengths)
        items = self.signals.items()
        read = {n: as_signal(n, v, shape, known=self.known) for n, v in items}
        object.__setattr__(self, "signals", read)

    @property
    def shape(self) -> tuple[int, int]:
        """``(lanes, time)``."""
        lanes, time = next(iter(self.signals.values())).shape
        return lanes, time

    @property
    def known(self) -> BoolArray | None:
        """True where a lane has a sample; None where all have.  # (lanes, time) bool."""
        if self.lengths is None:
            return None
        time = np.shape(next(iter(self.signals.values())))[1]
        return np.asarray(np.arange(time) < self.lengths[:, None])

    def require(self, formula: Formula) -> None:
        """Refuse a formula that these signals cannot answer.

        Raises:
            UnknownNameError: If the formula names a signal that is not there.
            SignalError: If a signal used as a condition is not boolean.
        """
        require_signals(formula.signals(), self.signals)
        for name in sorted(formula.propositions()):
            require_boolean(name, self.signals[name], self.known)


def as_signal(
    name: str, values: AnyArray, shape: tuple[int, ...], known: BoolArray | None = None
) -> AnyArray:
    """Read one signal.

    Args:
        name: Its name, for the error.
        values: Numbers or booleans.
        shape: The shape it must have.
        known: False where a value is padding, which may be anything.

    Returns:
        The values as bool, int64, uint64, float32 or float64, whichever holds them exactly.

    Raises:
        SignalError: If the shape or the type is wrong, or a value is NaN or infinite.
    """
    array = np.asarray(values)
    if array.shape != shape:
        raise SignalError(f"signal {name!r} has shape {array.shape}, expected {shape}")
    if array.dtype.kind not in "biuf":
        raise SignalError(f"signal {name!r} holds {array.dtype}, expected numbers or booleans")
    read = array.astype(_held_as(array.dtype), copy=False)
    if known is not None:
        read = np.where(known, read, np.zeros((), read.dtype))
    if read.dtype.kind != "f":
        return read
    with np.errstate(over="ignore"):  # too large becomes infinite, and is refused below
        finite = np.isfinite(read.astype(np.float32, copy=False))
    if not finite.all():
        place = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise SignalError(
            f"signal {name!r} is {array[place]} at {_place(place)}: every sample must be a finite "
            "float32; replace it, or shorten the lane"
        )
    return read


def require_signals(names: frozenset[str], given: Mapping[str, AnyArray]) -> None:
    """Refuse missing signals.

    Raises:
        UnknownNameError: Naming the first one missing.
    """
    for name in sorted(names - given.keys()):
        raise UnknownNameError("signal", name, sorted(given))


def require_boolean(name: str, values: AnyArray, known: BoolArray | None = None) -> None:
    """Refuse a signal used as a condition that is not +1 or -1.

    Raises:
        SignalError: Naming the first such value. With 0 for false, a violated ``p -> q`` would
            have robustness 0 instead of -1.
    """
    if values.dtype == np.bool_:
        return
    boolean = (values == 1) | (values == -1)
    if known is not None:
        boolean |= ~known
    if not boolean.all():
        place = tuple(int(i) for i in np.argwhere(~boolean)[0])
        raise SignalError(
            f"signal {name!r} is used as a condition but is {values[place]} at {_place(place)}: "
            f"give booleans (or +1 and -1), or compare it, as in '{name} > 0'"
        )


Atom: TypeAlias = Truth | Proposition | Comparison


def atom(
    formula: Atom,
    signals: Mapping[str, AnyArray],
    shape: tuple[int, ...],
    boolean: bool,
) -> Float32Array:
    """The value of a formula without inner formulas.

    Args:
        formula: A truth value, a proposition or a comparison.
        signals: Name to values, as :func:`as_signal` gives them.  # shape
        shape: Shape of the result.
        boolean: True gives +1 where it holds and -1 elsewhere; False gives the robustness: how
            far the sides of a comparison are apart.
    """
    if isinstance(formula, Truth):
        return np.full(shape, math.inf if formula.value else -math.inf, np.float32)
    if isinstance(formula, Proposition):
        values = signals[formula.name]
        return _as_sign(values) if values.dtype == np.bool_ else values.astype(np.float32)
    left, right = comparable(number(formula.left, signals), number(formula.right, signals))
    if boolean:
        holds = np.asarray(_COMPARE[formula.operator](left, right), np.bool_)
        return _filled(_as_sign(holds), shape)
    if formula.operator in (">", ">="):
        return _filled(margin(right, left), shape)
    difference = _filled(margin(left, right), shape)
    if formula.operator in ("<", "<="):
        return difference
    distance = np.abs(difference)
    return -distance if formula.operator == "==" else distance


@contextmanager
def finite_arithmetic() -> Iterator[None]:
    """Turn arithmetic that leaves the range of its type into a typed error.

    Raises:
        SignalError: On overflow.
    """
    try:
        with np.errstate(over="raise", invalid="raise"):
            yield
    except (FloatingPointError, OverflowError) as error:
        raise SignalError(
            f"the formula's arithmetic leaves the range of float32 ({error}): rescale the signals"
        ) from None


def _held_as(kind: np.dtype[Any]) -> type[np.generic]:
    """The type in which a signal is kept: small ones are widened, none is narrowed."""
    if kind.kind == "b":
        return np.bool_
    if kind.kind == "f":
        return np.float32 if kind.itemsize <= 4 else np.float64
    return np.uint64 if kind == np.uint64 else np.int64


def _as_sign(truth: AnyArray) -> Float32Array:
    """Map True to +1 and False to -1."""
    return np.where(truth, _HOLDS, -_HOLDS)


def _filled(values: Float32Array, shape: tuple[int, ...]) -> Float32Array:
    """The values; a single number spread over the shape."""
    return values if values.ndim else np.broadcast_to(values, shape)


def _lengths(lengths: IntArray, shape: tuple[int, ...]) -> IntArray:
    array = np.asarray(lengths)
    if array.shape != shape[:1] or array.dtype.kind not in "iu":
        raise SignalError(f"lengths must be {shape[:1]} integers, not {array.shape} {array.dtype}")
    if array.size and (array.min() < 0 or array.max() > shape[1]):
        raise SignalError(f"lengths {array.min()}..{array.max()} lie outside 0..{shape[1]}")
    return array.astype(np.int64)


def _place(place: tuple[int, ...]) -> str:
    lane, *time = place
    return f"lane {lane}, time {time[0]}" if time else f"lane {lane}"

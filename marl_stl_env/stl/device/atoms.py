"""Comparisons on the arrays of a device, without a look at their values.

:func:`~marl_stl_env.stl.signals.atom` decides by the values of whole numbers in which type a
comparison is exact. On a device the host would have to wait for them. Here they are bounded
beforehand instead: signals by :data:`LARGEST`, what a formula makes of them by its constants.
Within these bounds both give the same numbers.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np

from marl_stl_env.arrays import Arrays
from marl_stl_env.errors import FormulaError, SignalError
from marl_stl_env.stl.formula import (
    Arithmetic,
    Comparison,
    Constant,
    Expression,
    Proposition,
    Signal,
)
from marl_stl_env.stl.numbers import number
from marl_stl_env.stl.signals import Atom, as_signal, atom
from marl_stl_env.types import AnyArray, Float32Array

#: The greatest magnitude of a whole number in a signal: exact in float32.
LARGEST = 2**24
_EXACT = 2**53
_TINY = float(np.finfo(np.float32).smallest_subnormal)
_ARITHMETIC = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
_COMPARE = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


class DeviceAtom:
    """A formula without inner formulas, for signals on a device.

    Args:
        formula: A truth value, a proposition or a comparison.
        lanes: Values of a signal.
        boolean: As for :func:`~marl_stl_env.stl.signals.atom`.
        arrays: The library of the signals.

    Raises:
        FormulaError: If a whole number could be too large to be exact.
    """

    def __init__(self, formula: Atom, lanes: int, boolean: bool, arrays: Arrays) -> None:
        self._formula, self._boolean, self._arrays = formula, boolean, arrays
        self._constant: Any = None
        if not formula.signals():
            self._constant = arrays.asarray(np.array(atom(formula, {}, (lanes,), boolean)))
        elif isinstance(formula, Comparison):
            for side in (formula.left, formula.right):
                if _bound(side) > _EXACT:
                    raise FormulaError(
                        f"'{formula}': on a device whole numbers beyond 2**53 are not exact; "
                        "use smaller constants, or --backend native"
                    )

    def __call__(self, signals: Mapping[str, Any]) -> Float32Array:
        """Values of the formula.  # (lanes,) float32."""
        formula = self._formula
        if self._constant is not None:
            constant: Float32Array = self._constant
            return constant
        if isinstance(formula, Proposition):
            return self._sign(signals[formula.name])
        if not isinstance(formula, Comparison):
            raise TypeError(f"{formula!r} is no atom")
        sides = (self._number(side, signals) for side in (formula.left, formula.right))
        left, right = self._same(*sides)
        if self._boolean:
            return self._sign(_COMPARE[formula.operator](left, right))
        if formula.operator in (">", ">="):
            return self._margin(right, left)
        difference = self._margin(left, right)
        if formula.operator in ("<", "<="):
            return difference
        distance: Float32Array = abs(difference)
        return -distance if formula.operator == "==" else distance

    def _number(self, expression: Expression, signals: Mapping[str, Any]) -> Any:
        """The values of an expression; a Python number where no signal is in it."""
        match expression:
            case Signal(name=name):
                values = signals[name]
                return values * 1 if _is(values, "bool") else values
            case Arithmetic(operator=sign, left=left, right=right) if expression.signals():
                first, second = self._number(left, signals), self._number(right, signals)
                if sign == "/":
                    first, second = self._inexact(first), self._inexact(second)
                return _ARITHMETIC[sign](*self._same(first, second))
        return number(expression, {})

    def _same(self, left: Any, right: Any) -> tuple[Any, Any]:
        """Whole numbers that meet others as float64, in which they are exact."""
        if _is_whole(left) == _is_whole(right):
            return left, right
        return (self._inexact(left), right) if _is_whole(left) else (left, self._inexact(right))

    def _inexact(self, value: Any) -> Any:
        whole = _is_whole(value) and not isinstance(value, int)
        return self._arrays.cast(value, np.float64) if whole else value

    def _margin(self, left: Any, right: Any) -> Float32Array:
        """``right - left``, rounded to float32, but never to 0 where the sides differ."""
        arrays, difference = self._arrays, right - left
        rounded: Float32Array = arrays.cast(difference, np.float32)
        if not _is(difference, "float64"):
            return rounded
        sign = arrays.where(left < right, _TINY, -_TINY)
        lost = (rounded == 0) & (left != right)
        found: Float32Array = arrays.where(lost, arrays.cast(sign, np.float32), rounded)
        return found

    def _sign(self, truth: Any) -> Float32Array:
        signs: Float32Array = self._arrays.cast(self._arrays.where(truth, 1, -1), np.float32)
        return signs


def require_truth(name: str, values: AnyArray) -> None:
    """Refuse a condition that is not boolean.

    Raises:
        SignalError: Naming it. Whether its numbers are +1 or -1, the host cannot see.
    """
    if not _is(values, "bool"):
        raise SignalError(
            f"signal {name!r} is used as a condition but holds numbers: give booleans, or compare "
            f"it, as in '{name} > 0'"
        )


def as_device_signal(name: str, values: AnyArray, shape: tuple[int, ...]) -> AnyArray:
    """Read a signal that the host has, before it goes to a device.

    Args:
        name: Its name, for the error.
        values: Numbers or booleans.
        shape: The shape it must have.

    Raises:
        SignalError: As :func:`~marl_stl_env.stl.signals.as_signal`, and if a whole number is
            beyond :data:`LARGEST`.
    """
    read = as_signal(name, values, shape)
    if read.dtype.kind in "iu" and len(read) and max(int(read.max()), -int(read.min())) > LARGEST:
        raise SignalError(
            f"signal {name!r} holds whole numbers beyond {LARGEST}, which are not exact on a "
            "device; scale them down, or use --backend native"
        )
    return read.astype(np.int64) if read.dtype == np.uint64 else read


def _bound(expression: Expression) -> float:
    """The greatest magnitude that the whole numbers in an expression can have."""
    match expression:
        case Signal():
            return LARGEST
        case Constant(value=value):
            return abs(value) if isinstance(value, int) else 0
        case Arithmetic(operator=sign, left=left, right=right):
            bounds = _bound(left), _bound(right)
            return bounds[0] * bounds[1] if sign == "*" else sum(bounds)
    raise TypeError(f"{expression!r} is no expression")


def _is(value: AnyArray, kind: str) -> bool:
    """Whether an array has this type, whatever its library."""
    return str(value.dtype).endswith(kind)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) or not (isinstance(value, float) or "float" in str(value.dtype))

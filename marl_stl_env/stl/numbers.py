"""Numbers in formulas: arithmetic and comparisons that are exact in the type of the data.

Integers beyond what a machine type holds are computed as Python's own integers (arrays of dtype
object). Python compares integers with floats exactly. Constants take the type of the signal that
they meet, as NumPy's promotion has it (NEP 50): ``x <= 0.1`` on float32 compares with float32(0.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from marl_stl_env.stl.formula import Arithmetic, Constant, Expression, Signal
from marl_stl_env.types import AnyArray, Float32Array

Number: TypeAlias = AnyArray | int | float

_ARITHMETIC = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}
#: Two integers up to here have a sum and a product that fit into int64.
_SAFE_FACTOR = 2**31
#: Integers up to here are exact in a float.
_FLOAT32_EXACT, _FLOAT64_EXACT = 2**24, 2**53
_TINY = np.finfo(np.float32).smallest_subnormal


def number(expression: Expression, signals: Mapping[str, AnyArray]) -> Number:
    """The values of an expression; a single number where no signal is in it.

    Args:
        expression: The expression. Boolean signals count as 0 and 1.
        signals: Name to values.  # any one shape
    """
    match expression:
        case Signal(name=name):
            values = signals[name]
            return values.astype(np.int64) if values.dtype == np.bool_ else values
        case Constant(value=value):
            return value
        case Arithmetic(operator=operator, left=left, right=right):
            first, second = number(left, signals), number(right, signals)
            if _is_whole(first) and _is_whole(second):
                first, second = _wide(first), _wide(second)
            result: Number = _ARITHMETIC[operator](first, second)
            return result if isinstance(result, np.ndarray) else _plain(result)
    raise TypeError(f"{expression!r} is no expression")


def comparable(left: Number, right: Number) -> tuple[Number, Number]:
    """Both sides in types between which a comparison is exact."""
    if _is_whole(left) == _is_whole(right):
        return left, right
    whole, other = (left, right) if _is_whole(left) else (right, left)
    single = isinstance(other, np.ndarray) and other.dtype == np.float32
    if _largest(whole) <= (_FLOAT32_EXACT if single else _FLOAT64_EXACT):
        return left, right
    return np.asarray(left, np.object_), np.asarray(right, np.object_)


def margin(left: Number, right: Number) -> Float32Array:
    """``right - left``, rounded to float32, but never to 0 where the sides differ.

    Args:
        left: One side, as :func:`comparable` gives it.
        right: The other side.
    """
    if _is_whole(left) and _is_whole(right):
        # Integers that differ do so by 1 at least, which no rounding takes to 0.
        return np.asarray(np.subtract(_wide(right), _wide(left))).astype(np.float32)
    difference = np.asarray(np.subtract(right, left))
    if difference.dtype == np.float32 and difference.ndim:
        return difference
    rounded = difference.astype(np.float32)
    lost = (rounded == 0) & np.asarray(np.not_equal(left, right), np.bool_)
    if not lost.any():
        return rounded
    sign = np.where(np.asarray(np.less(left, right), np.bool_), _TINY, -_TINY)
    return np.where(lost, sign, rounded).astype(np.float32)


def _is_whole(value: Number) -> bool:
    """Whether these are integers of any size."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "O":
            return all(isinstance(v, int) for v in value.flat)
        return value.dtype.kind in "iu"
    return isinstance(value, int)


def _largest(value: Number) -> int:
    """The greatest magnitude among integers, 0 where there are none."""
    if not isinstance(value, np.ndarray):
        return abs(int(value))
    if value.size == 1:  # one lane: far faster than two reductions
        return abs(int(value.item()))
    return max(abs(int(value.min())), abs(int(value.max()))) if value.size else 0


def _wide(value: Number) -> Number:
    """Integers in a type in which no sum and no product overflows."""
    if _largest(value) <= _SAFE_FACTOR:
        return value.astype(np.int64) if isinstance(value, np.ndarray) else value
    return np.asarray(value, np.object_)


def _plain(value: np.generic | int | float) -> int | float:
    """A Python number, which takes the type of the signal that it meets."""
    plain: int | float = value.item() if isinstance(value, np.generic) else value
    return plain

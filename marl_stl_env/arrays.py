"""The array operations that the environment needs beyond operators and indexing.

One source of dynamics, monitors and shields serves numpy and torch. Where the annotations
elsewhere say numpy, an array may be the other library's, on its device. Numbers beside arrays are
Python's, which take the arrays' type in both libraries.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike

from marl_stl_env.types import AnyArray, BoolArray, Float32Array, IntArray

#: Entries that numpy's indexing finds faster than its ``take``.
_FEW = 1024


class Arrays(Protocol):
    """An array library on a device."""

    def asarray(self, array: AnyArray) -> Any:
        """This array in the library's own type; uint64 becomes int64 where it has no other."""

    def tonumpy(self, array: Any, kind: DTypeLike) -> AnyArray:
        """A copy on the host, of this type of numpy's; where it was elsewhere, the host waits."""

    def table(self, features: Float32Array) -> Any:
        """The features of a table, in the precision in which they are kept."""

    def constant(self, array: AnyArray) -> Any:
        """A module's constant, in the library's own type, which must not be changed."""

    def cycle(self, length: int) -> Iterator[Any]:
        """An index of places 0 to ``length - 1``, one after the other and from 0 again."""

    def zeros(self, *shape: int) -> Any:
        """Zeros.  # shape, float32."""

    def cast(self, array: Any, kind: DTypeLike) -> Any:
        """The array in another type."""

    def copy(self, array: Any) -> Any:
        """A copy."""

    def take(self, values: Any, index: Any) -> Any:
        """The entries of ``values`` (along its first axis) at an index that is within range."""

    def put(self, values: Any, at: Any, entries: Any) -> None:
        """``values[at] = entries``, in the type of ``values``."""

    def fill(self, values: Any, mask: Any, number: float) -> None:
        """Write a number where the mask, over the first axis, holds."""

    def fill_columns(self, values: Any, mask: Any, number: float) -> None:
        """Write a number where the mask, over the last axis, holds."""

    def where(self, condition: Any, values: Any, others: Any) -> Any:
        """``values`` where the condition holds, ``others`` elsewhere."""

    def replace(self, values: Any, mask: Any, others: Any) -> None:
        """Write ``others``, of the same type and shape, or a number, where the mask holds."""

    def surely_none(self, mask: Any) -> bool:
        """Whether the mask holds nowhere; False where the host would have to wait to know."""

    def surely_all(self, mask: Any) -> bool:
        """Whether the mask holds everywhere; False where the host would have to wait to know."""

    def any_of_rows(self, mask: Any) -> Any:
        """Whether the mask holds anywhere in each row."""

    def minimum(self, values: Any, others: Any, out: Any = None) -> Any:
        """The smaller ones of two arrays."""

    def maximum(self, values: Any, others: Any, out: Any = None) -> Any:
        """The larger ones of two arrays."""

    def least(self, values: Any) -> Any:
        """The smallest along the first axis."""

    def greatest(self, values: Any) -> Any:
        """The largest along the first axis."""

    def above(self, values: Any, bound: int) -> Any:
        """The values, or the bound where they are below it."""

    def log(self, values: Any) -> Any:
        """Natural logarithms."""

    def stack(self, parts: Sequence[Any]) -> Any:
        """The parts along a new first axis."""

    def beside(self, parts: Sequence[Any]) -> Any:
        """The columns of all parts."""

    def columns(self, values: Any, count: int) -> Any:
        """A fresh array of so many columns, each of which holds the values."""

    def lanes_of(self, mask: Any) -> Any:
        """An index of lanes among which are all that the mask holds for."""

    def bits(self, words: Any) -> Any:
        """64-bit words, as int64."""

    def words(self, bits: Any) -> Any:
        """The inverse of :meth:`bits`, where the library has unsigned words."""

    def count_bits(self, bits: Any) -> Any:
        """How many bits of each 64-bit word are 1."""

    def below(self, bits: Any, bound: int) -> Any:
        """Uniform int64 in [0, bound), from the upper 53 of 64 random bits."""

    def on_host(self, function: Callable[..., AnyArray], *given: Any) -> Any:
        """What a numpy function returns; where the arrays are elsewhere, the host waits."""


class NumpyArrays:
    """numpy."""

    def __reduce__(self) -> str:
        """There is one only, in copies and pickles of environments too."""
        return "NUMPY"

    def asarray(self, array: AnyArray) -> AnyArray:
        """The array itself."""
        return array

    def tonumpy(self, array: AnyArray, kind: DTypeLike) -> AnyArray:
        """A copy."""
        del kind
        return array.copy()

    def table(self, features: Float32Array) -> Float32Array:
        """The array itself."""
        return features

    def constant(self, array: AnyArray) -> AnyArray:
        """The array itself."""
        return array

    def cycle(self, length: int) -> Iterator[int]:
        """Plain integers."""
        return itertools.cycle(range(length))

    def zeros(self, *shape: int) -> Float32Array:
        """Zeros.  # shape, float32."""
        return np.zeros(shape, dtype=np.float32)

    def cast(self, array: AnyArray, kind: DTypeLike) -> AnyArray:
        """The array in another type; itself where it has it."""
        return array if array.dtype.type is kind else array.astype(kind)

    def copy(self, array: AnyArray) -> AnyArray:
        """A copy."""
        return array.copy()

    def take(self, values: AnyArray, index: AnyArray) -> AnyArray:
        """The entries; ``mode="clip"`` saves numpy a copy and a check, few are faster without."""
        if values.ndim == 1 and index.size < _FEW:
            entries: AnyArray = values[index]
            return entries
        return values.take(index, 0, None, "clip")

    def put(self, values: AnyArray, at: Any, entries: Any) -> None:
        """``values[at] = entries``."""
        values[at] = entries

    def fill(self, values: AnyArray, mask: BoolArray, number: float) -> None:
        """Write a number where the mask, over the first axis, holds."""
        values[mask] = number

    def fill_columns(self, values: AnyArray, mask: BoolArray, number: float) -> None:
        """Write a number where the mask, over the last axis, holds."""
        values[..., np.flatnonzero(mask)] = number

    def where(self, condition: BoolArray, values: Any, others: Any) -> AnyArray:
        """``np.where``."""
        chosen: AnyArray = np.where(condition, values, others)
        return chosen

    def replace(self, values: AnyArray, mask: BoolArray, others: Any) -> None:
        """``np.putmask``, which repeats what is too short: shapes must be the same."""
        np.putmask(values, mask, others)

    def surely_none(self, mask: BoolArray) -> bool:
        """Whether the mask holds nowhere."""
        return 1 not in mask.tobytes()  # the fastest of all ways, of few lanes and of many

    def surely_all(self, mask: BoolArray) -> bool:
        """Whether the mask holds everywhere."""
        return 0 not in mask.tobytes()

    def any_of_rows(self, mask: BoolArray) -> BoolArray:
        """``any`` without its wrapper."""
        found: BoolArray = np.logical_or.reduce(mask, axis=1)
        return found

    def minimum(self, values: AnyArray, others: AnyArray, out: Any = None) -> AnyArray:
        """``np.minimum``."""
        smaller: AnyArray = np.minimum(values, others, out=out)
        return smaller

    def maximum(self, values: AnyArray, others: AnyArray, out: Any = None) -> AnyArray:
        """``np.maximum``."""
        larger: AnyArray = np.maximum(values, others, out=out)
        return larger

    def least(self, values: AnyArray) -> AnyArray:
        """The smallest along the first axis."""
        smallest: AnyArray = np.minimum.reduce(values, axis=0)
        return smallest

    def greatest(self, values: AnyArray) -> AnyArray:
        """The largest along the first axis."""
        largest: AnyArray = np.maximum.reduce(values, axis=0)
        return largest

    def above(self, values: AnyArray, bound: int) -> AnyArray:
        """``np.maximum``."""
        raised: AnyArray = np.maximum(values, bound)
        return raised

    def log(self, values: AnyArray) -> AnyArray:
        """``np.log``."""
        logs: AnyArray = np.log(values)
        return logs

    def stack(self, parts: Sequence[AnyArray]) -> AnyArray:
        """``np.stack``."""
        return np.stack(parts)

    def beside(self, parts: Sequence[AnyArray]) -> AnyArray:
        """The columns of all parts."""
        return np.concatenate(parts, axis=1)

    def columns(self, values: AnyArray, count: int) -> AnyArray:
        """``repeat``, which is faster than a copy under broadcasting."""
        return values.repeat(count).reshape(-1, count)

    def lanes_of(self, mask: BoolArray) -> IntArray:
        """Exactly the lanes that the mask holds for."""
        return np.flatnonzero(mask)

    def bits(self, words: AnyArray) -> IntArray:
        """The same memory, read as int64."""
        return words.view(np.int64)

    def words(self, bits: IntArray) -> AnyArray:
        """The same memory, read as uint64."""
        return bits.view(np.uint64)

    def count_bits(self, bits: IntArray) -> AnyArray:
        """``np.bitwise_count``, of the words and not of signed numbers."""
        counts: AnyArray = np.bitwise_count(bits.view(np.uint64))
        return counts

    def below(self, bits: IntArray, bound: int) -> IntArray:
        """Uniform integers."""
        return (fractions(bits) * bound).astype(np.int64)

    def on_host(self, function: Callable[..., AnyArray], *given: AnyArray) -> AnyArray:
        """What the function returns."""
        return function(*given)


def shift_right(bits: IntArray, count: int) -> IntArray:
    """A logical shift: zeros come in from the left."""
    return (bits >> count) & ((1 << (64 - count)) - 1)


def fractions(bits: IntArray) -> AnyArray:
    """Uniform numbers in [0, 1), from the upper 53 bits of random words.  # float64."""
    return shift_right(bits, 11).astype(np.float64) * 2.0**-53


NUMPY = NumpyArrays()

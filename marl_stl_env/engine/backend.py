"""The few array operations that the dynamics need beyond operators and indexing.

One source of dynamics serves numpy and torch. Where the annotations elsewhere say numpy, an array
may be the other library's, on its device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from marl_stl_env.consensus.rules import DecisionRule
from marl_stl_env.engine.streams import shift_right
from marl_stl_env.types import AnyArray, BoolArray, Float32Array, Int8Array, IntArray


class Arrays(Protocol):
    """An array library on a device."""

    def asarray(self, array: AnyArray) -> Any:
        """This array in the library's own type; uint64 becomes int64 where it has no other."""

    def table(self, features: Float32Array) -> Any:
        """The features of a table, in the precision in which they are kept."""

    def zeros(self, *shape: int) -> Any:
        """Zeros.  # shape, float32."""

    def take(self, values: Any, index: Any) -> Any:
        """The entries of ``values`` (along its first axis) at an index that is within range."""

    def where(self, condition: Any, values: Any, others: Any) -> Any:
        """``values`` where the condition holds, ``others`` elsewhere."""

    def lanes_of(self, mask: Any) -> Any:
        """An index of lanes among which are all that the mask holds for."""

    def bits(self, words: Any) -> Any:
        """64-bit words, as int64."""

    def below(self, bits: Any, bound: int) -> Any:
        """Uniform int64 in [0, bound), from the upper 53 of 64 random bits."""

    def decision_rule(self, rule: DecisionRule) -> Callable[[Any], Any]:
        """The rule, for arrays of this library."""


class NumpyArrays:
    """numpy."""

    def asarray(self, array: AnyArray) -> AnyArray:
        """The array itself."""
        return array

    def table(self, features: Float32Array) -> Float32Array:
        """The array itself."""
        return features

    def zeros(self, *shape: int) -> Float32Array:
        """Zeros.  # shape, float32."""
        return np.zeros(shape, dtype=np.float32)

    def take(self, values: AnyArray, index: AnyArray) -> AnyArray:
        """The entries; ``mode="clip"`` saves numpy a copy and a check."""
        entries: AnyArray = values.take(index, axis=0, mode="clip")
        return entries

    def where(self, condition: BoolArray, values: Any, others: Any) -> AnyArray:
        """``np.where``."""
        chosen: AnyArray = np.where(condition, values, others)
        return chosen

    def lanes_of(self, mask: BoolArray) -> IntArray:
        """Exactly the lanes that the mask holds for."""
        return np.flatnonzero(mask)

    def bits(self, words: AnyArray) -> IntArray:
        """The same memory, read as int64."""
        return words.view(np.int64)

    def below(self, bits: IntArray, bound: int) -> IntArray:
        """Uniform integers."""
        fractions = shift_right(bits, 11).astype(np.float64) * 2.0**-53
        return (fractions * bound).astype(np.int64)

    def decision_rule(self, rule: DecisionRule) -> Callable[[Int8Array], Int8Array]:
        """The rule itself."""
        return rule


NUMPY = NumpyArrays()

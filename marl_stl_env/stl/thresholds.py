"""Specifications that bound signals from the first counted step on, all in a few array operations.

``always[a,inf) (x <= c and y >= d)`` needs no memory but its running robustness, and most
specifications are of this form. An array operation costs the same whether there is one lane or a
hundred, so that one for each atom and connective would cost more than the whole step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from marl_stl_env.arrays import NUMPY
from marl_stl_env.stl.formula import Comparison, Connective, Constant, Formula, Signal, Window
from marl_stl_env.types import AnyArray, BoolArray, Float32Array, Float64Array, IntArray

#: Constants up to here keep integers exact and stay far from the limits of float32.
_LARGEST = 2.0**30


@dataclass(frozen=True)
class _Bound:
    """A signal has to be at most ``limit``; or, where ``negated``, at least ``-limit``."""

    signal: str
    limit: float
    negated: bool


@dataclass(frozen=True)
class Thresholds:
    """A specification of this form.

    Attributes:
        start: First step that counts.
        bounds: What must hold at every one.
    """

    start: int
    bounds: tuple[_Bound, ...]

    @classmethod
    def of(cls, formula: Formula, kinds: Mapping[str, type[np.generic]]) -> Thresholds | None:
        """The specification, or None where it has another form.

        Args:
            formula: The specification.
            kinds: Signals that are known to be finite, with their type: small integers (int64) or
                float32.
        """
        if isinstance(formula, Connective) and formula.operator == "and":
            first, second = cls.of(formula.left, kinds), cls.of(formula.right, kinds)
            if first is None or second is None or first.start != second.start:
                return None
            return cls(first.start, first.bounds + second.bounds)
        if not (isinstance(formula, Window) and formula.operator == "always"):
            return None
        bounds = None if formula.interval.end is not None else _bounds(formula.operand, kinds)
        return None if bounds is None else cls(formula.interval.start, bounds)


def _bounds(body: Formula, kinds: Mapping[str, type[np.generic]]) -> tuple[_Bound, ...] | None:
    match body:
        case Connective(operator="and", left=left, right=right):
            first, second = _bounds(left, kinds), _bounds(right, kinds)
            return None if first is None or second is None else first + second
        case Comparison(
            operator="<=" | ">=" as operator, left=Signal(name=name), right=Constant(value=value)
        ) if name in kinds and abs(value) <= _LARGEST:
            whole = kinds[name] is not np.float32
            if whole and 0.0 < abs(value - round(value)) < 1e-6:
                return None  # a difference that float32 rounds to 0
            limit = float(value) if whole else float(np.float32(value))
            negated = operator == ">="
            return (_Bound(name, -limit if negated else limit, negated),)
    return None


class ThresholdBank:
    """The running robustness of such specifications.

    A difference of two float32 numbers, taken in float64 and then rounded, is the one that float32
    arithmetic gives; one of an integer and a constant is rounded once in either case. So the
    robustness equals that of the general monitor exactly.

    Args:
        specifications: One for each row of ``running``; None leaves the row alone.
        running: The least robustness so far, changed in place.  # (specifications, lanes) float32
    """

    def __init__(self, specifications: Sequence[Thresholds | None], running: Float32Array) -> None:
        self._running = running
        lanes, none = running.shape[1], (_Bound("", np.inf, negated=False),)
        groups = [none if one is None else one.bounds for one in specifications]
        atoms = [bound for group in groups for bound in group]
        # What has to be large is subtracted the other way round: -(-limit - signal).
        signs = [-1.0 if bound.negated else 1.0 for bound in atoms]
        self._signs: Float64Array | None = np.array(signs)[:, None] if -1.0 in signs else None
        limits = [[sign * bound.limit] for sign, bound in zip(signs, atoms, strict=True)]
        self._limits: Float64Array = np.array(limits)
        self._values: Float64Array = np.zeros((len(atoms), lanes))
        self._margins: Float32Array = np.empty((len(atoms), lanes), np.float32)
        self._rows = [
            (bound.signal, self._values[i]) for i, bound in enumerate(atoms) if bound.signal
        ]
        firsts = [0, *accumulate(len(group) for group in groups)][:-1]
        self._firsts = None if len(atoms) == len(groups) else np.array(firsts)
        starts = [0 if one is None else one.start for one in specifications]
        self._starts: IntArray = np.array(starts)[:, None]

    def step(
        self, signals: Mapping[str, AnyArray], age: IntArray, sampling: BoolArray | None
    ) -> None:
        """Take one sample of every lane.

        Args:
            signals: Name to values.  # (lanes,) each
            age: Number of the sample in its episode.  # (lanes,) int64
            sampling: The lanes that take it; None for all.  # (lanes,) bool
        """
        for name, row in self._rows:
            row[:] = signals[name]
        differences = self._limits - self._values
        if self._signs is not None:
            differences *= self._signs
        self._margins[:] = differences
        least: Any = self._margins
        if self._firsts is not None:
            least = np.minimum.reduceat(least, self._firsts, axis=0)
        counts = age >= self._starts
        if sampling is not None:
            counts &= sampling
        if NUMPY.surely_all(counts):  # a masked operation takes three times as long
            np.minimum(self._running, least, out=self._running)
        else:
            np.minimum(self._running, least, out=self._running, where=counts)

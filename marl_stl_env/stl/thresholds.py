"""Specifications that bound signals from the first counted step on, all in a few array operations.

``always[a,inf) (x <= c and y >= d)`` needs no memory but its running robustness, and most
specifications are of this form. An array operation costs the same whether there is one lane or a
hundred, so that one for each atom and connective would cost more than the whole step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from marl_stl_env.stl.formula import Comparison, Connective, Constant, Formula, Signal, Window
from marl_stl_env.types import BoolArray, Float32Array, IntArray

#: Constants up to here stay far from the limits of float32.
_LARGEST = 2.0**30


@dataclass(frozen=True)
class _Bound:
    """A row has to be at most ``limit``; or, where ``negated``, at least ``-limit``."""

    row: int
    limit: float
    negated: bool


#: Nothing has to hold.
_NONE = (_Bound(0, np.inf, negated=False),)


@dataclass(frozen=True)
class FiniteSignal:
    """A signal that needs no check, as its giver has it finite.

    Attributes:
        row: Where its values stand, among those of all such signals.
        kind: float32, or int64 for integers that float32 holds exactly.
    """

    row: int
    kind: type[np.generic]


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
    def of(cls, formula: Formula, finite: Mapping[str, FiniteSignal]) -> Thresholds | None:
        """The specification, or None where it has another form.

        Args:
            formula: The specification.
            finite: Signals that are known to be finite.
        """
        if isinstance(formula, Connective) and formula.operator == "and":
            first, second = cls.of(formula.left, finite), cls.of(formula.right, finite)
            if first is None or second is None or first.start != second.start:
                return None
            return cls(first.start, first.bounds + second.bounds)
        if not (isinstance(formula, Window) and formula.operator == "always"):
            return None
        bounds = None if formula.interval.end is not None else _bounds(formula.operand, finite)
        return None if bounds is None else cls(formula.interval.start, bounds)


def _bounds(body: Formula, finite: Mapping[str, FiniteSignal]) -> tuple[_Bound, ...] | None:
    match body:
        case Connective(operator="and", left=left, right=right):
            first, second = _bounds(left, finite), _bounds(right, finite)
            return None if first is None or second is None else first + second
        case Comparison(
            operator="<=" | ">=" as operator, left=Signal(name=name), right=Constant(value=value)
        ) if name in finite and abs(value) <= _LARGEST:
            limit = float(np.float32(value))
            if finite[name].kind is not np.float32 and limit != value:
                return None
            negated = operator == ">="
            return (_Bound(finite[name].row, -limit if negated else limit, negated),)
    return None


class ThresholdBank:
    """The running robustness of such specifications.

    All numbers are float32, so that a difference is rounded once, as in the general monitor: the
    robustness is the same.

    Args:
        specifications: One for each row of ``running``; None leaves the row alone.
        running: The least robustness so far, changed in place.  # (specifications, lanes) float32
    """

    def __init__(self, specifications: Sequence[Thresholds | None], running: Float32Array) -> None:
        self._running, lanes = running, running.shape[1]
        groups = [_NONE if one is None else one.bounds for one in specifications]
        more = [(i, bound) for i, group in enumerate(groups) for bound in group[1:]]
        atoms = [*(group[0] for group in groups), *(bound for _, bound in more)]
        self._rows: IntArray = np.array([bound.row for bound in atoms])
        # What has to be large is subtracted the other way round: -(-limit - value).
        signs = np.array([-1 if bound.negated else 1 for bound in atoms], np.float32)
        limits = signs * np.array([bound.limit for bound in atoms], np.float32)
        # Of full shape: over few lanes, numpy's broadcasting takes longer than the operation.
        self._limits: Float32Array = np.repeat(limits[:, None], lanes, axis=1)
        self._signs: Float32Array | None = None
        if -1 in signs:
            self._signs = np.repeat(signs[:, None], lanes, axis=1)
        self._margins: Float32Array = np.empty((len(atoms), lanes), np.float32)
        self._least: Float32Array = self._margins[: len(groups)]
        self._more = [
            (self._margins[i], self._margins[len(groups) + place])
            for place, (i, _) in enumerate(more)
        ]
        starts = [0 if one is None else one.start for one in specifications]
        self._starts: IntArray = np.array(starts)[:, None]
        self._latest = max(starts)

    def step(
        self, values: Float32Array, age: IntArray, youngest: int, sampling: BoolArray | None
    ) -> None:
        """Take one sample of every lane.

        Args:
            values: The finite signals.  # (rows, lanes) float32
            age: Number of the sample in its episode.  # (lanes,) int64
            youngest: At most the least of them.
            sampling: The lanes that take it; None for all.  # (lanes,) bool
        """
        margins = self._margins
        np.subtract(self._limits, values.take(self._rows, 0), out=margins)
        if self._signs is not None:
            np.multiply(margins, self._signs, out=margins)
        for least, others in self._more:
            np.minimum(least, others, out=least)
        if sampling is None and youngest >= self._latest:
            np.minimum(self._running, self._least, out=self._running)
            return
        counts = age >= self._starts
        if sampling is not None:
            counts &= sampling
        np.minimum(self._running, self._least, out=self._running, where=counts)

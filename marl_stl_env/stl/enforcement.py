"""Which specifications a shield can enforce, whatever the labels are, and which are priced.

Enforced is a closed class: conjunctions of ``G[a,inf) (signal <= c)`` with one of the signals

=============================  ======================================
signal                         what keeps it below its bound
=============================  ======================================
``alerts_<w>``                 no Alert once the window is full
``quarantines_<w>``            no Quarantine once the window is full
``quarantined``                the same, over the length of a quarantine
``quarantined_fraction``       no Quarantine that entities which may leave would make too many
``requarantined_benign_<w>``   no Quarantine of an entity that left one less than w steps ago
=============================  ======================================

Everything else depends on labels or on other actions; training puts a price on its violation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from marl_stl_env.stl.formula import Comparison, Connective, Formula, Signal, Window
from marl_stl_env.stl.signals import as_signal, atom
from marl_stl_env.stl.specs import Specification
from marl_stl_env.types import AnyArray, BoolArray

#: What each signal counts, in the words of a sentence. The windowed ones end in ``_<steps>``.
_REASONS = {
    "alerts": "the shield masks Alert where the window is full",
    "quarantines": "the shield masks Quarantine where the window is full",
    "quarantined": "the shield masks Quarantine where as many entities are isolated",
    "quarantined_fraction": "the shield masks Quarantine where entities that leave could make "
    "the isolated ones too many",
    "requarantined_benign": "the shield masks Quarantine of an entity that left one lately",
}
_WINDOWED = ("alerts", "quarantines", "requarantined_benign")
_OTHER_SHAPE = "it is not of the form G[a,inf) (signal <= constant)"
_UNSATISFIABLE = "no decisions satisfy it: the signal is never below 0"


@dataclass(frozen=True)
class Bound:
    """A part of a specification that a shield enforces: ``G[start,inf) (signal <= constant)``.

    Attributes:
        kind: The signal without its window.
        window: The steps of the window; 0 for a signal without one.
        start: First step of an episode at which the bound must hold.
        comparison: The comparison.
    """

    kind: str
    window: int
    start: int
    comparison: Comparison

    def holds(self, values: AnyArray) -> BoolArray:
        """Whether the bound admits these values of the signal, exactly as a monitor decides it.

        Args:
            values: Values of the signal.  # any shape, numbers
        """
        (name,) = self.comparison.signals()
        signals = {name: as_signal(name, values, values.shape)}
        truth: BoolArray = atom(self.comparison, signals, values.shape, boolean=True) > 0
        return truth

    def largest(self, counts: AnyArray) -> int:
        """The index of the largest of ascending values that the bound admits, -1 for none."""
        return int(np.count_nonzero(self.holds(counts))) - 1


@dataclass(frozen=True)
class Part:
    """One conjunct of a specification.

    Attributes:
        name: The name of the specification.
        formula: The conjunct.
        bound: What the shield enforces; None where the part is priced.
        reason: Why.
    """

    name: str
    formula: Formula
    bound: Bound | None
    reason: str

    def __str__(self) -> str:
        verdict = "priced" if self.bound is None else "enforced"
        return f"{self.name}: '{self.formula}' is {verdict}: {self.reason}"


@dataclass(frozen=True)
class Classification:
    """What a shield does about a set of specifications.

    Attributes:
        enforced: The conjuncts that it enforces.
        priced: The conjuncts that it cannot enforce.
    """

    enforced: tuple[Part, ...]
    priced: tuple[Part, ...]

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """What the shield enforces."""
        return tuple(part.bound for part in self.enforced if part.bound is not None)

    @property
    def priced_names(self) -> tuple[str, ...]:
        """The specifications with a conjunct that is priced, each once, in their order."""
        return tuple(dict.fromkeys(part.name for part in self.priced))

    def sentences(self) -> tuple[str, ...]:
        """One line for every conjunct: its name, its formula, what happens to it and why."""
        return tuple(str(part) for part in (*self.enforced, *self.priced))


def classify(specifications: Iterable[Specification]) -> Classification:
    """Split specifications into what a shield enforces and what is priced, by their shape.

    Args:
        specifications: The specifications; their conjunctions are split.
    """
    parts = [
        _part(specification.name, conjunct)
        for specification in specifications
        for conjunct in _conjuncts(specification.formula)
    ]
    return Classification(
        enforced=tuple(part for part in parts if part.bound is not None),
        priced=tuple(part for part in parts if part.bound is None),
    )


def _conjuncts(formula: Formula) -> list[Formula]:
    """The formulas whose conjunction this is, "always" drawn into each."""
    match formula:
        case Connective(operator="and", left=left, right=right):
            return _conjuncts(left) + _conjuncts(right)
        case Window(operator="always", interval=interval, operand=body):
            return [Window("always", interval, part) for part in _conjuncts(body)]
    return [formula]


def _part(name: str, formula: Formula) -> Part:
    match formula:
        case Window(operator="always", operand=Comparison() as comparison) if (
            formula.interval.end is None
        ):
            signal = _bounded_above(comparison)
            if signal is not None:
                return _of_signal(name, formula, comparison, signal)
    return Part(name, formula, None, _OTHER_SHAPE)


def _bounded_above(comparison: Comparison) -> str | None:
    """The name of the signal in ``signal <= constant``, however it is written."""
    left, right = comparison.left, comparison.right
    if comparison.operator in (">", ">="):
        left, right = right, left
    elif comparison.operator not in ("<", "<="):
        return None
    return left.name if isinstance(left, Signal) and not right.signals() else None


def _of_signal(name: str, formula: Window, comparison: Comparison, signal: str) -> Part:
    match = re.fullmatch(r"(\w+?)_([1-9]\d*)", signal)
    kind, window = (match[1], int(match[2])) if match else (signal, 0)
    if kind not in _REASONS or (kind in _WINDOWED) != (window > 0):
        reason = f"no mask on Alert and Quarantine alone can bound {signal}"
        return Part(name, formula, None, reason)
    bound = Bound(kind, window, formula.interval.start, comparison)
    if not bound.holds(np.zeros(1, np.int64)).all():
        return Part(name, formula, None, _UNSATISFIABLE)
    return Part(name, formula, bound, _REASONS[kind])

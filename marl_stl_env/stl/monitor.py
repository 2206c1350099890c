"""Online monitors: the robustness of running episodes, all lanes at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from marl_stl_env.arrays import NUMPY, Arrays
from marl_stl_env.errors import ConfigError, FormulaError, SignalError
from marl_stl_env.stl.device.atoms import require_truth
from marl_stl_env.stl.formula import Connective, Formula, Window, ties_satisfy
from marl_stl_env.stl.online.compiler import Compiler
from marl_stl_env.stl.online.memory import Memory
from marl_stl_env.stl.online.operators import Operator, Sample
from marl_stl_env.stl.signals import as_signal, finite_arithmetic, require_boolean, require_signals
from marl_stl_env.stl.specs import Specification
from marl_stl_env.stl.thresholds import FiniteSignal, ThresholdBank, Thresholds
from marl_stl_env.types import AnyArray, BoolArray, Float32Array, IntArray


class _Monitors:
    """What both monitors share: reading samples, resets, state."""

    def __init__(self, formulas: Sequence[Formula], lanes: int, arrays: Arrays = NUMPY) -> None:
        if lanes < 1:
            raise ConfigError(f"lanes={lanes} is below 1")
        self._memory, self._arrays = Memory(lanes, arrays), arrays
        self.names = frozenset[str]().union(*(f.signals() for f in formulas))
        self._conditions = frozenset[str]().union(*(f.propositions() for f in formulas))

    def reset(self, mask: BoolArray | None = None) -> None:
        """Begin a new episode.

        Args:
            mask: True for the lanes whose next sample is the first of an episode; None for all.
                # (lanes,) bool
        """
        lanes = self._memory.lanes
        if self._arrays is not NUMPY and mask is not None:
            self._memory.reset(mask)
            return
        every = np.ones(lanes, np.bool_) if mask is None else np.asarray(mask)
        if every.shape != (lanes,) or every.dtype != np.bool_:
            raise SignalError(f"mask is {every.shape} {every.dtype}, expected ({lanes},) bool")
        self._memory.reset(self._arrays.asarray(every))

    def get_state(self) -> dict[str, AnyArray]:
        """Everything needed to continue exactly as from here, as plain arrays."""
        return self._memory.get_state()

    def set_state(self, state: Mapping[str, AnyArray]) -> None:
        """Continue from the state of monitors built with the same arguments.

        Raises:
            StateError: If the state belongs to other formulas or another number of lanes.
        """
        self._memory.set_state(state)

    def _samples(
        self, signals: Mapping[str, AnyArray], sampling: BoolArray | None = None
    ) -> Iterator[tuple[Sample, BoolArray | slice]]:
        """The sample, once for all lanes that share a tick, and these lanes."""
        require_signals(self.names, signals)
        memory, read = self._memory, signals
        if self._arrays is NUMPY:
            shape = (memory.lanes,)
            read = {name: as_signal(name, signals[name], shape) for name in self.names}
        for name in self._conditions:
            (require_boolean if self._arrays is NUMPY else require_truth)(name, read[name])
        for tick, lanes in memory.advance(sampling):
            sample = Sample(read, tick, memory.age, memory.youngest)
            if lanes is None:
                yield sample, slice(None)
            else:
                with memory.only(lanes):
                    yield sample, lanes


class Monitor(_Monitors):
    """The robustness of one formula at every instant, ``delay`` samples late.

    It equals :func:`~marl_stl_env.stl.robustness.robustness` of the whole episode exactly.

    Args:
        formula: A formula with a finite horizon.
        lanes: Number of lanes.
        boolean: Whether to give the truth as +1 and -1 instead (``true`` and empty windows are
            infinite).

    Attributes:
        delay: The formula's horizon, in samples.

    Raises:
        FormulaError: If the formula looks infinitely far ahead.
    """

    def __init__(self, formula: Formula, lanes: int, *, boolean: bool = False) -> None:
        super().__init__([formula], lanes)
        self.delay = _finite_horizon(formula)
        compiler = Compiler(self._memory, boolean=boolean)
        self._operator = compiler.operator(formula, self.delay)

    def step(self, signals: Mapping[str, AnyArray]) -> Float32Array:
        """Take one sample of every lane.

        Args:
            signals: Name to values, numbers or booleans.  # (lanes,) each

        Returns:
            The robustness ``delay`` samples ago; NaN in lanes that are younger.
            # (lanes,) float32

        Raises:
            UnknownNameError: If a signal is missing.
            SignalError: If values are malformed, NaN or infinite, or the formula's arithmetic
                overflows; after an overflow the lanes must be reset.
        """
        values = np.empty(self._memory.lanes, np.float32)
        with finite_arithmetic():
            for sample, lanes in self._samples(signals):
                values[lanes] = self._operator.step(sample)[lanes]
        if self.delay:
            values[self._memory.age < self.delay] = np.nan
        return values


@dataclass(frozen=True)
class _Fold:
    """A body that must hold at the episode's instants ``start`` to ``end``."""

    arrays: Arrays
    operator: Operator
    running: Float32Array  # (lanes,) float32, the least value so far
    start: int  # age at which the first instant becomes known
    end: int | None

    def step(self, sample: Sample) -> None:
        values = self.operator.step(sample)
        if sample.youngest < self.start:
            values = self.arrays.where(sample.age >= self.start, values, math.inf)
        if self.end is not None:
            values = self.arrays.where(sample.age <= self.end, values, math.inf)
        self.arrays.minimum(self.running, values, out=self.running)


class MonitorSet(_Monitors):
    """Named specifications over running episodes.

    ``always`` at the top of a specification, alone or in a conjunction, is folded into a running
    minimum, so that it may be unbounded. With formulas of past-time bodies, the running robustness
    equals that of the episode so far; a body with horizon h is known h samples late.

    Args:
        specifications: The specifications.
        lanes: Number of lanes.
        finite: Signals that need no check, as their giver has them finite.
        arrays: The array library and device. On a device values of signals are not checked, and
            numbers are no conditions.

    Attributes:
        specifications: The specifications, in the order of all arrays.
        names: The signals that a step needs by name; the others it needs in their rows.
        robustness: The least robustness so far; +inf before the first instant that counts.
            # (specifications, lanes) float32, read-only, changed in place by every step

    Raises:
        ConfigError: If two specifications have the same name.
        FormulaError: If a specification looks infinitely far ahead other than by ``always`` at the
            top.
    """

    def __init__(
        self,
        specifications: Sequence[Specification],
        lanes: int,
        finite: Mapping[str, FiniteSignal] | None = None,
        arrays: Arrays = NUMPY,
    ) -> None:
        known = finite if finite is not None and arrays is NUMPY else {}
        plain = [Thresholds.of(s.formula, known) for s in specifications]
        others = [i for i, one in enumerate(plain) if one is None]
        super().__init__([specifications[i].formula for i in others], lanes, arrays)
        self.specifications = tuple(specifications)
        names = [s.name for s in specifications]
        if len(set(names)) != len(names):
            raise ConfigError(f"specifications need different names, not {', '.join(names)}")
        self._running = self._memory.rows(len(names), math.inf)
        self._truth = self._memory.rows(len(names), math.inf)
        self._zero = arrays.asarray(np.array(0, np.float32))
        self._strict = [i for i, s in enumerate(specifications) if not ties_satisfy(s.formula)]
        self._folds = [
            fold
            for i in others
            for fold in self._folded(specifications[i].formula, self._running[i], boolean=False)
        ]
        self._bank = ThresholdBank(plain, self._running) if len(others) < len(plain) else None
        for i in self._strict:
            formula = specifications[i].formula
            self._folds += self._folded(formula, self._truth[i], boolean=True)
        self.robustness = self._running
        if arrays is NUMPY:
            self.robustness = self._running.view()
            self.robustness.flags.writeable = False
        scales = np.array([s.scale for s in specifications], np.float32)
        self._scales = arrays.asarray(np.repeat(scales[:, None], lanes, axis=1))
        self._worst, self._best = (arrays.asarray(np.array(n, np.float32)) for n in (-1, 1))

    @property
    def age(self) -> IntArray:
        """Number of each lane's last sample in its episode, -1 before the first.

        # (lanes,) int64
        """
        return self._memory.age

    def step(
        self,
        signals: Mapping[str, AnyArray],
        sampling: BoolArray | None = None,
        values: Float32Array | None = None,
    ) -> None:
        """Take one sample of every lane.

        Args:
            signals: Name to values, numbers or booleans.  # (lanes,) each
            sampling: The lanes that take a sample, None for all; in the others nothing happens.
                # (lanes,) bool
            values: The finite signals, each in its row.  # (rows, lanes) float32

        Raises:
            UnknownNameError: If a signal is missing.
            SignalError: If values are malformed, NaN or infinite, or a formula's arithmetic
                overflows; after an overflow the lanes must be reset.
        """
        if self._folds:
            with finite_arithmetic():
                for sample, _ in self._samples(signals, sampling):
                    for fold in self._folds:
                        fold.step(sample)
        else:
            self._memory.advance(sampling)
        if self._bank is not None:
            if values is None:
                raise SignalError("the values of the finite signals are missing")
            memory = self._memory
            self._bank.step(values, memory.age, memory.youngest, sampling)

    @property
    def violated(self) -> BoolArray:
        """Whether each specification is already broken, exactly, ties included.

        # (specifications, lanes) bool
        """
        broken: BoolArray = self._running < self._zero
        for i in self._strict:
            broken[i] = self._truth[i] < 0
        return broken

    def observation(self) -> Float32Array:
        """The running robustness in units of each specification's scale, clipped to [-1, 1].

        # (lanes, specifications) float32
        """
        scaled: Float32Array = self._running / self._scales
        return scaled.clip(self._worst, self._best).T

    def _folded(self, formula: Formula, running: Float32Array, *, boolean: bool) -> list[_Fold]:
        compiler, folds = Compiler(self._memory, boolean=boolean), []
        for body, start, end in _specs(formula):
            delay = _finite_horizon(body)
            operator = compiler.operator(body, delay)
            last = None if end is None else end + delay
            folds.append(_Fold(self._arrays, operator, running, start + delay, last))
        return folds


def _specs(formula: Formula) -> list[tuple[Formula, int, int | None]]:
    """The bodies that must hold, each with the first and the last instant at which it must."""
    match formula:
        case Connective(operator="and", left=left, right=right):
            return _specs(left) + _specs(right)
        case Window(operator="always", interval=interval, operand=body):
            return [(body, interval.start, interval.end)]
    return [(formula, 0, 0)]


def _finite_horizon(formula: Formula) -> int:
    horizon = formula.horizon()
    if math.isinf(horizon):
        raise FormulaError(
            f"'{formula}' looks infinitely far ahead and cannot be monitored: bound its windows, "
            "state it in past-time form, or use MonitorSet for an unbounded 'always' at the top"
        )
    return int(horizon)

"""The rules of a shield, and what they count; :mod:`~marl_stl_env.stl.shield` has the theory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from marl_stl_env.arrays import Arrays
from marl_stl_env.config.response import PRESENCE
from marl_stl_env.errors import ConfigError
from marl_stl_env.stl.enforcement import Bound
from marl_stl_env.types import Action, AnyArray, BoolArray, Int8Array, IntArray

_ISOLATIONS = ("quarantined", "quarantined_fraction", "requarantined_benign")


@dataclass(frozen=True)
class CountRule:
    """At most ``limit`` of an action in any window that ends at step ``start`` or later."""

    action: Action
    window: int
    start: int
    limit: int

    @property
    def first(self) -> int:
        """The first step that such a window holds."""
        return self.start - self.window + 1


@dataclass(frozen=True)
class FractionRule:
    """At most ``limits[n]`` isolated entities where n are present, from step ``start`` on."""

    limits: IntArray  # (PRESENCE + 1,)
    start: int


@dataclass(frozen=True)
class RepeatRule:
    """From step ``start`` on, no quarantine of an entity that left one too few steps ago."""

    window: int
    start: int


@dataclass(frozen=True)
class Rules:
    """The rules that enforce a set of bounds."""

    counts: tuple[CountRule, ...]
    fractions: tuple[FractionRule, ...]
    repeats: tuple[RepeatRule, ...]

    @classmethod
    def of(cls, bounds: Iterable[Bound], quarantine_length: int | None) -> Rules:
        """The rules of these bounds.

        Args:
            bounds: What is enforced.
            quarantine_length: Steps that an isolation lasts; None where nothing is isolated.

        Raises:
            ConfigError: If a bound is on isolations and there are none.
        """
        found = [_rule(bound, quarantine_length) for bound in bounds]
        return cls(
            tuple(rule for rule in found if isinstance(rule, CountRule)),
            tuple(rule for rule in found if isinstance(rule, FractionRule)),
            tuple(rule for rule in found if isinstance(rule, RepeatRule)),
        )


def _rule(
    bound: Bound, quarantine_length: int | None
) -> CountRule | FractionRule | RepeatRule | None:
    """The rule of one bound; None where nothing can break it."""
    if bound.kind in _ISOLATIONS and quarantine_length is None:
        raise ConfigError(
            f"'{bound.comparison}' bounds isolations, and nothing is isolated here; use "
            "dynamics='response' or leave the specification out"
        )
    length = quarantine_length or 0
    if bound.kind == "requarantined_benign":
        admitted = bound.holds(np.ones(1, np.int64)).all()
        return None if admitted else RepeatRule(bound.window, bound.start)
    if bound.kind == "quarantined_fraction":
        limits = _limits(bound, length)
        if length <= PRESENCE:
            return FractionRule(limits, bound.start)
        # Within its time every entity but the current one may leave.
        return CountRule(Action.QUARANTINE, length, bound.start, int(limits[1]))
    action = Action.ALERT if bound.kind == "alerts" else Action.QUARANTINE
    window = bound.window or length
    return CountRule(action, window, bound.start, bound.largest(np.arange(window + 1)))


def _limits(bound: Bound, length: int) -> IntArray:
    """The most isolations that the bound admits, by the number of entities present."""
    held = np.arange(length + 1)
    # A monitor divides just so.
    shares = [(held / present).astype(np.float32) for present in range(1, PRESENCE + 1)]
    return np.array([0, *(bound.largest(share) for share in shares)])


_BIT = {Action.ALERT: 1, Action.QUARANTINE: 2}
_ALERT, _QUARANTINE = (np.array(action, np.int8) for action in _BIT)


class Effects(NamedTuple):
    """What decisions begin; of an isolated entity's event nothing begins.

    Attributes:
        acting: Lanes that vote on a running episode.  # (lanes,) bool
        everywhere: Whether these are surely all lanes.
        free: Those of them whose entity is not isolated.  # (lanes,) bool
        alerts: Those of the free ones that decided Alert.  # (lanes,) bool
        quarantines: Those of the free ones that decided Quarantine.  # (lanes,) bool
    """

    acting: BoolArray
    everywhere: bool
    free: BoolArray
    alerts: BoolArray
    quarantines: BoolArray

    @classmethod
    def of(
        cls, decisions: Int8Array, isolated: BoolArray, acting: BoolArray, arrays: Arrays
    ) -> Effects:
        """The effects of these decisions.

        Args:
            decisions: What the teams decided.  # (lanes,) int8
            isolated: Whether the current event's entity is isolated.  # (lanes,) bool
            acting: Lanes that vote on a running episode.  # (lanes,) bool
            arrays: The library of the arrays.
        """
        free: BoolArray = acting > isolated  # and not
        alerts = free & (decisions == arrays.constant(_ALERT))
        quarantines = free & (decisions == arrays.constant(_QUARANTINE))
        return cls(acting, arrays.surely_all(acting), free, alerts, quarantines)

    def among(self, mask: BoolArray) -> BoolArray:
        """The acting lanes that the mask holds for.  # (lanes,) bool."""
        return mask if self.everywhere else mask & self.acting

    def keep(self, values: AnyArray, new: AnyArray, arrays: Arrays) -> AnyArray:
        """The new values in acting lanes, the values elsewhere; in place unless all lanes act.

        So they are on a device, where a recorded step must find them where it left them.
        """
        if self.everywhere:
            return new
        arrays.replace(values, self.acting, new)
        return values


class _Count:
    """What one rule counts, lane by lane.

    Args:
        rule: The rule.
        length: Steps of the history.
        lanes: Independent copies of the stream.
        arrays: The array library and device.
    """

    def __init__(self, rule: CountRule, length: int, lanes: int, arrays: Arrays) -> None:
        # Arrays of no dimension: numpy converts a number of Python's anew in every operation.
        def number(value: int, kind: type[np.generic] = np.int64) -> Any:
            return arrays.asarray(np.array(value, kind))

        self.action, self.later = rule.action, rule.start > 0
        self.limit, self.bit = number(rule.limit), number(_BIT[rule.action], np.uint8)
        self.start, self.first = number(rule.start), number(max(rule.first, 0))
        # The place in the history of the oldest step of a window, by that of its newest.
        self.oldest = arrays.asarray((np.arange(length) - (rule.window - 1)) % length)
        self.counted: IntArray = arrays.asarray(np.zeros(lanes, np.int64))


class Counts:
    """How often actions were carried out within the windows in which rules count them.

    Args:
        rules: The rules.
        lanes: Independent copies of the stream.
        arrays: The array library and device.
    """

    def __init__(self, rules: tuple[CountRule, ...], lanes: int, arrays: Arrays) -> None:
        length = max((rule.window for rule in rules), default=1)
        self._arrays, self._lanes = arrays, lanes
        self._rules = [_Count(rule, length, lanes, arrays) for rule in rules]
        # By step modulo the length. The spare last entry is for lanes that carry nothing out.
        self._history = arrays.asarray(np.zeros(lanes * length + 1, np.uint8))
        self._first = arrays.asarray(np.arange(lanes) * length)
        self._length = arrays.asarray(np.array(length))
        self._second = arrays.asarray(np.array(_BIT[Action.QUARANTINE], np.uint8))

    def full(self, action: Action, steps: IntArray) -> BoolArray | None:
        """Whether the action would be one too many in a window; None where no rule counts it."""
        found: BoolArray | None = None
        for rule in self._rules:
            if rule.action == action:
                full = rule.counted >= rule.limit
                if rule.later:
                    full &= steps >= rule.first
                found = full if found is None else found | full
        return found

    def step(self, steps: IntArray, effects: Effects) -> None:
        """Count what enters and what leaves each window.

        Args:
            steps: Number of the event in its episode.  # (lanes,) int64
            effects: What begins; lanes that do not act stay as they are.
        """
        if not self._rules:
            return
        arrays, history = self._arrays, self._history
        turn = steps % self._length
        place = self._first + turn
        if not effects.everywhere:
            place = arrays.where(effects.acting, place, -1)
        bits = arrays.cast(effects.alerts, np.uint8)
        if not arrays.surely_none(effects.quarantines):
            arrays.replace(bits, effects.quarantines, self._second)
        history[place] = bits
        for rule in self._rules:
            # A window of one step loses none but this one, which it has just gained.
            last = history[self._first + rule.oldest[turn]]
            leaving = effects.among(last == rule.bit)
            entering = effects.alerts if rule.action == Action.ALERT else effects.quarantines
            if rule.later:
                entering = entering & (steps >= rule.first)
                leaving &= steps >= rule.start
            if not arrays.surely_none(entering):
                rule.counted += arrays.cast(entering, np.int64)
            if not arrays.surely_none(leaving):
                rule.counted -= arrays.cast(leaving, np.int64)

    def reset(self, mask: BoolArray) -> None:
        """Forget all in the masked lanes.  # (lanes,) bool."""
        self._arrays.fill(self._rows, mask, 0)
        for rule in self._rules:
            self._arrays.fill(rule.counted, mask, 0)

    def get_state(self) -> dict[str, AnyArray]:
        """Copies of all arrays, by name, lanes first."""
        tonumpy = self._arrays.tonumpy
        counted = np.zeros((self._lanes, len(self._rules)), np.int64)
        for i, rule in enumerate(self._rules):
            counted[:, i] = tonumpy(rule.counted, np.int64)
        return {"history": tonumpy(self._rows, np.uint8), "counted": counted}

    def set_state(self, arrays: Mapping[str, AnyArray]) -> None:
        """Go back to a state that :meth:`get_state` gave, of the same shapes."""
        self._rows[:] = self._arrays.asarray(arrays["history"])
        for i, rule in enumerate(self._rules):
            rule.counted = self._arrays.asarray(arrays["counted"][:, i].copy())

    @property
    def _rows(self) -> AnyArray:
        """The history, a row for each lane."""
        rows: AnyArray = self._history[:-1].reshape(self._lanes, -1)
        return rows

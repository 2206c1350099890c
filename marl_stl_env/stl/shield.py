"""A shield: actions that could break an enforced specification are masked, whatever the labels are.

With x_s = 1 where the counted action was carried out at step s, and on an entity that is free:

==============================  ================================================================
bound, from step a              masked at step t
==============================  ================================================================
``alerts_<w> <= c``             Alert iff 1 + the alerts in max(t, a) - w + 1 ... t - 1 exceed c
``quarantines_<w> <= c``        Quarantine, likewise; ``quarantined`` counts over q steps
``requarantined_benign_<w>``    Quarantine iff the entity's last one ended at u, 0 <= t - u < w
``quarantined_fraction <= c``   Quarantine iff for some k in 0 ... q - 1 with t + k >= a:
                                1 + (quarantines begun in t+k-q+1 ... t-1) > c * (entities last
                                met at t+k-63 or later, the current one included)
==============================  ================================================================

q is the length of a quarantine. Allow and Block are never masked, so that some action always
remains. On an event of an isolated entity nothing is masked: it is contained already, and no vote
starts anything.

Every rule is the weakest that works. Let I(t) be: without another quarantine the bound holds at
t + k for each k in 0 ... q - 1, whatever comes. The condition of I(t + 1) at k is that of I(t) at
k + 1, so Allow, Block and Alert keep it; a Quarantine keeps it iff it is not masked. A stream that
repeats the current entity attains the bound, so a shield that masks less fails on it. One step of
look-ahead is not enough: a quarantine counts for q steps, and at every step one of the entities
present can leave. Where q >= 64, all but the current one can leave in the meantime, so that c < 1
leaves no Quarantine from step a - q + 1 on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from marl_stl_env.config.response import PRESENCE
from marl_stl_env.errors import ConfigError, StateError
from marl_stl_env.stl.enforcement import Bound
from marl_stl_env.types import (
    ACTIONS,
    Action,
    AnyArray,
    BoolArray,
    Int8Array,
    Int32Array,
    IntArray,
)

_WordArray = NDArray[np.uint64]
_ONE = np.uint64(1)
_BIT = np.array([0, 0, 2, 1], np.uint8)  # of Allow, Block, Quarantine, Alert
_ISOLATIONS = ("quarantined", "quarantined_fraction", "requarantined_benign")
#: What is carried out in place of a masked action.
FALLBACK: Int8Array = np.array(
    [Action.ALLOW, Action.BLOCK, Action.BLOCK, Action.ALLOW], dtype=np.int8
)


class Situation(NamedTuple):
    """The current event of every lane, before the vote.

    Attributes:
        steps: Number of the event in its episode, from 0.  # (lanes,) int64
        isolated: Whether its entity is isolated.  # (lanes,) bool
        freed: Steps since the entity's last isolation ended, 0 on the first event after it; -1
            where there was none, or it lasts.  # (lanes,) int32
        met: Steps since the entity was last met; -1 where it is new.  # (lanes,) int32
    """

    steps: IntArray
    isolated: BoolArray
    freed: Int32Array
    met: Int32Array

    @classmethod
    def unrelated(cls, steps: IntArray) -> Situation:
        """Events without entities, as in a replay."""
        never = np.full(len(steps), -1, np.int32)
        return cls(steps, np.zeros(len(steps), np.bool_), never, never)


@dataclass(frozen=True)
class _CountRule:
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
class _FractionRule:
    """At most ``limits[n]`` isolated entities where n are present, from step ``start`` on."""

    limits: IntArray  # (PRESENCE + 1,)
    start: int


class Shield:
    """Which actions every lane may carry out, and what it must remember to know.

    Args:
        bounds: What is enforced.
        lanes: Independent copies of the stream.
        quarantine_length: Steps that an isolation lasts; None where nothing is isolated.

    Raises:
        ConfigError: If a bound is on isolations and there are none.
    """

    def __init__(
        self, bounds: Iterable[Bound], lanes: int, quarantine_length: int | None = None
    ) -> None:
        self._lanes, self._every = lanes, np.arange(lanes)
        self._counts: list[_CountRule] = []
        self._fractions: list[_FractionRule] = []
        self._repeats: list[Bound] = []
        for bound in bounds:
            self._add(bound, quarantine_length)
        longest = max((rule.window for rule in self._counts), default=1)
        self._history = np.zeros((lanes, longest), np.uint8)
        self._counted = np.zeros((len(self._counts), lanes), np.int64)
        # Bit j of a lane's word is j steps ago; bit 0, the current event, is still open.
        self._begun: _WordArray = np.zeros(lanes, np.uint64)
        self._present: _WordArray = np.zeros(lanes, np.uint64)
        ahead = min(quarantine_length or 1, PRESENCE)
        self._ahead = np.arange(ahead)
        self._still_begun = _lowest_bits(ahead - self._ahead)
        self._still_present = _lowest_bits(PRESENCE - self._ahead)

    def _add(self, bound: Bound, quarantine_length: int | None) -> None:
        if bound.kind in _ISOLATIONS and quarantine_length is None:
            raise ConfigError(
                f"'{bound.comparison}' bounds isolations, and nothing is isolated here; use "
                "dynamics='response' or leave the specification out"
            )
        length = quarantine_length or 0
        if bound.kind == "requarantined_benign":
            if not bound.holds(np.ones(1, np.int64)).all():
                self._repeats.append(bound)
        elif bound.kind == "quarantined_fraction":
            limits = _limits(bound, length)
            if length <= PRESENCE:
                self._fractions.append(_FractionRule(limits, bound.start))
            else:
                # Within its time every entity but the current one may leave.
                alone = int(limits[1])
                self._counts.append(_CountRule(Action.QUARANTINE, length, bound.start, alone))
        else:
            action = Action.ALERT if bound.kind == "alerts" else Action.QUARANTINE
            window = bound.window or length
            limit = bound.largest(np.arange(window + 1))
            self._counts.append(_CountRule(action, window, bound.start, limit))

    def allowed(self, now: Situation) -> BoolArray:
        """The actions that cannot lead to a violation.

        Returns:
            False for masked actions, in the order of :class:`Action`.  # (lanes, 4) bool
        """
        masked = np.zeros((self._lanes, ACTIONS), np.bool_)
        alerts, quarantines = masked[:, Action.ALERT], masked[:, Action.QUARANTINE]
        for rule, counted in zip(self._counts, self._counted, strict=True):
            full = counted >= rule.limit
            if rule.first > 0:
                full &= now.steps >= rule.first
            of_action = alerts if rule.action == Action.ALERT else quarantines
            of_action |= full
        for bound in self._repeats:
            # As unsigned numbers, -1 is later than any window.
            lately = now.freed.view(np.uint32) < bound.window
            quarantines |= lately & (now.steps >= bound.start) if bound.start else lately
        if self._fractions:
            quarantines |= self._crowded(now)
        masked[now.isolated] = False
        return ~masked

    def step(self, now: Situation, decisions: Int8Array, active: BoolArray) -> None:
        """Remember what was carried out.

        Args:
            now: What :meth:`allowed` was asked about.
            decisions: What was carried out.  # (lanes,) int8
            active: Lanes in which it was; others stay as they are.  # (lanes,) bool
        """
        at = self._every if active.all() else np.flatnonzero(active)
        steps, longest = now.steps[at], self._history.shape[1]
        bits = _BIT[decisions[at]] * ~now.isolated[at]
        if self._counts:
            self._history[at, steps % longest] = bits
        for rule, counted in zip(self._counts, self._counted, strict=True):
            last = self._history[at, (steps - rule.window + 1) % longest]
            entering, leaving = bits == _BIT[rule.action], last == _BIT[rule.action]
            if rule.start > 0:
                entering &= steps >= rule.first
                leaving &= steps >= rule.start
            counted[at] += entering
            counted[at] -= leaving
        if self._fractions:
            begins = bits == _BIT[Action.QUARANTINE]
            self._begun[at] = (self._begun[at] | begins) << _ONE
            self._present[at] = self._here(now)[at] << _ONE

    def reset(self, mask: BoolArray) -> None:
        """Begin a new episode in the masked lanes.  # (lanes,) bool."""
        for array in self._arrays().values():
            array[mask] = 0

    def get_state(self) -> dict[str, AnyArray]:
        """Copies of all arrays, by name, lanes first."""
        return {name: array.copy() for name, array in self._arrays().items()}

    def set_state(self, arrays: Mapping[str, AnyArray]) -> None:
        """Go back to a state that :meth:`get_state` gave.

        Raises:
            StateError: If it belongs to other bounds or another number of lanes.
        """
        for name, own in self._arrays().items():
            given = np.asarray(arrays.get(name))
            if (given.shape, given.dtype) != (own.shape, own.dtype):
                raise StateError(
                    f"the shield's {name} must be {own.shape} {own.dtype}, not {given.shape} "
                    f"{given.dtype}; the state belongs to other specifications or other lanes"
                )
            own[:] = given

    def _arrays(self) -> dict[str, AnyArray]:
        return {
            "history": self._history,
            "counted": self._counted.T,
            "begun": self._begun,
            "present": self._present,
        }

    def _here(self, now: Situation) -> _WordArray:
        """When the entities present were last met, the current one just now."""
        # As unsigned numbers, -1 is longer ago than any that counts.
        ago = now.met.view(np.uint32)
        before = np.where(ago < PRESENCE, _ONE << np.minimum(ago, PRESENCE - 1), 0)
        return (self._present & ~before) | _ONE

    def _crowded(self, now: Situation) -> BoolArray:
        """Whether another quarantine could become one too many while it lasts.  # (lanes,)."""
        begun = np.bitwise_count(self._begun[:, None] & self._still_begun)  # (lanes, ahead)
        present = np.bitwise_count(self._here(now)[:, None] & self._still_present)
        crowded = np.zeros(self._lanes, np.bool_)
        for rule in self._fractions:
            one_too_many = begun >= rule.limits[present]
            if rule.start > 0:
                one_too_many &= now.steps[:, None] >= rule.start - self._ahead
            crowded |= one_too_many.any(axis=1)
        return crowded


def carried_out(decisions: Int8Array, allowed: BoolArray) -> Int8Array:
    """The decisions with what is masked replaced: Alert by Allow, Quarantine by Block.

    Args:
        decisions: What was voted.  # (lanes,) int8
        allowed: What the shield allows.  # (lanes, 4) bool
    """
    free = np.take_along_axis(allowed, decisions[:, None].astype(np.int64), axis=1)[:, 0]
    return np.where(free, decisions, FALLBACK[decisions])


def _lowest_bits(counts: IntArray) -> _WordArray:
    return np.array([(1 << int(count)) - 1 for count in counts], np.uint64)


def _limits(bound: Bound, length: int) -> IntArray:
    """The most isolations that the bound admits, by the number of entities present."""
    held = np.arange(length + 1)
    # A monitor divides just so.
    shares = [(held / present).astype(np.float32) for present in range(1, PRESENCE + 1)]
    return np.array([0, *(bound.largest(share) for share in shares)])

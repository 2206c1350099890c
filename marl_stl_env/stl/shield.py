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
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

import numpy as np

from marl_stl_env.arrays import NUMPY, Arrays
from marl_stl_env.config.response import PRESENCE
from marl_stl_env.errors import StateError
from marl_stl_env.stl.enforcement import Bound
from marl_stl_env.stl.shield_rules import Rules
from marl_stl_env.types import (
    ACTIONS,
    Action,
    AnyArray,
    BoolArray,
    Int8Array,
    Int32Array,
    IntArray,
)

_BIT = np.array([0, 0, 2, 1], np.uint8)  # of Allow, Block, Quarantine, Alert
#: All bits but that of an entity last met so many steps ago, by one more than that: none is to be
#: taken away where it is new (0) or was met too long ago (the last).
_OTHERS = ~np.array([0, *(1 << ago for ago in range(PRESENCE)), 0], np.uint64).view(np.int64)
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
    def unrelated(cls, lanes: int, arrays: Arrays = NUMPY) -> Situation:
        """First events without entities, as in a replay."""
        first, no = np.zeros(lanes, np.int64), np.zeros(lanes, np.bool_)
        never = np.full(lanes, -1, np.int32)
        return cls(*(arrays.asarray(array) for array in (first, no, never, never)))


class Shield:
    """Which actions every lane may carry out, and what it must remember to know.

    Args:
        bounds: What is enforced.
        lanes: Independent copies of the stream.
        quarantine_length: Steps that an isolation lasts; None where nothing is isolated.
        arrays: The array library and device.

    Raises:
        ConfigError: If a bound is on isolations and there are none.
    """

    def __init__(
        self,
        bounds: Iterable[Bound],
        lanes: int,
        quarantine_length: int | None = None,
        arrays: Arrays = NUMPY,
    ) -> None:
        self._arrays, self._every = arrays, arrays.asarray(np.arange(lanes))
        found = Rules.of(bounds, quarantine_length)
        self._counts, self._repeats = found.counts, found.repeats
        self._fractions = [(arrays.asarray(rule.limits), rule.start) for rule in found.fractions]
        longest = max((rule.window for rule in self._counts), default=1)
        self._history = arrays.asarray(np.zeros((lanes, longest), np.uint8))
        self._counted = arrays.asarray(np.zeros((len(self._counts), lanes), np.int64))
        self._first = self._every * longest

        def column(numbers: Iterable[int], kind: type[np.generic] = np.int64) -> Any:
            return arrays.asarray(np.array(list(numbers), kind)[:, None])

        rules = self._counts
        self._limits = column(rule.limit for rule in rules)
        self._bits = column((_BIT[rule.action] for rule in rules), np.uint8)
        # The steps that leave each window, and this one, which takes the place of the oldest.
        self._back = column([*(rule.window - 1 for rule in rules), 0])
        self._starts, self._firsts = (
            column(max(step, 0) for step in steps)
            for steps in ((rule.start for rule in rules), (rule.first for rule in rules))
        )
        self._late = any(rule.start > 0 for rule in rules)
        # Bit j of a lane's word is j steps ago; bit 0, the current event, is still open.
        self._begun: IntArray = arrays.asarray(np.zeros(lanes, np.int64))
        self._present: IntArray = arrays.asarray(np.zeros(lanes, np.int64))
        # Arrays of no dimension: numpy converts a number of Python's anew in every operation.
        self._presence, self._never = (
            arrays.asarray(np.array(number, np.int32)) for number in (PRESENCE, -1)
        )
        self._one, self._quarantine = (
            arrays.asarray(np.array(number, kind))
            for number, kind in ((1, np.int64), (_BIT[Action.QUARANTINE], np.uint8))
        )
        self._met: tuple[Situation, IntArray] | None = None
        ahead = np.arange(min(quarantine_length or 1, PRESENCE))
        self._ahead = arrays.asarray(ahead)
        self._still_begun = arrays.asarray(_lowest_bits(len(ahead) - ahead))
        self._still_present = arrays.asarray(_lowest_bits(PRESENCE - ahead))
        self._everything = arrays.asarray(np.ones((lanes, ACTIONS), np.bool_))

    def allowed(self, now: Situation) -> BoolArray:
        """The actions that cannot lead to a violation.

        Returns:
            False for masked actions, in the order of :class:`Action`.  # (lanes, 4) bool
        """
        allowed: BoolArray = self._arrays.copy(self._everything)
        for action, masked in (
            (Action.ALERT, self._full(now, Action.ALERT)),
            (Action.QUARANTINE, self._unwanted(now)),
        ):
            if masked is not None:
                allowed[:, action] = now.isolated >= masked  # isolated or not masked
        return allowed

    def _full(self, now: Situation, action: Action) -> BoolArray | None:
        """Whether the action would be one too many in a window; None where none counts it."""
        found: BoolArray | None = None
        for i, rule in enumerate(self._counts):
            if rule.action == action:
                full = self._counted[i] >= self._limits[i]
                if rule.first > 0:
                    full &= now.steps >= rule.first
                found = full if found is None else found | full
        return found

    def _unwanted(self, now: Situation) -> BoolArray | None:
        """Where any bound forbids a quarantine; None where none ever does."""
        found = [self._full(now, Action.QUARANTINE)]
        for rule in self._repeats:
            lately = (now.freed > self._never) & (now.freed < rule.window)
            found.append(lately & (now.steps >= rule.start) if rule.start else lately)
        found += self._crowded(now) if self._fractions else []
        masks = [mask for mask in found if mask is not None]
        return reduce(or_, masks) if masks else None

    def step(self, now: Situation, decisions: Int8Array, active: BoolArray) -> None:
        """Remember what was carried out.

        Args:
            now: What :meth:`allowed` was asked about.
            decisions: What was carried out.  # (lanes,) int8
            active: Lanes in which it was; others stay as they are.  # (lanes,) bool
        """
        arrays = self._arrays
        bits = arrays.take(arrays.constant(_BIT), arrays.cast(decisions, np.int64))
        if not arrays.surely_none(now.isolated):
            bits = bits * ~now.isolated
        if self._counts:
            self._count(now.steps, bits, active)
        if self._fractions:
            begun = (self._begun | (bits == self._quarantine)) << self._one
            arrays.replace(self._begun, active, begun)
            arrays.replace(self._present, active, self._here(now) << self._one)
            self._met = None

    def _count(self, steps: IntArray, bits: AnyArray, active: BoolArray) -> None:
        """Count what enters and what leaves each window."""
        arrays, history = self._arrays, self._history.reshape(-1)
        places = (steps - self._back) % self._history.shape[1]
        places += self._first
        entries = arrays.take(history, places[-1])
        arrays.replace(entries, active, bits)
        arrays.put(history, places[-1], entries)
        # A window of one step loses none but this one, which it has just gained.
        last = arrays.take(history, places[:-1])
        entering, leaving = (bits == self._bits) & active, (last == self._bits) & active
        if self._late:
            entering &= steps >= self._firsts
            leaving &= steps >= self._starts
        self._counted += arrays.cast(entering, np.int64)
        self._counted -= arrays.cast(leaving, np.int64)

    def reset(self, mask: BoolArray) -> None:
        """Begin a new episode in the masked lanes.  # (lanes,) bool."""
        self._met = None
        for array in (self._history, self._begun, self._present):
            self._arrays.fill(array, mask, 0)
        self._arrays.fill_columns(self._counted, mask, 0)

    def get_state(self) -> dict[str, AnyArray]:
        """Copies of all arrays, by name, lanes first."""
        arrays = self._arrays
        words = (arrays.tonumpy(array, np.int64) for array in (self._begun, self._present))
        begun, present = (array.view(np.uint64) for array in words)
        return {
            "history": arrays.tonumpy(self._history, np.uint8),
            "counted": arrays.tonumpy(self._counted.T, np.int64),
            "begun": begun,
            "present": present,
        }

    def set_state(self, arrays: Mapping[str, AnyArray]) -> None:
        """Go back to a state that :meth:`get_state` gave.

        Raises:
            StateError: If it belongs to other bounds or another number of lanes.
        """
        for name, own in self.get_state().items():
            given = np.asarray(arrays.get(name))
            if (given.shape, given.dtype) != (own.shape, own.dtype):
                raise StateError(
                    f"the shield's {name} must be {own.shape} {own.dtype}, not {given.shape} "
                    f"{given.dtype}; the state belongs to other specifications or other lanes"
                )
        taken = {
            name: self._arrays.asarray(np.array(array, order="C"))  # the history is read as flat
            for name, array in arrays.items()
        }
        self._met = None
        self._history, self._counted = taken["history"], taken["counted"].T
        self._begun, self._present = (self._arrays.bits(taken[n]) for n in ("begun", "present"))

    def _here(self, now: Situation) -> IntArray:
        """When the entities present were last met, the current one just now."""
        if self._met is None or self._met[0] is not now:
            arrays, one = self._arrays, self._one
            ago = arrays.minimum(now.met, self._presence) + one
            present = (self._present & arrays.take(arrays.constant(_OTHERS), ago)) | one
            self._met = now, present
        return self._met[1]

    def _crowded(self, now: Situation) -> list[BoolArray]:
        """For each rule: could another quarantine become one too many while it lasts?

        # (lanes,) bool each
        """
        arrays = self._arrays
        begun = arrays.count_bits(self._begun[:, None] & self._still_begun)  # (lanes, ahead)
        present = arrays.count_bits(self._here(now)[:, None] & self._still_present)
        found = []
        for limits, start in self._fractions:
            one_too_many = begun >= arrays.take(limits, present)
            if start > 0:
                one_too_many &= now.steps[:, None] >= start - self._ahead
            found.append(arrays.any_of_rows(one_too_many))
        return found


def carried_out(decisions: Int8Array, allowed: BoolArray, arrays: Arrays = NUMPY) -> Int8Array:
    """The decisions with what is masked replaced: Alert by Allow, Quarantine by Block.

    Args:
        decisions: What was voted.  # (lanes,) int8
        allowed: What the shield allows.  # (lanes, 4) bool
        arrays: The library of the arrays.
    """
    if arrays.surely_all(allowed):
        return decisions
    for action in (int(Action.ALERT), int(Action.QUARANTINE)):  # the others are never masked
        masked = (decisions == action) > allowed[:, action]  # and not
        if not arrays.surely_none(masked):
            decisions = arrays.where(masked, int(FALLBACK[action]), decisions)
    return decisions


def _lowest_bits(counts: IntArray) -> IntArray:
    return np.array([(1 << int(count)) - 1 for count in counts], np.uint64).view(np.int64)

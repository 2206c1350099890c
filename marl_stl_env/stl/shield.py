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
from marl_stl_env.stl.shield_rules import Counts, Effects, Rules
from marl_stl_env.types import (
    ACTIONS,
    Action,
    AnyArray,
    BoolArray,
    Int8Array,
    Int32Array,
    IntArray,
    unchanging,
)

_ALERT, _QUARANTINE = int(Action.ALERT), int(Action.QUARANTINE)
#: What is carried out in place of a masked action.
FALLBACK: Int8Array = np.array(
    [Action.ALLOW, Action.BLOCK, Action.BLOCK, Action.ALLOW], dtype=np.int8
)
#: The actions that are ever masked: column of the mask, action and fallback.
_MASKABLE = [
    (action, np.array(action, np.int8), FALLBACK[action].reshape(()))
    for action in (_ALERT, _QUARANTINE)
]


class Situation(NamedTuple):
    """The current event of every lane, before the vote.

    Attributes:
        steps: Number of the event in its episode, from 0.  # (lanes,) int64
        isolated: Whether its entity is isolated.  # (lanes,) bool
        freed: Steps since the entity's last isolation ended, 0 on the first event after it;
            negative while it lasts, 2**30 or more where there was none.  # (lanes,) int32
        present: Bit j: an entity was last met j steps ago; bit 0 is that of the current event.
            # (lanes,) int64
    """

    steps: IntArray
    isolated: BoolArray
    freed: Int32Array
    present: IntArray

    @classmethod
    def unrelated(cls, lanes: int, arrays: Arrays = NUMPY) -> Situation:
        """First events without entities, as in a replay."""
        first, no = np.zeros(lanes, np.int64), np.zeros(lanes, np.bool_)
        never = np.full(lanes, 2**30, np.int32)
        return cls(*(arrays.asarray(array) for array in (first, no, never, first + 1)))


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
        self._arrays = arrays
        found = Rules.of(bounds, quarantine_length)
        self._counts = Counts(found.counts, lanes, arrays)
        self._repeats = [
            (arrays.asarray(np.array(min(rule.window, 2**30), np.int32)), rule.start)
            for rule in found.repeats
        ]
        # Bit j of a lane's word is j steps ago; bit 0, the current event, is still open.
        self._begun: IntArray = arrays.asarray(np.zeros(lanes, np.int64))
        self._present: IntArray = arrays.asarray(np.zeros(lanes, np.int64))
        ahead = np.arange(min(quarantine_length or 1, PRESENCE))
        self._fractions = [
            (arrays.asarray(rule.limits.astype(np.uint8)), arrays.asarray(rule.start - ahead))
            for rule in found.fractions
        ]
        self._still_begun = arrays.asarray(_lowest_bits(len(ahead) - ahead))
        self._still_present = arrays.asarray(_lowest_bits(PRESENCE - ahead))
        # Whether the host would have to wait before it could look at an array.
        self._waits = not arrays.surely_none(arrays.asarray(np.zeros(1, np.bool_)))
        # Arrays of no dimension: numpy converts a number of Python's anew in every operation.
        self._all_begun = arrays.asarray(_lowest_bits(len(ahead)))
        self._last_present = arrays.asarray(_lowest_bits(PRESENCE - ahead[-1]))
        self._one = arrays.asarray(np.array(1))
        everything = unchanging(np.ones((lanes, ACTIONS), np.bool_))
        self._everything: BoolArray = arrays.asarray(everything)

    def allowed(self, now: Situation) -> BoolArray:
        """The actions that cannot lead to a violation.

        Returns:
            False for masked actions, in the order of :class:`Action`; not to be changed.
                # (lanes, 4) bool
        """
        arrays, allowed = self._arrays, self._everything
        masks = (
            (_ALERT, self._counts.full(Action.ALERT, now.steps)),
            (_QUARANTINE, self._unwanted(now)),
        )
        for action, masked in masks:
            if masked is not None and not arrays.surely_none(masked):
                if allowed is self._everything:
                    allowed = arrays.copy(allowed)
                allowed[:, action] = now.isolated >= masked  # isolated or not masked
        return allowed

    def _unwanted(self, now: Situation) -> BoolArray | None:
        """Where any bound forbids a quarantine; None where none ever does."""
        found = self._crowded(now) if self._fractions else []
        for window, start in self._repeats:
            lately = now.freed < window
            found.append(lately & (now.steps >= start) if start else lately)
        full = self._counts.full(Action.QUARANTINE, now.steps)
        if full is not None:
            found.append(full)
        return reduce(or_, found) if found else None

    def _crowded(self, now: Situation) -> list[BoolArray]:
        """For each rule: could another quarantine become one too many while it lasts?

        # (lanes,) bool each
        """
        if self._waits:
            every = slice(None)
            return [self._one_too_many(now, *rule, every) for rule in self._fractions]
        arrays, found = self._arrays, []
        most = arrays.count_bits(self._begun & self._all_begun)
        fewest = arrays.cast(arrays.count_bits(now.present & self._last_present), np.int64)
        for limits, starts in self._fractions:
            # Only where the most isolated entities are too many for the fewest present ones.
            crowded: BoolArray = most >= limits[fewest]
            if not arrays.surely_none(crowded):
                crowded &= (now.steps >= starts[-1]) > now.isolated  # and not
                lanes = arrays.lanes_of(crowded)
                crowded[lanes] = self._one_too_many(now, limits, starts, lanes)
            found.append(crowded)
        return found

    def _one_too_many(
        self, now: Situation, limits: AnyArray, starts: IntArray, lanes: Any
    ) -> BoolArray:
        """In which of these lanes a quarantine can become one too many, step by step."""
        arrays = self._arrays
        begun = arrays.count_bits(self._begun[lanes][:, None] & self._still_begun)
        present = arrays.count_bits(now.present[lanes][:, None] & self._still_present)
        many = begun >= limits[arrays.cast(present, np.int64)]  # (lanes, ahead)
        many &= now.steps[lanes][:, None] >= starts
        found: BoolArray = arrays.any_of_rows(many)
        return found

    def step(self, now: Situation, effects: Effects) -> None:
        """Remember what was carried out.

        Args:
            now: What :meth:`allowed` was asked about.
            effects: What begins; lanes that do not act stay as they are.
        """
        self._counts.step(now.steps, effects)
        if self._fractions:
            arrays, one, begun = self._arrays, self._one, self._begun
            if not arrays.surely_none(effects.quarantines):
                begun = begun | arrays.cast(effects.quarantines, np.int64)
            self._begun = effects.keep(self._begun, begun << one, arrays)
            self._present = effects.keep(self._present, now.present << one, arrays)

    def reset(self, mask: BoolArray) -> None:
        """Begin a new episode in the masked lanes.  # (lanes,) bool."""
        self._counts.reset(mask)
        for words in (self._begun, self._present):
            self._arrays.fill(words, mask, 0)

    def get_state(self) -> dict[str, AnyArray]:
        """Copies of all arrays, by name, lanes first."""
        words = (self._arrays.tonumpy(one, np.int64) for one in (self._begun, self._present))
        begun, present = (one.view(np.uint64) for one in words)
        return self._counts.get_state() | {"begun": begun, "present": present}

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
        self._counts.set_state(arrays)
        self._begun, self._present = (
            self._arrays.asarray(arrays[name].view(np.int64).copy())
            for name in ("begun", "present")
        )


def carried_out(decisions: Int8Array, allowed: BoolArray, arrays: Arrays = NUMPY) -> Int8Array:
    """The decisions with what is masked replaced: Alert by Allow, Quarantine by Block.

    Args:
        decisions: What was voted.  # (lanes,) int8
        allowed: What the shield allows.  # (lanes, 4) bool
        arrays: The library of the arrays.
    """
    if arrays.surely_all(allowed):
        return decisions
    for column, action, fallback in _MASKABLE:
        masked = (decisions == arrays.constant(action)) > allowed[:, column]  # and not
        if not arrays.surely_none(masked):
            decisions = arrays.copy(decisions)
            arrays.replace(decisions, masked, arrays.constant(fallback))
    return decisions


def _lowest_bits(counts: IntArray | int) -> IntArray:
    """Words of so many ones, 1 to 64."""
    return np.asarray(~np.uint64(0) >> np.array(64 - counts, np.uint64)).view(np.int64)

"""Faulty sensors of every lane: who they are, and what they claim."""

from __future__ import annotations

from functools import partial
from typing import Protocol

import numpy as np

from marl_stl_env.arrays import NUMPY, Arrays, shift_right
from marl_stl_env.config import FaultConfig
from marl_stl_env.consensus.faults import FAULTS, Fault, Scene, draw_faulty, fault_names, make_fault
from marl_stl_env.consensus.rules import DecisionRule
from marl_stl_env.engine.state import LaneState
from marl_stl_env.engine.streams import WordArray, random_bits
from marl_stl_env.types import AnyArray, BoolArray, Int8Array, IntArray

# Draw 0 of an episode is its start.
_KIND_DRAW, _FIRST_DRAW = 1, 2


class LaneDecide(Protocol):
    """What the teams of some lanes decide on agreed actions."""

    def __call__(self, agreed: Int8Array, /, lanes: IntArray | slice = ...) -> Int8Array:
        """Decisions of the given lanes, of all without.  # (lanes,) int8."""


class FaultySensors:
    """Draws faulty sensors from the lanes' own streams and chooses their claims.

    Args:
        config: How many there are, and of which kind.
        rule: The vote of the team.
        rounds: Rounds of an event: 2 with a proposal round, 1 without.
        arrays: The array library and device. Faults of users are numpy functions: on a device the
            host waits for them.

    Raises:
        UnknownNameError: If there is no such fault.
    """

    def __init__(
        self, config: FaultConfig, rule: DecisionRule, rounds: int, arrays: Arrays = NUMPY
    ) -> None:
        self._faults = [_fault(name, config, rule, arrays) for name in fault_names(config.fault)]
        self._count, self._agents, self._rounds = config.faulty, rule.agents, rounds
        self._arrays, self._sensors = arrays, arrays.asarray(np.arange(rule.agents))

    def draw(self, state: LaneState, mask: BoolArray) -> None:
        """Draw the faulty sensors of the episodes that the masked lanes have just begun.

        Args:
            state: Changed in place.
            mask: Lanes that were reset.  # (lanes,) bool
        """
        arrays = self._arrays
        chosen = draw_faulty(self._words(state, 0 * state.positions), self._count, arrays)
        seeds, episodes = arrays.bits(state.seeds), arrays.bits(state.episodes)
        bits = random_bits(seeds, episodes - 1, 0 * seeds + _KIND_DRAW)
        kinds = _remainder(bits, len(self._faults))
        # Fresh arrays, since records of past steps share the old ones.
        state.faulty = arrays.where(mask[:, None], chosen, state.faulty)
        state.kinds = arrays.where(mask, arrays.cast(kinds, np.int8), state.kinds)

    def agreed(
        self,
        actions: Int8Array,
        labels: BoolArray,
        state: LaneState,
        decide: LaneDecide | None = None,
    ) -> Int8Array:
        """The actions that the team holds its sensors to have chosen.

        Args:
            actions: What every sensor would do if it were honest.  # (lanes, agents) int8
            labels: True labels of the current events.  # (lanes,) bool
            state: Where every lane stands.
            decide: What the teams would decide, which a worst case attacks; None for the plain
                vote.

        Returns:
            Honest actions and faulty sensors' claims, -1 for silence.  # (lanes, agents) int8
        """
        arrays, steps = self._arrays, state.positions - state.starts
        words = self._words(state, 1 + steps * self._rounds + (self._rounds - 1) * state.voting)
        if len(self._faults) == 1:
            fault = self._faults[0]
            return fault(actions, state.faulty, labels, steps, words, decide, arrays)
        agreed: Int8Array = arrays.copy(actions)
        for number, fault in enumerate(self._faults):
            of_kind = state.kinds == number
            here = arrays.lanes_of(of_kind)
            if getattr(here, "size", 1) == 0:  # known on the host alone
                continue
            scene = (actions[here], state.faulty[here], labels[here], steps[here], words[here])
            claimed = fault(*scene, decide and partial(decide, lanes=here), arrays)
            agreed[here] = arrays.where(of_kind[here][:, None], claimed, agreed[here])
        return agreed

    def _words(self, state: LaneState, blocks: IntArray) -> WordArray:
        """One word for every sensor; block 0 chooses the faulty, later ones are for the steps."""
        arrays = self._arrays
        draws = _FIRST_DRAW + blocks[:, None] * self._agents + self._sensors
        seeds, episodes = arrays.bits(state.seeds), arrays.bits(state.episodes)
        words: WordArray = arrays.words(random_bits(seeds[:, None], episodes[:, None] - 1, draws))
        return words


class _OnHost(Fault):
    """A user's fault, which knows numpy alone, for the arrays of a device."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.rule)
        self._fault = fault

    def claims(self, scene: Scene) -> AnyArray:
        """See :meth:`Fault.claims`; what it returns is checked, since the host has it."""
        arrays = scene.arrays

        def decide(actions: Int8Array) -> Int8Array:
            decided: Int8Array = scene.decide(arrays.asarray(actions))
            return arrays.tonumpy(decided, np.int8)

        def agreed(
            actions: Int8Array,
            faulty: BoolArray,
            labels: BoolArray,
            steps: IntArray,
            bits: IntArray,
        ) -> Int8Array:
            words = bits.view(np.uint64)
            return self._fault(actions, faulty, labels, steps, words, decide)

        claims: AnyArray = arrays.on_host(agreed, *scene[:5])
        return claims


def _remainder(bits: AnyArray, count: int) -> AnyArray:
    """The remainders of unsigned words, of which all bits but the last make a positive int64."""
    return (shift_right(bits, 1) % count * 2 + (bits & 1)) % count


def _fault(name: str, config: FaultConfig, rule: DecisionRule, arrays: Arrays) -> Fault:
    options = {"start": config.sleeper_start} if name == "sleeper" else {}
    fault = make_fault(name, rule, **options)
    return _OnHost(fault) if arrays is not NUMPY and FAULTS.is_own(name) else fault

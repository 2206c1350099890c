"""Faulty sensors of every lane: who they are, and what they claim."""

from __future__ import annotations

from functools import partial
from typing import Protocol

import numpy as np

from marl_stl_env.config import FaultConfig
from marl_stl_env.consensus.faults import Fault, draw_faulty, fault_names, make_fault
from marl_stl_env.consensus.rules import DecisionRule
from marl_stl_env.engine.state import LaneState
from marl_stl_env.engine.streams import WordArray, random_words
from marl_stl_env.types import BoolArray, Int8Array, IntArray

# Draw 0 of an episode is its start.
_KIND_DRAW = np.ones(1, dtype=np.uint64)
_FIRST_DRAW = 2


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

    Raises:
        UnknownNameError: If there is no such fault.
    """

    def __init__(self, config: FaultConfig, rule: DecisionRule, rounds: int) -> None:
        self._faults = [_fault(name, config, rule) for name in fault_names(config.fault)]
        self._count, self._agents, self._rounds = config.faulty, rule.agents, rounds

    def draw(self, state: LaneState, mask: BoolArray) -> None:
        """Draw the faulty sensors of the episodes that the masked lanes have just begun.

        Args:
            state: Changed in place.
            mask: Lanes that were reset.  # (lanes,) bool
        """
        chosen = draw_faulty(self._words(state, np.zeros(len(mask), np.int64)), self._count)
        kinds = random_words(state.seeds, state.episodes - np.uint64(1), _KIND_DRAW)
        numbers = (kinds % np.uint64(len(self._faults))).astype(np.int8)
        # Fresh arrays, since records of past steps share the old ones.
        state.faulty = np.where(mask[:, None], chosen, state.faulty)
        state.kinds = np.where(mask, numbers, state.kinds)

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
        steps = state.positions - state.starts
        words = self._words(state, 1 + steps * self._rounds + (self._rounds - 1) * state.voting)
        if len(self._faults) == 1:
            return self._faults[0](actions, state.faulty, labels, steps, words, decide)
        agreed = actions.copy()
        for number, fault in enumerate(self._faults):
            here = np.flatnonzero(state.kinds == number)
            scene = (actions[here], state.faulty[here], labels[here], steps[here], words[here])
            agreed[here] = fault(*scene, None if decide is None else partial(decide, lanes=here))
        return agreed

    def _words(self, state: LaneState, blocks: IntArray) -> WordArray:
        """One word for every sensor; block 0 chooses the faulty, later ones are for the steps."""
        draws = _FIRST_DRAW + blocks[:, None] * self._agents + np.arange(self._agents)
        episodes = state.episodes - np.uint64(1)
        return random_words(state.seeds[:, None], episodes[:, None], draws.astype(np.uint64))


def _fault(name: str, config: FaultConfig, rule: DecisionRule) -> Fault:
    options = {"start": config.sleeper_start} if name == "sleeper" else {}
    return make_fault(name, rule, **options)

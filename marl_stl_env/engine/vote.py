"""From the sensors' actions to the team's decision: faults, the vote, its weights, the shield."""

from __future__ import annotations

import numpy as np

from marl_stl_env.arrays import Arrays, shift_right
from marl_stl_env.config import EnvConfig
from marl_stl_env.consensus.reliability import VOTE_KINDS, ReliabilityRule, tally
from marl_stl_env.consensus.rules import DecisionRule
from marl_stl_env.engine.faults import FaultySensors
from marl_stl_env.engine.state import LaneState
from marl_stl_env.engine.streams import random_bits
from marl_stl_env.errors import StateError
from marl_stl_env.stl.shield import carried_out
from marl_stl_env.types import AnyArray, BoolArray, Int8Array, IntArray

# Far above all draws of starts and faulty sensors.
_FIRST_DRAW = 2**62
_NAME = "reliability_votes"
_EVERY = slice(None)


class ReliabilityVotes:
    """The reliability-weighted votes of the running episodes, and their decisions.

    Which events have label feedback comes from the lanes' own streams and depends on nothing that
    happens; the label becomes known after the vote on its event.

    Args:
        rule: The equal vote of the team.
        threshold: P(threat) from which stopping an event pays.
        share: Share of the events that have label feedback.
        lanes: Number of lanes.
        arrays: The array library and device.
    """

    def __init__(
        self, rule: DecisionRule, threshold: float, share: float, lanes: int, arrays: Arrays
    ) -> None:
        self._rule, self._share = ReliabilityRule(rule, threshold, arrays), share
        self._arrays = arrays
        counts = np.zeros((lanes, rule.agents, 2, VOTE_KINDS), np.int64)
        self._counts: IntArray = arrays.asarray(counts)

    def decide(self, actions: Int8Array, lanes: IntArray | slice = slice(None)) -> Int8Array:
        """The decisions of these lanes.

        Args:
            actions: Agreed actions, -1 for silence.  # (lanes, agents) int8
            lanes: Whose actions they are; all lanes' without.

        Returns:
            The decisions.  # (lanes,) int8
        """
        return self._rule(actions, self._counts[lanes])

    def learn(
        self,
        state: LaneState,
        actions: Int8Array,
        labels: BoolArray,
        voted: BoolArray,
        known: BoolArray | None = None,
    ) -> None:
        """Learn the labels of some of the events that were just voted on.

        Args:
            state: Where every lane stands.
            actions: Agreed actions.  # (lanes, agents) int8
            labels: True labels.  # (lanes,) bool
            voted: Lanes that did vote.  # (lanes,) bool
            known: Events that have label feedback; None draws a random share.  # (lanes,) bool
        """
        arrays = self._arrays
        if known is None:
            draws = _FIRST_DRAW + state.positions - state.starts
            seeds, episodes = arrays.bits(state.seeds), arrays.bits(state.episodes)
            upper = shift_right(random_bits(seeds, episodes - 1, draws), 11)
            known = arrays.cast(upper, np.float64) * 2.0**-53 < self._share
        known = voted & known
        here = arrays.lanes_of(known)
        votes = tally(actions[here], labels[here], arrays)
        self._counts[here] += votes & known[here][:, None, None, None]

    def forget(self, mask: BoolArray) -> None:
        """Begin anew in the masked lanes: who is faulty is drawn for each episode."""
        self._arrays.fill(self._counts, mask, 0)

    def to_arrays(self) -> dict[str, AnyArray]:
        """A copy of the counts, by name."""
        return {_NAME: self._arrays.tonumpy(self._counts, np.int64)}

    def taken_from(self, arrays: dict[str, AnyArray]) -> dict[str, AnyArray]:
        """Go back to the counts of :meth:`to_arrays`.

        Returns:
            The other arrays.

        Raises:
            StateError: If the counts are missing or those of other lanes or sensors.
        """
        others, counts = dict(arrays), np.asarray(arrays.get(_NAME))
        shape = tuple(self._counts.shape)
        if counts.shape != shape or counts.dtype != np.int64 or counts.min() < 0:
            raise StateError(
                f"{_NAME} must be {shape} int64, none negative, not {counts.shape} "
                f"{counts.dtype}; the state belongs to an engine with another team or vote"
            )
        del others[_NAME]
        self._counts = self._arrays.asarray(counts.copy())
        return others


class TeamVote:
    """How the teams of all lanes come to their decisions.

    Args:
        config: The environment.
        lanes: Independent copies of the stream.
        arrays: The array library and device.

    Attributes:
        rule: The vote in which all sensors count alike.

    Raises:
        UnknownNameError: If there is no such fault.
    """

    def __init__(self, config: EnvConfig, lanes: int, arrays: Arrays) -> None:
        consensus, agents = config.consensus, config.agents
        self.rule = DecisionRule(
            agents, consensus.faulty_for(agents), consensus.threshold_for(agents), consensus.rule
        )
        self._equal, self._shield = self.rule.on(arrays), config.stl.shield
        self._nothing = arrays.asarray(np.zeros(lanes, np.bool_))
        self._arrays = arrays
        self._weighted: ReliabilityVotes | None = None
        if consensus.weights == "reliability":
            threshold, share = config.reward.threshold, consensus.feedback_share
            self._weighted = ReliabilityVotes(self.rule, threshold, share, lanes, arrays)
        self._faults: FaultySensors | None = None
        if config.faults.faulty:
            rounds = 1 + config.deliberation
            self._faults = FaultySensors(config.faults, self.rule, rounds, arrays)

    def begin(self, state: LaneState, mask: BoolArray) -> None:
        """Draw the faulty sensors of new episodes, and forget the feedback of the old ones.

        Args:
            state: Changed in place.
            mask: Lanes that were reset.  # (lanes,) bool
        """
        if self._faults is not None:
            self._faults.draw(state, mask)
        if self._weighted is not None:
            self._weighted.forget(mask)

    def __call__(
        self, actions: Int8Array, labels: BoolArray, state: LaneState, mask: BoolArray
    ) -> tuple[Int8Array, Int8Array, BoolArray]:
        """Vote on the current events.

        Args:
            actions: What every sensor would do if it were honest.  # (lanes, agents) int8
            labels: True labels.  # (lanes,) bool
            state: Where every lane stands.
            mask: The actions that the shield allows.  # (lanes, 4) bool

        Returns:
            The agreed actions, -1 for silence (lanes, agents) int8, the decisions (lanes,) int8,
            and whether the shield replaced what was voted (lanes,) bool.
        """
        agreed = actions
        if self._faults is not None:

            def decide(agreed: Int8Array, lanes: IntArray | slice = _EVERY) -> Int8Array:
                return self._shielded(self._voted(agreed, lanes), mask[lanes])

            agreed = self._faults.agreed(actions, labels, state, decide)
        voted = self._voted(agreed, _EVERY)
        decisions = self._shielded(voted, mask)
        return agreed, decisions, decisions != voted if self._shield else self._nothing

    def learn(
        self,
        state: LaneState,
        agreed: Int8Array,
        labels: BoolArray,
        voted: BoolArray,
        known: BoolArray | None = None,
    ) -> None:
        """Learn labels where they weigh votes; see :meth:`ReliabilityVotes.learn`."""
        if self._weighted is not None:
            self._weighted.learn(state, agreed, labels, voted, known)

    def to_arrays(self) -> dict[str, AnyArray]:
        """Copies of all that is remembered, by name."""
        return {} if self._weighted is None else self._weighted.to_arrays()

    def taken_from(self, arrays: dict[str, AnyArray]) -> dict[str, AnyArray]:
        """Go back to the arrays of :meth:`to_arrays`.

        Returns:
            The other arrays.

        Raises:
            StateError: If the arrays are missing or those of other lanes or sensors.
        """
        return arrays if self._weighted is None else self._weighted.taken_from(arrays)

    def _voted(self, agreed: Int8Array, lanes: IntArray | slice) -> Int8Array:
        if self._weighted is not None:
            return self._weighted.decide(agreed, lanes)
        decisions: Int8Array = self._equal(agreed)
        return decisions

    def _shielded(self, voted: Int8Array, mask: BoolArray) -> Int8Array:
        return carried_out(voted, mask, self._arrays) if self._shield else voted

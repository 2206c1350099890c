"""LabelFeedback of every lane: whose label the team learns, and what its votes weigh for it."""

from __future__ import annotations

import numpy as np

from marl_stl_env.config import EnvConfig
from marl_stl_env.consensus.reliability import SAID, ReliabilityRule, tally
from marl_stl_env.consensus.rules import DecisionRule
from marl_stl_env.engine.state import LaneState
from marl_stl_env.engine.streams import random_words
from marl_stl_env.errors import StateError
from marl_stl_env.types import AnyArray, BoolArray, Int8Array, IntArray

# Far above all draws of starts and faulty sensors.
_FIRST_DRAW = 2**62
_NAME = "reliability_votes"


class ReliabilityVotes:
    """The reliability-weighted votes of the running episodes, and the decisions they lead to.

    Which events have label feedback comes from the lanes' own streams and depends on nothing that
    happens; the label becomes known after the vote on its event.

    Args:
        rule: The equal vote of the team.
        threshold: P(threat) from which stopping an event pays.
        share: Share of the events that have label feedback.
        lanes: Number of lanes.
    """

    def __init__(self, rule: DecisionRule, threshold: float, share: float, lanes: int) -> None:
        self._rule, self._share = ReliabilityRule(rule, threshold), share
        self._counts: IntArray = np.zeros((lanes, rule.agents, 2, SAID), np.int64)

    def decide(self, actions: Int8Array, lanes: IntArray | slice = slice(None)) -> Int8Array:
        """The decisions of these lanes.

        Args:
            actions: Agreed actions, -1 for silence.  # (lanes, agents) int8
            lanes: Whose actions they are; all lanes' without.

        Returns:
            The decisions.  # (lanes,) int8
        """
        return self._rule(actions, self._counts[lanes])

    def audit(
        self, state: LaneState, actions: Int8Array, labels: BoolArray, voted: BoolArray
    ) -> None:
        """Learn the labels of a random share of the events that were just voted on.

        Args:
            state: Where every lane stands.
            actions: Agreed actions.  # (lanes, agents) int8
            labels: True labels.  # (lanes,) bool
            voted: Lanes that did vote.  # (lanes,) bool
        """
        draws = (_FIRST_DRAW + state.positions - state.starts).astype(np.uint64)
        words = random_words(state.seeds, state.episodes - np.uint64(1), draws)
        known = voted & ((words >> np.uint64(11)) * 2.0**-53 < self._share)
        self._counts[known] += tally(actions[known], labels[known])

    def forget(self, mask: BoolArray) -> None:
        """Begin anew in the masked lanes: who is faulty is drawn for each episode."""
        self._counts[mask] = 0

    def to_arrays(self) -> dict[str, AnyArray]:
        """A copy of the counts, by name."""
        return {_NAME: self._counts.copy()}

    def taken_from(self, arrays: dict[str, AnyArray]) -> dict[str, AnyArray]:
        """Go back to the counts of :meth:`to_arrays`.

        Returns:
            The other arrays.

        Raises:
            StateError: If the counts are missing or those of other lanes or sensors.
        """
        others, counts = dict(arrays), np.asarray(arrays.get(_NAME))
        if counts.shape != self._counts.shape or counts.dtype != np.int64 or counts.min() < 0:
            raise StateError(
                f"{_NAME} must be {self._counts.shape} int64, none negative, not {counts.shape} "
                f"{counts.dtype}; the state belongs to an engine with another team or vote"
            )
        del others[_NAME]
        self._counts = counts.copy()
        return others


def reliability_votes(config: EnvConfig, rule: DecisionRule, lanes: int) -> ReliabilityVotes | None:
    """What the votes of this environment weigh, or None where they all count alike."""
    consensus = config.consensus
    if consensus.weights == "equal":
        return None
    return ReliabilityVotes(rule, config.reward.threshold, consensus.feedback_share, lanes)

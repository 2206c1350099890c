"""Where every lane stands, and what its last step brought."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from marl_stl_env.consensus.faults import FAULTS
from marl_stl_env.consensus.rules import SILENT
from marl_stl_env.engine.streams import WordArray
from marl_stl_env.errors import StateError
from marl_stl_env.types import (
    ACTIONS,
    Action,
    AnyArray,
    BoolArray,
    Float32Array,
    Int8Array,
    IntArray,
)

# Plain integers: numpy takes ten times as long to compare with members of an enumeration.
_BLOCK, _QUARANTINE = int(Action.BLOCK), int(Action.QUARANTINE)


@dataclass
class LaneState:
    """All that an engine remembers: enough to continue bit-identically.

    Attributes:
        seeds: Seed of each lane's random stream.  # (lanes,) uint64
        episodes: Episodes begun since that seed was set.  # (lanes,) uint64
        positions: Place of the current event in the replay order.  # (lanes,) int64
        ends: Place after the last event of the episode.  # (lanes,) int64
        starts: Place of the first event of the episode.  # (lanes,) int64
        voting: Whether the round is the vote, as it always is without deliberation.
            # (lanes,) bool
        proposals: What the sensors proposed on the current event, as agreed on; -1 for silence
            and before the vote.  # (lanes, agents) int8
        faulty: Which sensors are faulty in this episode.  # (lanes, agents) bool
        kinds: Number of the fault they have.  # (lanes,) int8
    """

    seeds: WordArray
    episodes: WordArray
    positions: IntArray
    ends: IntArray
    starts: IntArray
    voting: BoolArray
    proposals: Int8Array
    faulty: BoolArray
    kinds: Int8Array

    @classmethod
    def empty(cls, lanes: int, agents: int) -> LaneState:
        """The state before the first reset: every episode is over."""
        return cls(
            seeds=np.zeros(lanes, dtype=np.uint64),
            episodes=np.zeros(lanes, dtype=np.uint64),
            positions=np.zeros(lanes, dtype=np.int64),
            ends=np.zeros(lanes, dtype=np.int64),
            starts=np.zeros(lanes, dtype=np.int64),
            voting=np.ones(lanes, dtype=np.bool_),
            proposals=np.full((lanes, agents), SILENT, dtype=np.int8),
            faulty=np.zeros((lanes, agents), dtype=np.bool_),
            kinds=np.zeros(lanes, dtype=np.int8),
        )

    @property
    def places(self) -> IntArray:
        """Where in the replay the current event stands: the position, unless events wait."""
        return self.positions

    def map(self, convert: Callable[[AnyArray], Any]) -> LaneState:
        """The state with every field converted."""
        return LaneState(**{item.name: convert(getattr(self, item.name)) for item in fields(self)})

    def to_arrays(self) -> dict[str, AnyArray]:
        """Copies of all fields, by name."""
        return {item.name: getattr(self, item.name).copy() for item in fields(self)}

    @classmethod
    def from_arrays(
        cls, arrays: dict[str, AnyArray], lanes: int, agents: int, rows: int
    ) -> LaneState:
        """The state that :meth:`to_arrays` gave.

        Raises:
            StateError: If a field is missing, unknown or of the wrong shape or type, or if it
                points outside the table.
        """
        template = cls.empty(lanes, agents)
        names = [item.name for item in fields(cls)]
        if sorted(arrays) != sorted(names):
            raise StateError(f"a state has the arrays {sorted(names)}, not {sorted(arrays)}")
        for name in names:
            given, wanted = np.asarray(arrays[name]), getattr(template, name)
            if given.shape != wanted.shape or given.dtype != wanted.dtype:
                raise StateError(
                    f"{name} must be {wanted.shape} {wanted.dtype}, not {given.shape} "
                    f"{given.dtype}; the state belongs to an engine with other lanes or sensors"
                )
        state = cls(**{name: np.array(arrays[name]) for name in names})
        places = np.stack([np.zeros(lanes, np.int64), state.starts, state.positions, state.ends])
        if (np.diff(places, axis=0) < 0).any() or state.ends.max() > rows:
            raise StateError(f"0 <= starts <= positions <= ends <= {rows} must hold in every lane")
        if not 0 <= state.kinds.min() <= state.kinds.max() < len(FAULTS):
            raise StateError(f"kinds must lie in 0..{len(FAULTS) - 1}")
        if not SILENT <= state.proposals.min() <= state.proposals.max() < ACTIONS:
            raise StateError(f"proposals must lie in {SILENT}..{ACTIONS - 1}")
        return state


class SpecStatus(NamedTuple):
    """How the specifications stand after a step.

    Attributes:
        robustness: The least robustness of the episode so far, +inf before the first instant that
            counts.  # (lanes, specifications) float32
        violated: Whether each specification is violated.  # (lanes, specifications) bool
        newly_violated: Whether this step broke it.  # (lanes, specifications) bool
    """

    robustness: Float32Array
    violated: BoolArray
    newly_violated: BoolArray

    def __repr__(self) -> str:
        """Counts over the lanes, in one line."""
        lanes, specs = self.violated.shape
        counts = f"{int(self.violated.sum())} violated, {int(self.newly_violated.sum())} newly"
        return f"SpecStatus({lanes} lanes, {specs} specifications: {counts})"

    @classmethod
    def nothing(cls, lanes: int, asarray: Callable[[AnyArray], Any]) -> SpecStatus:
        """Where nothing is watched: no columns, in arrays of the library that ``asarray`` is of."""
        no = asarray(np.zeros((lanes, 0), np.bool_))
        return cls(asarray(np.zeros((lanes, 0), np.float32)), no, no)


class StepRecord(NamedTuple):
    """What one step did in every lane.

    Attributes:
        rows: Table row of the event that was evaluated.  # (lanes,) int64
        labels: Whether it was a threat.  # (lanes,) bool
        actions: What the sensors said, as agreed on: faulty sensors' claims included, -1 for
            silence.  # (lanes, agents) int8
        decisions: What the team decided (in a proposal round: what it would decide).
            # (lanes,) int8
        rewards: Reward of each sensor, 0 for faulty ones.
            # (lanes, agents) float32
        decision_rewards: Payoff of the decision, 0 for proposals.  # (lanes,) float32
        truncated: Whether the lane's episode is over.  # (lanes,) bool
        live: Whether the lane's episode was running before the step; where it was not, nothing
            else in the record means anything.  # (lanes,) bool
        voting: Whether the step was the vote and not a proposal round.  # (lanes,) bool
        faulty: Which sensors were faulty.  # (lanes, agents) bool
        isolated: Whether the event was contained because its entity was isolated; the decision is
            then Quarantine, whatever the vote.  # (lanes,) bool
        granted: Whether an alert got the analyst to look.  # (lanes,) bool
        refused: Whether an alert came above the analyst's budget.  # (lanes,) bool
        robustness: The least robustness of each specification in the episode so far, +inf before
            the first instant that counts; no columns where nothing is watched. # (lanes,
            specifications) float32
        violated: Whether each specification is violated.  # (lanes, specifications) bool
        newly_violated: Whether this step broke it.  # (lanes, specifications) bool
        action_mask: The actions that the shield allowed; all without a shield.  # (lanes, 4) bool
        shielded: Whether the shield replaced the decision of the vote.  # (lanes,) bool
    """

    rows: IntArray
    labels: BoolArray
    actions: Int8Array
    decisions: Int8Array
    rewards: Float32Array
    decision_rewards: Float32Array
    truncated: BoolArray
    live: BoolArray
    voting: BoolArray
    faulty: BoolArray
    isolated: BoolArray
    granted: BoolArray
    refused: BoolArray
    robustness: Float32Array
    violated: BoolArray
    newly_violated: BoolArray
    action_mask: BoolArray
    shielded: BoolArray

    def __repr__(self) -> str:
        """Counts over the lanes, in one line."""
        (lanes, agents), reward = self.actions.shape, float(self.decision_rewards.mean())
        return (
            f"StepRecord({lanes} lanes, {agents} sensors: {int(self.labels.sum())} threats, "
            f"{int(self.decision_votes.sum())} stopped, mean reward {reward:+.3f}, "
            f"{int(self.newly_violated.sum())} new violations, {int(self.truncated.sum())} "
            "episodes over)"
        )

    @property
    def spec_status(self) -> SpecStatus:
        """How the specifications stand."""
        return SpecStatus(self.robustness, self.violated, self.newly_violated)

    @property
    def votes(self) -> BoolArray:
        """Whether each sensor voted "threat"; silence did not.  # (lanes, agents) bool."""
        return is_threat_vote(self.actions)

    @property
    def decision_votes(self) -> BoolArray:
        """Whether the team decided "threat".  # (lanes,) bool."""
        return is_threat_vote(self.decisions)


def is_threat_vote(actions: Int8Array) -> BoolArray:
    """Whether actions are votes for "threat"; works on any library's arrays.  # bool."""
    votes: BoolArray = (actions == _BLOCK) | (actions == _QUARANTINE)
    return votes

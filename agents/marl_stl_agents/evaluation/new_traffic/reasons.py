"""Why a team decided as it did: its sensors' votes, and the columns that moved them most.

A column is hidden from a sensor by writing 0 into its observation, as it stands there for columns
that the sensor does not see: the training mean of a number, and no category at all. The effect of
a column on a vote is the log-odds of a threat vote less the log-odds with the column hidden
(occlusion: Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks",
section 2.1). All output columns of a category are hidden together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from marl_stl_agents.evaluation.new_traffic.rows import by_row
from marl_stl_agents.evaluation.rollouts import LogOdds
from marl_stl_env.types import (
    THREAT_VOTE,
    BoolArray,
    Float32Array,
    Float64Array,
    Int8Array,
    IntArray,
)

#: An effect on the log-odds below this is none: it changes the odds by less than 1 %.
LEAST_EFFECT = 0.01
_BATCH = 8192


class ColumnEffects:
    """The columns that moved the sensors most towards "threat", event by event.

    Looked at are the sensors that voted "threat"; where none did and a threshold makes the event
    a threat all the same, all sensors. The effect of a column is its mean over these sensors.
    Other events have no columns.

    Args:
        rows: Events.
        outputs: How many columns of an observation each column has, in their order.
        log_odds: The policy.
        most: Columns of an event.
        threshold: The threat score that makes an event a threat; None where the vote decides.

    Attributes:
        columns: The columns of each event, the largest effect first; -1 fills up.
            # (rows, most) int64
    """

    def __init__(
        self,
        rows: int,
        outputs: Sequence[int],
        log_odds: LogOdds,
        most: int,
        threshold: float | None = None,
    ) -> None:
        self._log_odds, self._threshold = log_odds, threshold
        owner = np.repeat(np.arange(len(outputs)), outputs)
        # Which features each column has.  # (columns, features) bool
        self._has: BoolArray = owner == np.arange(len(outputs))[:, None]
        self.columns: IntArray = np.full((rows, min(most, len(outputs))), -1, np.int64)

    def __call__(
        self,
        rows: IntArray,
        observations: Float32Array,
        actions: Int8Array,
        scores: Float64Array,
    ) -> None:
        """Look at the events of one step; the arguments are those of a rollout's ``watch``."""
        moved = THREAT_VOTE[actions]
        if self._threshold is not None:
            moved = moved | (~moved.any(axis=1) & (scores >= self._threshold))[:, None]
        events, sensors = np.nonzero(moved)
        if not len(events) or not self.columns.shape[1]:
            return
        effects = np.zeros((len(rows), len(self._has)))
        np.add.at(effects, events, self.of(observations[events, sensors]))
        effects /= np.maximum(moved.sum(axis=1), 1)[:, None]
        order = np.argsort(-effects, axis=1, kind="stable")[:, : self.columns.shape[1]]
        large = np.take_along_axis(effects, order, axis=1) >= LEAST_EFFECT
        self.columns[rows] = np.where(large, order, -1)

    def of(self, observations: Float32Array) -> Float64Array:
        """The effect of every column on single votes.

        Args:
            observations: What the sensors saw.  # (votes, width) float32

        Returns:
            Effects on the log-odds of a threat vote.  # (votes, columns) float64
        """
        features = self._has.shape[1]
        shown = (observations[:, :features] != 0).astype(np.float32) @ self._has.T.astype(
            np.float32
        )
        votes, columns = np.nonzero(shown)  # a hidden column has no effect
        effects = np.zeros(shown.shape)
        whole, found = observations, list[Float64Array]()
        for start in range(0, max(len(votes), 1), _BATCH):
            vote, column = votes[start : start + _BATCH], columns[start : start + _BATCH]
            hidden = observations[vote]
            hidden[:, :features][self._has[column]] = 0.0
            # One call for a single event: it costs the same for one row as for fifty.
            found.append(self._log_odds(np.concatenate([whole, hidden])))
            whole = observations[:0]
        odds = np.concatenate(found)
        effects[votes, columns] = odds[: len(observations)][votes] - odds[len(observations) :]
        return effects


def reason_texts(
    votes: BoolArray,
    columns: IntArray,
    names: Sequence[str],
    reached: BoolArray | None = None,
    threshold: float | None = None,
    remarks: Mapping[str, BoolArray] | None = None,
) -> list[str]:
    """The reasons in words.

    Such as "2 of 4 for a threat: sensor_0, sensor_3; by bytes, service". With a threshold it says
    whether the threat score reaches it.

    Args:
        votes: Whether each sensor voted "threat".  # (rows, agents) bool
        columns: As :attr:`ColumnEffects.columns`.  # (rows, most) int64
        names: Names of the columns.
        reached: Whether the threat score reaches the threshold.  # (rows,) bool
        threshold: The threshold; None where the vote decided.
        remarks: Further words, and the events that they are for.  # each (rows,) bool
    """
    texts = by_row(votes, _votes)
    if threshold is not None and reached is not None:
        words = (
            f"; threat score below the threshold {threshold:g}",
            f"; threat score at or above the threshold {threshold:g}",
        )
        texts = [text + words[at] for text, at in zip(texts, reached.tolist(), strict=True)]
    for remark, events in (remarks or {}).items():
        for row in np.flatnonzero(events).tolist():
            texts[row] += f"; {remark}"
    for row in np.flatnonzero((columns >= 0).any(axis=1)).tolist():
        by = ", ".join(names[column] for column in columns[row].tolist() if column >= 0)
        texts[row] += f"; by {by}"
    return texts


def _votes(pattern: BoolArray) -> str:
    sensors = [f"sensor_{number}" for number in np.flatnonzero(pattern).tolist()]
    count = f"{len(sensors)} of {len(pattern)} for a threat"
    return f"{count}: {', '.join(sensors)}" if sensors else count

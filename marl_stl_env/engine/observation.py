"""Which columns each sensor sees, and how a batch of observations is laid out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from marl_stl_env.arrays import NUMPY, Arrays
from marl_stl_env.config import Deliberation, Views
from marl_stl_env.data.opinions.opinions import VIEW
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import ConfigError
from marl_stl_env.types import ACTIONS, Action, BoolArray, Float32Array, Int8Array, IntArray

#: Features are clipped to this many train standard deviations by the preprocessor.
FEATURE_LIMIT = 5.0
#: Numbers that numpy copies under a mask in the time that one more operation takes.
_WORTH_A_CALL = 500
#: Numbers of the lanes that numpy writes at once: what it writes block by block should stay in a
#: core's cache meanwhile.
_CACHED = 2**18


@dataclass(frozen=True)
class VisibleBlock:
    """A set of sensors and the columns that they all see.

    Attributes:
        sensors: The sensors.
        columns: The columns, as a range where they are neighbours and as indices elsewhere.
    """

    sensors: slice
    columns: slice | IntArray


def sensor_groups(
    names: Sequence[str], agents: int, views: Views, seen_by: int = 1, opinions: int = 0
) -> tuple[tuple[str, ...], ...]:
    """Assign the table's groups of columns to the sensors.

    With no more sensors than groups, sensor i sees every group j with ``j mod agents == i``
    (nothing stays unseen); with more, sensor i sees group ``i mod groups``. Where views overlap,
    ``seen_by`` copies of the first group go to the sensors in turn, then those of the next, and
    so on: nobody gets a group twice, or more than one group more than another. A single group goes
    to everybody. The last ``opinions`` sensors see second opinions and nothing else; the groups are
    shared among the others.

    Args:
        names: Names of the groups, in the table's order.
        agents: Number of sensors.
        views: "groups" assigns each group once where there are enough of them, "overlap"
            ``seen_by`` times, "full" gives every sensor all of them.
        seen_by: Sensors that see each group where views overlap, 1 to ``agents``.
        opinions: Sensors that see second opinions.

    Returns:
        The names of the groups that each sensor sees, sensor by sensor.

    Raises:
        ConfigError: If a sensor would see nothing.
    """
    if opinions:
        others = agents - opinions
        first = sensor_groups(names, others, views, seen_by) if others else ()
        return (*first, *[(VIEW,)] * opinions)
    groups = len(names)
    if views == "full" or groups == 1:
        return (tuple(names),) * agents
    if views == "overlap":
        if seen_by * groups < agents:
            raise ConfigError(
                f"views='overlap' with {seen_by} of {agents} sensors for each of {groups} groups "
                f"of columns leaves some without any; view_share must be {1 / groups:.2f} or more"
            )
        copies = [name for name in names for _ in range(seen_by)]
        return tuple(tuple(copies[i::agents]) for i in range(agents))
    if agents > groups:
        return tuple((names[i % groups],) for i in range(agents))
    return tuple(tuple(names[i::agents]) for i in range(agents))


def visible_blocks(
    table: TrafficTable, agents: int, views: Views, seen_by: int, opinions: int = 0
) -> tuple[VisibleBlock, ...]:
    """The assignment of :func:`sensor_groups` as blocks of sensors and columns, few per group."""
    names = tuple(name for name in table.views if name != VIEW)
    assigned = sensor_groups(names, agents, views, seen_by, opinions)
    return tuple(
        VisibleBlock(sensors, _as_slice(columns))
        for name, columns in table.views.items()
        for sensors in _as_slices([i for i, groups in enumerate(assigned) if name in groups])
    )


def visible_features(table: TrafficTable, agents: int, views: Views, seen_by: int) -> BoolArray:
    """Which features of a table each sensor sees.  # (agents, features) bool."""
    return _mask(visible_blocks(table, agents, views, seen_by), agents, table.features.shape[1])


class ObservationModel:
    """Writes the observations of all sensors of all lanes.

    An observation is the event's features, 0 where the sensor does not see them, followed by a
    one-hot indicator of the sensor. With deliberation there follow a flag, 1 in the vote and 0 in
    the proposal round, and a one-hot code of what each sensor proposed, all 0 for silence and
    before the vote. Last come the shared columns, which are the same for all sensors.

    Args:
        table: The scaled table.
        agents: Number of sensors.
        views: "groups", "overlap" or "full".
        deliberation: 1 where every event has a proposal round.
        arrays: The library of the arrays.
        shared: The shared columns, each with its smallest value; the largest is 1.
        seen_by: Sensors that see each group of columns where views overlap.
        opinions: Sensors, the last ones, that see second opinions alone.

    Attributes:
        layout: Name of each column of an observation.
        low: Smallest value of each column.  # (width,) float32
        high: Largest value of each column.  # (width,) float32
    """

    def __init__(
        self,
        table: TrafficTable,
        agents: int,
        views: Views,
        deliberation: Deliberation = 0,
        arrays: Arrays = NUMPY,
        shared: Mapping[str, float] | None = None,
        seen_by: int = 1,
        opinions: int = 0,
    ) -> None:
        self._features = arrays.table(table.features)
        self._agents, self._arrays = agents, arrays
        self._actions = arrays.asarray(np.arange(ACTIONS))
        self._blocks = visible_blocks(table, agents, views, seen_by, opinions)
        self._writes = [(b.sensors, _index(b.columns, arrays)) for b in self._blocks]
        # For a few lanes one masked copy is faster than a write for each block.
        self._mask = _mask(self._blocks, agents, table.features.shape[1])
        most = _WORTH_A_CALL * len(self._writes) if arrays is NUMPY else 0
        self._few_lanes = most // max(self._mask.size, 1)
        self._at_once = max(_CACHED // max(self._mask.size, 1), 1) if arrays is NUMPY else None
        sensors = [f"sensor_{i}" for i in range(agents)]
        context = list(sensors)
        if deliberation:
            context += ["voting", *(f"{one}_{a.name.lower()}" for one in sensors for a in Action)]
        lowest = {**dict.fromkeys(context, 0.0), **(shared or {})}
        self.layout = (*table.feature_names, *lowest)
        self._first_shared = len(table.feature_names) + len(context)
        limits = np.full(len(table.feature_names), FEATURE_LIMIT, np.float32)
        self.low: Float32Array = np.append(-limits, np.array([*lowest.values()], np.float32))
        self.high: Float32Array = np.append(limits, np.ones(len(lowest), np.float32))

    def follow(self, features: Float32Array) -> None:
        """Go on with other events of the same columns.  # (rows, features) float32."""
        self._features = self._arrays.table(features)

    @property
    def width(self) -> int:
        """Columns of one observation."""
        return len(self.layout)

    def visible(self) -> BoolArray:
        """Which features each sensor sees.

        Returns:
            Mask.  # (agents, features) bool
        """
        return self._mask.copy()

    def observe(
        self,
        rows: IntArray,
        out: Float32Array | None = None,
        shared: Sequence[Float32Array] = (),
    ) -> Float32Array:
        """The observations of these events before any proposal.

        Args:
            rows: The current event of each lane.  # (lanes,) int64
            out: What an earlier call returned, to be written over; None makes a fresh array.
                # (lanes, agents, width) float32
            shared: Values of the shared columns, from left to right; without them these stay as
                they are.  # (lanes, columns) float32 each

        Returns:
            Observations.  # (lanes, agents, width) float32
        """
        lanes, at_once = len(rows), self._at_once
        if out is None:
            out = self._blank(lanes)
        values = self._arrays.beside(shared) if len(shared) > 1 else next(iter(shared), None)
        if at_once is None or lanes <= at_once:
            self._write(rows, out, values)
            return out
        for first in range(0, lanes, at_once):
            part = slice(first, first + at_once)
            self._write(rows[part], out[part], None if values is None else values[part])
        return out

    def _write(self, rows: IntArray, out: Float32Array, shared: Float32Array | None) -> None:
        """Write what every sensor sees of these events, and the shared columns."""
        if shared is not None:
            first = self._first_shared
            out[:, :, first : first + shared.shape[1]] = shared[:, None, :]
        seen = self._arrays.take(self._features, rows)
        if len(rows) <= self._few_lanes:
            np.copyto(out[:, :, : seen.shape[1]], seen[:, None, :], where=self._mask)
            return
        for sensors, columns in self._writes:
            out[:, sensors, columns] = seen[:, None, columns]

    def _blank(self, lanes: int) -> Float32Array:
        """What is the same in every observation: zeros and the sensors' indicators."""
        blank: Float32Array = self._arrays.zeros(lanes, self._agents, self.width)
        # Sensor i's indicator stands at i * width + features + i of the flat row.
        blank.reshape(lanes, -1)[:, self._features.shape[1] :: self.width + 1] = 1.0
        return blank

    def show_proposals(
        self, observations: Float32Array, proposals: Int8Array, voting: BoolArray
    ) -> None:
        """Write the context of deliberation into observations.

        Args:
            observations: Changed in place.  # (lanes, agents, width) float32
            proposals: What was proposed, -1 for silence.  # (lanes, agents) int8
            voting: Whether the round is the vote.  # (lanes,) bool
        """
        flag = self._features.shape[1] + self._agents
        observations[:, :, flag] = voting[:, None]
        codes = proposals[:, :, None] == self._actions
        observations[:, :, flag + 1 : self._first_shared] = codes.reshape(len(codes), 1, -1)

    @property
    def shared(self) -> IntArray:
        """The columns of a global state: the features and the shared columns."""
        features = np.arange(self._features.shape[1])
        return np.append(features, np.arange(self._first_shared, self.width))

    def state(self, rows: IntArray) -> Float32Array:
        """The unmasked features of these events.

        Args:
            rows: The current event of each lane.  # (lanes,) int64

        Returns:
            Global states.  # (lanes, features) float32
        """
        features: Float32Array = self._arrays.take(self._features, rows)
        return features


def _mask(blocks: Sequence[VisibleBlock], agents: int, features: int) -> BoolArray:
    mask = np.zeros((agents, features), dtype=np.bool_)
    for block in blocks:
        mask[block.sensors, block.columns] = True
    return mask


def _index(columns: slice | IntArray, arrays: Arrays) -> Any:
    return columns if isinstance(columns, slice) else arrays.asarray(columns)


def _as_slices(sensors: list[int]) -> list[slice]:
    """Ascending numbers as ranges, each with the step of its first two."""
    slices = []
    while sensors:
        step = sensors[1] - sensors[0] if len(sensors) > 1 else 1
        length = 1
        while length < len(sensors) and sensors[length] == sensors[length - 1] + step:
            length += 1
        slices.append(slice(sensors[0], sensors[length - 1] + 1, step))
        sensors = sensors[length:]
    return slices


def _as_slice(columns: tuple[int, ...]) -> slice | IntArray:
    first, count = columns[0], len(columns)
    if columns == tuple(range(first, first + count)):
        return slice(first, first + count)
    return np.array(columns, dtype=np.int64)

"""The batched engine: the one implementation of the environment's dynamics."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from marl_stl_env.arrays import NUMPY, Arrays
from marl_stl_env.config import EnvConfig
from marl_stl_env.config.shown import environment_line
from marl_stl_env.consensus.rules import SILENT
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.dynamics import advance, begin_episodes, replay_order
from marl_stl_env.engine.lane_memory import LaneMemory
from marl_stl_env.engine.observation import ObservationModel
from marl_stl_env.engine.response import Outcome
from marl_stl_env.engine.reward import Payoffs
from marl_stl_env.engine.spec_signals import StepContext
from marl_stl_env.engine.state import LaneState, SpecStatus, StepRecord
from marl_stl_env.engine.streams import lane_seeds
from marl_stl_env.engine.vote import TeamVote
from marl_stl_env.errors import ResetNeededError
from marl_stl_env.plugins import load_plugins
from marl_stl_env.types import (
    ACTIONS,
    Action,
    AnyArray,
    BoolArray,
    Float32Array,
    Int8Array,
    IntArray,
    as_actions,
    unchanging,
)
from marl_stl_env.validation import check_range

_QUARANTINE = int(Action.QUARANTINE)


class Engine:
    """Replays a traffic table in many independent lanes at once.

    Lane i seeded with s behaves exactly like the only lane of an engine seeded with s, whatever
    the other lanes do.

    Args:
        config: The environment.
        table: The scaled table of one split.
        lanes: Independent copies of the stream, at least 1.
        seeds: One seed s (lane i gets s + i), or one per lane; None draws from the system.
        arrays: The array library and device.

    Attributes:
        last: The record of the last step, or None before the first.
        specifications: The watched specifications, or None where none are.

    Raises:
        ConfigError: If ``lanes`` or ``seeds`` are out of range.
        UnknownNameError: If there is no such fault or signal.
        TableError: If the dynamics need entities and the table names none.
        FormulaError: If a specification is not a formula that can be monitored.
    """

    def __init__(
        self,
        config: EnvConfig,
        table: TrafficTable,
        lanes: int,
        seeds: int | ArrayLike | None = None,
        arrays: Arrays = NUMPY,
    ) -> None:
        check_range("lanes", lanes, 1, 2**24)
        load_plugins(config.plugins)
        self.config, self.lanes = config, lanes
        self.agents, self._arrays = config.agents, arrays
        order = self._replayed_rows(table)
        self._memory = LaneMemory(config, table, order, lanes, arrays)
        self.spec_monitor = self._memory.monitor
        self._show(table, order)
        self._vote = TeamVote(config, lanes, arrays)
        self.rule = self._vote.rule
        self._all = arrays.asarray(np.ones(lanes, dtype=np.bool_))
        self._all_allowed = arrays.asarray(unchanging(np.ones((lanes, ACTIONS), np.bool_)))
        self._allowed: BoolArray | None = None
        self._unwatched = SpecStatus.nothing(lanes, arrays.asarray)
        self._state = LaneState.empty(lanes, config.agents).map(arrays.asarray)
        self.last: StepRecord | None = None
        self.seed(seeds)

    @classmethod
    def from_config(
        cls,
        config: EnvConfig,
        lanes: int,
        seeds: int | ArrayLike | None = None,
        table: TrafficTable | PreparedData | None = None,
    ) -> Engine:
        """An engine over the prepared split that the configuration names.

        Args:
            config: The environment.
            lanes: Independent copies of the stream.
            seeds: As for the constructor.
            table: Prepared data, or a raw table, in place of what ``config.data`` names.

        Raises:
            DataError: If the data cannot be read, split or scaled.
        """
        return cls(config, prepare(config, table).replayed(config.split), lanes, seeds)

    def __repr__(self) -> str:
        """Data, lanes, sensors, and what differs from the default."""
        name, kind = self.table.name, type(self).__name__
        return environment_line(kind, name, self.config, lanes=self.lanes)

    def seed(self, seeds: int | ArrayLike | None = None) -> None:
        """Give every lane a new random stream, used from its next reset on.

        Args:
            seeds: One seed s (lane i gets s + i), or one per lane; None draws from the system.

        Raises:
            ConfigError: If a seed is negative or there are not as many as lanes.
        """
        self._state.seeds = self._arrays.asarray(lane_seeds(seeds, self.lanes))
        self._state.episodes[:] = 0

    def reset(self, mask: BoolArray | None = None) -> None:
        """Begin the next episode in the masked lanes (in all without a mask).

        Args:
            mask: Lanes to reset.  # (lanes,) bool
        """
        if mask is None:
            mask = self._all
        length = self.config.episode_length
        begin_episodes(self._state, mask, self.replayable, length, self._arrays)
        self._vote.begin(self._state, mask)
        if self.config.deliberation:
            self._open_events(mask)
        self._memory.reset(mask)
        self._allowed = None

    def place(self, starts: IntArray, ends: IntArray) -> None:
        """Put every lane on a segment of the replay of the caller's choice.

        Evaluation uses this to see every event exactly once. Faulty sensors stay those of the last
        reset; before the first one there are none.

        Args:
            starts: Place of the first event.  # (lanes,) int64
            ends: Place after the last event; an empty segment makes an idle lane.  # (lanes,) int64

        Raises:
            StateError: If a segment lies outside the table.
        """
        bounds = {"starts": starts, "positions": starts, "ends": ends}
        self.set_state(self.get_state() | bounds)
        if self.config.deliberation:
            self._open_events(self._all)
        self._memory.place(int((ends - starts).max()))
        self._allowed = None

    @property
    def replayable(self) -> int:
        """Events that a lane can replay, one after the other."""
        return len(self._order) - 1

    def _replayed_rows(self, table: TrafficTable) -> IntArray:
        """The table row at each place of the replay, the last one twice.  # (events + 1,) int64."""
        return replay_order(len(table), self.config.order)

    def _show(self, table: TrafficTable, order: IntArray) -> None:
        """Let the lanes replay the rows of a table in this order.  # (rows + 1,) int64."""
        config, arrays = self.config, self._arrays
        self.observations = ObservationModel(
            table,
            config.agents,
            config.views,
            config.deliberation,
            arrays,
            self._memory.columns(),
            config.seen_by,
            config.second_opinions,
        )
        self._replay(table, order)

    def _replay(self, table: TrafficTable, order: IntArray) -> None:
        """Go on with these rows, of the columns that are observed.  # (rows + 1,) int64."""
        config, arrays = self.config, self._arrays
        self.table = table
        self._payoffs = Payoffs(config.reward, arrays, config.dynamics, table)
        self._order = arrays.asarray(order)
        self._labels = arrays.asarray(table.labels)

    def _revealed(
        self, rows: IntArray, labels: BoolArray, decisions: Int8Array
    ) -> tuple[BoolArray, BoolArray | None]:
        """The labels that take effect, and which an analyst can find out; None for all."""
        del rows, decisions
        return labels, None

    def step(self, actions: AnyArray) -> StepRecord:
        """Let every lane evaluate its current event and move on to the next.

        With deliberation the first of an event's two steps is a proposal: it decides and moves
        nothing, and what was agreed on is part of the next observation.

        Args:
            actions: Action of each sensor.  # (lanes, agents) integer

        Returns:
            What happened in every lane: decisions and labels (lanes,), rewards (lanes, agents),
            and more.

        Raises:
            InvalidActionError: If the actions have the wrong shape, type or values.
            ResetNeededError: If no lane has a running episode.
        """
        actions = self._checked(actions)
        state = self._state
        live = state.positions < state.ends
        self._check_running(live)
        voting, faulty = state.voting, state.faulty
        acting = live & voting if self.config.deliberation else live
        rows = self._current_rows()
        labels = self._arrays.take(self._labels, rows)
        mask = self.action_mask
        agreed, decisions, shielded = self._vote(actions, labels, state, mask)
        labels, known = self._revealed(rows, labels, decisions)
        events = self._payoffs.events(rows, labels)
        team = self._payoffs.of_actions(events, decisions)
        outcome = self._memory.step(state, labels, decisions, acting, known)
        if self._memory.response is not None:
            if not self._arrays.surely_none(outcome.isolated):
                decisions = self._arrays.where(outcome.isolated, _QUARANTINE, decisions)
            team = self._payoffs.of_response(events, team, outcome.isolated, outcome.refused)
        if self.config.deliberation:
            team = team * voting
        rewards = self._rewards(events, labels, actions, team, outcome)
        self._vote.learn(state, agreed, labels, acting, known)
        status = self._unwatched
        if self.spec_monitor is not None:
            steps = state.positions - state.starts
            context = StepContext(
                steps, labels, decisions, team, outcome, rows, agreed, faulty, self.table
            )
            status = self.spec_monitor.step(context, self._voters())
        advance(state, acting, self._arrays)
        self._allowed = None
        if self.config.deliberation:
            state.proposals = self._arrays.where(voting[:, None], SILENT, agreed)
            state.voting = ~voting
        self.last = StepRecord(
            rows=rows,
            labels=labels,
            actions=agreed,
            decisions=decisions,
            rewards=rewards,
            decision_rewards=team,
            truncated=state.positions >= state.ends,
            live=live,
            voting=voting,
            faulty=faulty,
            isolated=outcome.isolated,
            granted=outcome.granted,
            refused=outcome.refused,
            robustness=status.robustness,
            violated=status.violated,
            newly_violated=status.newly_violated,
            action_mask=mask,
            shielded=shielded,
        )
        return self.last

    def _rewards(
        self,
        events: AnyArray,
        labels: BoolArray,
        actions: Int8Array,
        team: Float32Array,
        outcome: Outcome,
    ) -> Float32Array:
        """The reward of every sensor, 0 for faulty ones.  # (lanes, agents) float32."""
        rewards = self._payoffs.of_sensors(events, actions, team, outcome.isolated)
        if self.config.deliberation:
            proposed = self._payoffs.of_proposals(labels, actions)
            rewards = self._arrays.where(self._state.voting[:, None], rewards, proposed)
        if self.config.faults.faulty:
            rewards *= ~self._state.faulty
        return rewards

    def observe(self, out: Float32Array | None = None) -> Float32Array:
        """What every sensor sees of its lane's current event.

        Args:
            out: Where to write it: an array that an earlier call returned and that is no longer
                needed.  # (lanes, agents, width) float32

        Returns:
            Observations, in a fresh array without ``out``.  # (lanes, agents, width) float32
        """
        observed = self.observations.observe(self._current_rows(), out, self._context())
        if self.config.deliberation:
            state = self._state
            self.observations.show_proposals(observed, state.proposals, state.voting)
        return observed

    def global_state(self) -> Float32Array:
        """The unmasked features of every lane's current event, and the shared columns.

        Returns:
            Global states, in a fresh array.  # (lanes, features + shared) float32
        """
        features = self.observations.state(self._current_rows())
        shared = self._context()
        return self._arrays.beside([features, *shared]) if shared else features

    @property
    def action_mask(self) -> BoolArray:
        """The actions that the shield allows on the current events; all without a shield.

        In a proposal round all are allowed, and Allow and Block always are.  # (lanes, 4) bool
        """
        allowed = self._allowed
        if allowed is None:
            shielded = self._memory.shield is not None
            allowed = self._memory.allowed(self._state) if shielded else self._all_allowed
            self._allowed = allowed
        return allowed

    def get_state(self) -> dict[str, AnyArray]:
        """All that is needed to continue bit-identically, as plain arrays, lanes first."""
        return self._state.to_arrays() | self._vote.to_arrays() | self._memory.get_state()

    def set_state(self, arrays: dict[str, AnyArray]) -> None:
        """Go back to a state that :meth:`get_state` gave.

        Raises:
            StateError: If the arrays do not fit this engine.
        """
        own = self._memory.set_state(self._vote.taken_from(arrays))
        self._state = LaneState.from_arrays(own, self.lanes, self.agents, self.replayable)
        self._allowed = None

    def _context(self) -> list[Float32Array]:
        """The values of the shared columns."""
        return self._memory.context(self._state, self.action_mask)

    @property
    def rows(self) -> IntArray:
        """Table row of every lane's current event.  # (lanes,) int64."""
        return self._current_rows()

    def _open_events(self, mask: BoolArray) -> None:
        """Begin the current event of the masked lanes with its proposal round."""
        state = self._state
        state.voting = state.voting & ~mask
        state.proposals = self._arrays.where(mask[:, None], SILENT, state.proposals)

    def _current_rows(self) -> IntArray:
        rows: IntArray = self._arrays.take(self._order, self._state.places)
        return rows

    def _voters(self) -> BoolArray | bool:
        """The lanes whose round is the vote: True for all, False for none."""
        if not self.config.deliberation:
            return True
        voting = self._state.voting
        return bool(voting.any()) if voting.all() or not voting.any() else voting

    def _check_running(self, live: BoolArray) -> None:
        if not np.count_nonzero(live):
            raise ResetNeededError("every episode is over; call reset() before the next step()")

    def _checked(self, actions: AnyArray) -> Int8Array:
        return as_actions(actions, (self.lanes, self.agents))

"""A team on a stream of events: decisions as data frames, call after call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from marl_stl_agents.evaluation.new_traffic.decision import Decision, as_decisions, verdict_of
from marl_stl_agents.evaluation.new_traffic.in_order import Decider
from marl_stl_agents.evaluation.new_traffic.reasons import ColumnEffects, reason_texts
from marl_stl_agents.evaluation.new_traffic.rows import EVENT, as_rows, blank_table, check_kept
from marl_stl_agents.evaluation.operating_point import decisions_at
from marl_stl_agents.evaluation.rollouts import LogOdds, Rollout
from marl_stl_env.config import EnvConfig
from marl_stl_env.data.ingest.incoming import Chunk, IncomingTraffic, Wanted
from marl_stl_env.data.ingest.one_event import EventReader
from marl_stl_env.data.preprocess import Preprocessor
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.spec_monitor import specifications
from marl_stl_env.errors import DecidingError, StateError
from marl_stl_env.types import AnyArray, BoolArray, Int8Array

if TYPE_CHECKING:
    import pandas as pd

#: What an analyst found out: a column by name, or values.
Verdicts: TypeAlias = "str | Sequence[Any] | AnyArray | pd.Series"
#: Opens new traffic.
Opening: TypeAlias = Callable[[Any, Wanted], IncomingTraffic]
_VERDICTS = "verdicts given beside the frame"
_EVENTS = "decided"


class TeamStream:
    """A team that decides on events as they come and remembers what it met.

    Several calls decide like one call on all events together. A new stream knows nothing of an
    earlier one; :meth:`get_state` lets one go on in another process.

    Args:
        env: The environment of the team.
        preprocessor: The scaling.
        decider: Decides on scaled events.
        opening: Opens new traffic.
        log_odds: The log-odds of a threat vote, to explain votes; None for a policy with memory.
        threshold: The threat score that makes an event a threat; None leaves it to the vote.
        reason_columns: Columns that a reason names at most.
        reader: Reads single events; without it :meth:`step` cannot be used.

    Attributes:
        specifications: Names of the monitored specifications.
        events: Events decided on so far.
    """

    def __init__(
        self,
        env: EnvConfig,
        preprocessor: Preprocessor,
        decider: Decider,
        opening: Opening,
        log_odds: LogOdds | None,
        threshold: float | None = None,
        reason_columns: int = 3,
        reader: EventReader | None = None,
    ) -> None:
        self._env, self._decider, self._opening = env, decider, opening
        self._reader, self.events = reader, 0
        watched = specifications(env) if env.stl.monitor else ()
        self.specifications = tuple(one.name for one in watched)
        self._blank = blank_table(preprocessor).state()
        self._outputs, self._log_odds = preprocessor.outputs, log_odds
        self._threshold, self._most = threshold, reason_columns

    def decide(
        self,
        frame: pd.DataFrame,
        *,
        keep: Sequence[str] | str = (),
        verdicts: Verdicts | None = None,
    ) -> pd.DataFrame:
        """Decide on the next events.

        Args:
            frame: The events in their order, with the columns of the training. Labels may be left
                out; they are not looked at.
            keep: Columns that stand beside the decisions, or the name of one.
            verdicts: What an analyst has found out: the name of a column, a value for each event,
                or a series with the index of some of them. A value is "threat" or "benign", 1 or
                0, True or False; empty for unknown.

        Returns:
            A row for each event, with the frame's index: ``event`` (its place), ``time`` and
            ``entity`` where the data set has them, the columns to keep, ``decision``,
            ``threat_score``, the vote of each sensor, and ``reason``.

        Raises:
            DataError: If a column is missing, or a value cannot be read.
            DecidingError: If there are no events, they are not in the order of time, or the
                verdicts do not fit them.
        """
        import pyarrow as pa

        keep = (keep,) if isinstance(keep, str) else tuple(keep)
        check_kept(keep, self._env.agents)
        name = verdicts if isinstance(verdicts, str) else None
        table = frame
        if verdicts is not None and name is None:
            name, table = _VERDICTS, _with_verdicts(frame, verdicts)
        incoming = self._opening(table, Wanted(keep, name))
        batches = [as_rows(chunk, *self.decide_chunk(chunk)) for chunk in incoming.chunks()]
        if not batches:
            raise DecidingError("the frame has no event to decide on")
        found: pd.DataFrame = pa.Table.from_batches(batches).to_pandas()
        return found.set_axis(frame.index[found[EVENT].to_numpy()], axis="index")

    def step(self, event: Mapping[str, Any], verdict: Any = None) -> Decision:
        """Decide on the next event, within milliseconds.

        It is decided as :meth:`decide` decides on a frame of this one row.

        Args:
            event: Column to value, with the columns of the training: numbers, texts, and None or
                NaN for no value. Others are not looked at.
            verdict: What an analyst has found out: "threat" or "benign", 1 or 0, True or False;
                None for unknown.

        Raises:
            DataError: If columns are missing, or a value cannot be read.
            DecidingError: If the event is earlier than the one before, and the team remembers.
        """
        if self._reader is None:
            raise DecidingError("this stream reads no single events; take that of Team.stream")
        if not isinstance(event, Mapping):
            raise DecidingError(
                f"an event is a mapping of columns to values, not {type(event).__name__}; a frame "
                "is decided on by decide"
            )
        scaled = self._reader.read(event)
        table = TrafficTable.of_checked(self._blank | {"features": scaled.features})
        chunk = Chunk(
            np.array([self.events]), table, {}, np.array([verdict_of(verdict)], np.int8),
            [scaled.entity], None if scaled.time is None else np.array([scaled.time]),
        )  # fmt: skip
        rollout, reasons = self.decide_chunk(chunk)
        return self.decisions(chunk, rollout, reasons)[0]

    def decisions(
        self, chunk: Chunk, rollout: Rollout, reasons: Sequence[str]
    ) -> Sequence[Decision]:
        """What :meth:`decide_chunk` found, event by event."""
        return as_decisions(chunk, rollout, reasons, self.specifications)

    def learn(self, event: int, entity: str | None, votes: Int8Array, threat: bool) -> None:
        """Learn an analyst's verdict that came after its event was decided on.

        A verdict that comes within ``alert_delay`` events counts as if it had been there with the
        event.

        Args:
            event: Number of the event in the stream.
            entity: Its host.
            votes: What the sensors voted, -1 for silence.  # (agents,) int8
            threat: Whether it was a threat.
        """
        self._decider.learn(event, entity, votes, threat)

    def decide_chunk(self, chunk: Chunk) -> tuple[Rollout, list[str]]:
        """Votes and decisions on the next events, already scaled, and the reason of each."""
        threshold, log_odds = self._threshold, self._log_odds
        columns = np.full((len(chunk.table), 0), -1)
        if log_odds is None or not self._most:
            rollout = self._decider.decide(chunk)
        else:
            outputs = [len(names) for names in self._outputs.values()]
            effects = ColumnEffects(len(chunk.table), outputs, log_odds, self._most, threshold)
            rollout = self._decider.decide(chunk, effects)
            columns = effects.columns
        self.events += len(chunk.table)
        reached = None
        if threshold is not None:
            reached = rollout.scores >= threshold
            decisions = decisions_at(threshold, rollout.scores, rollout.decisions)
            rollout = replace(rollout, decisions=decisions)
        names = list(self._outputs)
        remarks = _remarks(rollout)
        return rollout, reason_texts(rollout.votes, columns, names, reached, threshold, remarks)

    def get_state(self) -> dict[str, AnyArray]:
        """What the team remembers of the events before, as plain arrays."""
        return self._decider.get_state() | {_EVENTS: np.array([self.events])}

    def set_state(self, arrays: Mapping[str, AnyArray]) -> None:
        """Go on where :meth:`get_state` was called, in this or another process.

        Raises:
            StateError: If the state belongs to another team.
        """
        given = dict(arrays)
        events = np.asarray(given.pop(_EVENTS, -1))
        if events.shape != (1,) or events.dtype != np.int64 or events[0] < 0:
            raise StateError(f"a stream's state has the number of its events, not {events!r}")
        self._decider.set_state(given)
        self.events = int(events[0])


def _remarks(rollout: Rollout) -> dict[str, BoolArray]:
    """What became of a decision, where that is not the vote's."""
    return {
        "its entity is isolated": rollout.isolated,
        "the shield replaced the vote": rollout.shielded,
        "the analyst is called": rollout.granted,
        "no analyst is left in the budget": rollout.refused,
    }


def _with_verdicts(frame: pd.DataFrame, verdicts: Any) -> pd.DataFrame:
    """The frame with a column of verdicts.

    Raises:
        DecidingError: If they do not fit.
    """
    import pandas as pd

    if isinstance(verdicts, pd.Series) and not verdicts.index.equals(frame.index):
        twice = frame.index.has_duplicates or verdicts.index.has_duplicates
        strange = [] if twice else list(verdicts.index.difference(frame.index)[:3])
        if twice or strange:
            problem = "an index occurs twice" if twice else f"no event has the index {strange}"
            raise DecidingError(
                f"the verdicts do not fit the frame: {problem}; give one for each event, or a "
                "series with the index of some of them"
            )
        verdicts = verdicts.reindex(frame.index)
    if len(verdicts) != len(frame):
        raise DecidingError(f"{len(verdicts)} verdicts for {len(frame)} events; give one for each")
    values = verdicts.to_numpy() if isinstance(verdicts, pd.Series) else verdicts
    return frame.assign(**{_VERDICTS: values})

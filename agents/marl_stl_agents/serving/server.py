"""A team behind a log: reads, decides, writes, and remembers where it is."""

from __future__ import annotations

import errno
import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from marl_stl_agents.checkpoints.store import WEIGHTS, best_checkpoint
from marl_stl_agents.config import ServeConfig
from marl_stl_agents.evaluation.drift.report import reference_of
from marl_stl_agents.evaluation.drift.watch import DriftWatch
from marl_stl_agents.evaluation.new_traffic.team import Team
from marl_stl_agents.serving.contained import Contained
from marl_stl_agents.serving.decision_log import DecisionLog, Written
from marl_stl_agents.serving.events import Block, EventLog
from marl_stl_agents.serving.follow import FollowedFile
from marl_stl_agents.serving.place import Place
from marl_stl_agents.serving.records import Decided
from marl_stl_agents.serving.snapshot import Snapshot
from marl_stl_agents.serving.status import MalformedNotices, Status
from marl_stl_agents.serving.verdicts import AwaitedVerdicts, new_lines
from marl_stl_env.data.ingest.sources.adapter import SourceOptions
from marl_stl_env.errors import OutputError, ServingError

DECISIONS, STATE, LIST = "decisions.ndjson", "state.npz", "contained.json"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Server:
    """Decides on a log as it grows.

    A snapshot holds everything that a decision depends on, the place in the log and the length of
    the file of decisions. Decisions are written before the snapshot that covers them. After a kill
    at any moment the next server takes back what stands behind the last snapshot and decides it
    again, alike: decisions depend on the order of the lines alone. Verdicts are therefore learned
    only right before a snapshot.

    Args:
        team: The team.
        settings: What it follows and where it writes.
        folder: Where decisions, list and state are kept.
        say: Takes what the log of the server shall hold.

    Attributes:
        status: What it counts.
        stopping: Set it from any thread, and :meth:`run` ends.

    Raises:
        ServingError: If the folder holds the state of something else.
        OutputError: If it cannot be written to.
    """

    def __init__(
        self,
        team: Team,
        settings: ServeConfig,
        folder: Path,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._settings, self._folder = settings, folder
        self._notices = MalformedNotices(say)
        self.status = Status(most_behind=settings.most_behind)
        self.stopping = threading.Event()
        self._stream = team.stream(reason_columns=settings.reason_columns, specifications=True)
        env = team.env
        self._contained = Contained(env.response.quarantine_length, settings.block_events)
        self._awaited = AwaitedVerdicts(env.consensus.weights == "reliability")
        reference = reference_of(team.run)
        self._watch = None if reference is None else DriftWatch(reference)
        self._identity = identity(team, settings)
        state = self._own(Snapshot.read(folder / STATE))
        facts: Any = {} if state is None else state.facts
        none = Place().to_dict()
        places = {name: Place.from_dict(facts.get(name, none)) for name in ("input", "verdicts")}
        file = FollowedFile(settings.follow, places["input"])
        options = SourceOptions(settings.source, settings.mapping)
        self._events = EventLog(team, file, options, settings.key, settings.block_bytes)
        self._verdicts = None
        if settings.verdicts is not None:
            self._verdicts = FollowedFile(settings.verdicts, places["verdicts"])
        if state is not None:
            self._restore(state)
        self._log = self._open_log(Written(**facts.get("decisions", {})), state is not None)
        self._saved_at, self._changed = 0.0, True

    def _open_log(self, written: Written, known: bool) -> DecisionLog:
        path = self._folder / DECISIONS
        if not known and path.exists() and path.stat().st_size:
            raise ServingError(
                f"{path} has decisions, but there is no {STATE} beside it that says how far they "
                "go; move them away, or put the state back"
            )
        return DecisionLog(path, written)

    def _own(self, state: Snapshot | None) -> Snapshot | None:
        """The state, if it is of this run and log; none where the other has read nothing yet."""
        given = None if state is None else state.facts.get("identity")
        if state is None or given == self._identity:
            return state
        if state.facts.get("input") == Place().to_dict():
            return None  # a start that was refused, with a key that the log does not have
        known = given if isinstance(given, dict) else {}
        others = ", ".join(
            f"{name} {known.get(name)!r}, not {value!r}"
            for name, value in self._identity.items()
            if known.get(name) != value
        )
        raise ServingError(
            f"{self._folder / STATE} is of another run, log or source ({others}); choose "
            "another --folder, or move it away"
        )

    def _restore(self, state: Snapshot) -> None:
        facts = state.facts
        self._stream.set_state(state.team)
        self._events.set_state(facts["events"])
        self.status.restore(facts["status"])
        self._awaited.restore(facts["awaited"])
        self._contained.restore(facts["contained"])
        if self._watch is not None and facts.get("drift") is not None:
            self._watch.set_state(facts["drift"])
            self.status.drift = self._watch.as_dict()

    def run(self, *, until_end: bool = False) -> None:
        """Decide until :attr:`stopping` is set, or with ``until_end`` until all lines are read.

        Raises:
            DataError: If the log is not what the team can decide on.
        """
        self.save()  # so that a kill before the first snapshot finds one
        file = self._events.file
        while not self.stopping.is_set():
            if self.step():
                continue
            if not until_end:
                self.stopping.wait(self._settings.poll_seconds)
            elif file.follows:
                file.hurry()
            elif not self.step(last=True):
                break
        self.save()
        self._notices.give(time.monotonic(), last=True)

    def step(self, *, last: bool = False) -> bool:
        """Decide on the next block, and save where it is time to; False where nothing was new.

        Args:
            last: Whether a line without an end counts as one.
        """
        block = self._events.read(self._stream.events, last=last)
        if block is not None:
            self._decide(block)
        self.status.behind = self._events.file.behind
        self._notices.give(time.monotonic())
        due = time.monotonic() - self._saved_at >= self._settings.snapshot_seconds
        if due and (self._changed or self._verdicts is not None):
            self.save()
        if self._log.was_moved:
            self._begin_file()
        return block is not None

    def _decide(self, block: Block) -> None:
        lines = b""
        if block.chunk is not None:
            # Without times: events count in the order of their lines, whatever their clock says.
            rollout, reasons = self._stream.decide_chunk(replace(block.chunk, times=None))
            names = self._stream.specifications
            found = Decided(block.chunk, rollout, reasons, block.keys, names)
            lines = found.lines()
            self.status.add_decisions(found)
            self._contained.add(found)
            self._awaited.add(found)
            if self._watch is not None:
                self._watch.add(block.chunk.table.features, rollout.scores)
                self.status.drift = self._watch.as_dict()
        self.status.add_malformed(block.malformed)
        self._notices.add(block.malformed)
        self._changed = True
        self._written(lambda: self._log.add(lines))

    def _begin_file(self) -> None:
        """Begin another file of decisions: one snapshot covers the old one, the next has the new.

        After a kill between both the old file is found by its inode, under its new name.
        """
        self._changed = True
        self.save()
        self._written(self._log.begin)
        self._changed = True
        self.save()

    def save(self) -> None:
        """Learn new verdicts, and write the snapshot and the list."""
        self._learn()
        file, events = self._events.file, self._stream.events
        self._contained.expire(events)
        self.status.contained = self._contained.counts()
        self.status.counts["rotations"] += file.rotations
        self.status.counts["input_losses"] += file.losses
        file.rotations = file.losses = 0
        if self._changed:
            self.status.counts["snapshots"] += 1
            self._written(self._log.sync)
            state = Snapshot(self._stream.get_state(), self._facts())
            self._written(lambda: state.write(self._folder / STATE))
            self._written(lambda: self._contained.write(self._folder / LIST, events))
            self._changed = False
        self._saved_at, self.status.snapshot_at = time.monotonic(), time.time()

    def _learn(self) -> None:
        if self._verdicts is None:
            return
        while (lines := new_lines(self._verdicts)) != [b""]:
            self.status.verdicts.update(self._awaited.learn(lines, self._stream))
            self._changed = True

    def _facts(self) -> dict[str, Any]:
        verdicts = Place() if self._verdicts is None else self._verdicts.place
        return {
            "identity": self._identity,
            "input": self._events.file.place.to_dict(),
            "events": self._events.get_state(),
            "verdicts": verdicts.to_dict(),
            "decisions": asdict(self._log.written),
            "status": self.status.to_dict(),
            "awaited": self._awaited.to_dict(),
            "contained": self._contained.to_list(),
            "drift": None if self._watch is None else self._watch.get_state(),
        }

    def _written(self, write: Callable[[], None]) -> None:
        """Write, and wait while the disk is full: nothing is decided meanwhile.

        Raises:
            OutputError: If the server is told to stop before that, or writing fails otherwise.
        """
        while True:
            try:
                write()
            except OutputError as error:
                if error.errno not in _FULL:
                    raise
                self.status.full = str(error)
                if self.stopping.wait(self._settings.poll_seconds):
                    raise
            else:
                self.status.full = ""
                return

    def close(self) -> None:
        """Close the files, without saving."""
        self._log.close()
        self._events.file.close()
        if self._verdicts is not None:
            self._verdicts.close()


def identity(team: Team, settings: ServeConfig) -> dict[str, Any]:
    """What a state belongs to."""
    weights = best_checkpoint(team.run).path / WEIGHTS
    return {
        "weights": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "log": str(settings.follow.absolute()),
        "source": settings.source,
        "key": settings.key,
    }

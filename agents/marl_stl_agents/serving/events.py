"""The lines of a followed log as events that a team can decide on."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from marl_stl_agents.evaluation.new_traffic.team import Team
from marl_stl_agents.serving.follow import FollowedFile
from marl_stl_env.data.ingest.batch import Batch
from marl_stl_env.data.ingest.batches import Batches
from marl_stl_env.data.ingest.incoming import (
    ENTITY,
    MOST_MISSING,
    TIME,
    Chunk,
    IncomingTraffic,
    Wanted,
)
from marl_stl_env.data.ingest.sources.adapter import SourceOptions
from marl_stl_env.data.ingest.sources.lines import Malformed, Parsed
from marl_stl_env.errors import DataFormatError, MissingColumnError
from marl_stl_env.types import BoolArray

#: The longest line; a longer one is malformed.
LONGEST_LINE = 16 << 20
_SEPARATORS = re.compile(rb"[,;|\t ]")


@dataclass(frozen=True)
class Block:
    """Some events of a log.

    Attributes:
        chunk: The scaled events, with their times and hosts where the log has them; None where
            there are none.
        keys: What names each event.
        malformed: Lines that are no records.
    """

    chunk: Chunk | None
    keys: Sequence[str] = ()
    malformed: Sequence[Malformed] = ()


class EventLog:
    """A log that is followed, as events.

    Events come in the order of their lines, whatever their clock says: Zeek writes a connection
    when it ends, with the time at which it began.

    Args:
        team: The team; its data set says what is a column.
        file: The log.
        options: What writes it.
        key: Column that names an event; None takes its number.
        block_bytes: Bytes that are read at a time.
    """

    def __init__(
        self,
        team: Team,
        file: FollowedFile,
        options: SourceOptions,
        key: str | None,
        block_bytes: int,
    ) -> None:
        self.file, self._block = file, block_bytes
        self._key = None if key is None else key.strip()
        further = () if self._key is None else (self._key,)
        self._reader = team.line_reader(str(file.path), options, further)
        mapping = self._reader.columns.mapping
        self._team, self._wanted, form = team, Wanted(further), team.written
        self._incoming = self._of_columns(mapping.columns)
        self._views = team.preprocessor.views
        self._entity = (form.entity or ENTITY) if team.env.dynamics == "response" else None
        self._checked: frozenset[str] = frozenset()

    def read(self, events: int, *, last: bool = False) -> Block | None:
        """The next events; None where there is nothing new.

        Args:
            events: How many came before; they are counted on.
            last: Whether a line without an end counts as one.

        Raises:
            MissingColumnError: If the log's header lacks more than half of a view's columns, the
                host that the team isolates, or the key.
        """
        size = self._block
        while True:
            data, ended = self.file.peek(size)
            if self._reader.offset and not self.file.place.offset:
                self._begin(data)
            if not data:
                break
            whole = ended or (last and len(data) < size)
            parsed = self._reader.parse(data, last=whole)
            if parsed.used:
                self.file.take(parsed.used)
                self._check_columns(parsed)
                return self._block_of(parsed, events)
            if len(data) < size:
                break
            if size >= LONGEST_LINE:
                return Block(None, malformed=[self._skip_line(size)])
            size *= 2
        if ended:
            self.file.leave()
        return None

    def _begin(self, data: bytes) -> None:
        """Begin another file; one without a line of names has the columns of the one before."""
        state = self._reader.get_state()
        names = state.get("delimited", {}).get("names", [])
        first = _SEPARATORS.split(data.partition(b"\n")[0].strip(b"\r\xef\xbb\xbf"))
        if names and not {name.encode() for name in names} & set(first) and first[0][:1] != b"#":
            self._reader.set_state(state | {"offset": 0, "line": 0})
        else:
            self._reader.rewind()

    def _skip_line(self, size: int) -> Malformed:
        """Pass over a line without an end."""
        state = self._reader.get_state()
        found = Malformed(state["line"] + 1, state["offset"], f"longer than {LONGEST_LINE:,} bytes")
        skipped = 0
        while True:
            data, _ = self.file.peek(size)
            end = data.find(b"\n") + 1
            taken = end or len(data)
            self.file.take(taken)
            skipped += taken
            if end or len(data) < size:
                break
        after = {"offset": state["offset"] + skipped, "line": state["line"] + 1}
        self._reader.set_state(state | after)
        return found

    def _check_columns(self, parsed: Parsed) -> None:
        """Refuse a header that lacks too much; in JSON each record says what it has."""
        if parsed.fields == self._checked or self._reader.get_state()["kind"] != "delimited":
            return
        given = self._reader.columns.mapping.given(parsed.fields)
        for view, names in self._views.items():
            missing = [name for name in names if name not in given]
            if len(missing) > MOST_MISSING * len(names):
                hint = (
                    f"{len(missing)} of the {len(names)} columns of view {view!r} are missing, but "
                    f"at most half may be: {', '.join(missing)}. Is this the right --source?"
                )
                raise MissingColumnError(self.file.path, missing[0], parsed.fields, hint)
        if self._entity is not None and self._entity not in given:
            hint = "It names the host of each event, which this team isolates; add it."
            raise MissingColumnError(self.file.path, self._entity, parsed.fields, hint)
        if self._key is not None and self._key not in given:
            hint = "It names the events (--key); take a column of the log, or leave --key out."
            raise MissingColumnError(self.file.path, self._key, parsed.fields, hint)
        self._incoming = self._of_columns(given)  # a log without times is read without them
        self._checked = parsed.fields

    def _of_columns(self, columns: Collection[str]) -> IncomingTraffic:
        """What makes events of rows with these columns; labels are not looked at."""
        names = tuple(name for name in columns if name not in self._team.written.labels)
        source = Batches(str(self.file.path), names, _nothing)
        return self._team.open(source, self._wanted, (), 1)

    def _block_of(self, parsed: Parsed, events: int) -> Block:
        batch, malformed = parsed.batch, list(parsed.malformed)
        while len(batch):
            try:
                chunk = self._incoming.chunk(batch)
            except DataFormatError as error:
                row = -1 if error.row is None else error.row
                at = np.flatnonzero(batch.rows == row)
                if not len(at):
                    raise
                offset = int(parsed.offsets[np.searchsorted(parsed.batch.rows, row)])
                malformed.append(Malformed(row, offset, error.problem))
                batch = batch.where(_all_but(batch, int(at[0])))
                continue
            if chunk is not None:
                return self._numbered(chunk, events, malformed)
            break
        return Block(None, malformed=malformed)

    def _numbered(self, chunk: Chunk, events: int, malformed: Sequence[Malformed]) -> Block:
        numbers = np.arange(events, events + len(chunk.table))
        carried = {name: column.to_pylist() for name, column in chunk.carried.items()}
        own = list(map(str, numbers.tolist()))
        keys = own
        if self._key is not None:
            given = carried[self._key]
            keys = [n if k is None else str(k) for n, k in zip(own, given, strict=True)]
        times = np.array(carried[TIME], np.float64) if TIME in carried else None
        shown = replace(chunk, events=numbers, times=times, entities=carried.get(ENTITY))
        return Block(shown, keys, malformed)

    def get_state(self) -> dict[str, Any]:
        """Where it is, in JSON types."""
        return {"place": self.file.place.to_dict(), "reader": self._reader.get_state()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on where :meth:`get_state` was called; the file's place is given to the file.

        Raises:
            StateError: If this is no such state.
        """
        self._reader.set_state(state["reader"])


def _nothing(asked: Sequence[str]) -> Iterator[Batch]:
    """Blocks are given one by one."""
    del asked
    return iter(())


def _all_but(batch: Batch, row: int) -> BoolArray:
    kept = np.ones(len(batch), np.bool_)
    kept[row] = False
    return kept

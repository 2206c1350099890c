"""New traffic, as a data set's loader reads it, scaled as the training rows were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from marl_stl_env.data.encoding import CategoricalColumn
from marl_stl_env.data.ingest.batch import Batch
from marl_stl_env.data.ingest.batches import Batches, column_names, frame_batches
from marl_stl_env.data.ingest.build import MAX_ENTITIES, Format, Target
from marl_stl_env.data.ingest.clock import seconds
from marl_stl_env.data.ingest.coder import Coder
from marl_stl_env.data.ingest.readers.verdicts import read_verdicts
from marl_stl_env.data.preprocess import Preprocessor
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import ConfigError, MissingColumnError
from marl_stl_env.types import Float32Array, Float64Array, Int8Array, IntArray

#: Share of a view's columns that may be missing.
MOST_MISSING = 0.5
#: What the time and the host of an event are called beside its decision.
TIME, ENTITY = "time", "entity"


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some thousand new events.

    Attributes:
        events: Place of each event among the rows of the file, counted from 0.  # (rows,) int64
        table: Their scaled features; all benign where the file has no labels.
        carried: What goes with the decisions as it was read: ``time`` and ``entity`` where the
            file has them, and the columns to keep. Name to arrow array.
        verdicts: What an analyst has found out of each: 1 for a threat, 0 for benign, -1 for
            unknown.  # (rows,) int8
        entities: The host of each, None where it is not known; None unless they are wanted.
        times: Seconds; None unless they are wanted, and without a column.  # (rows,) float64
    """

    events: IntArray
    table: TrafficTable
    carried: Mapping[str, Any]
    verdicts: Int8Array
    entities: Sequence[str | None] | None = None
    times: Float64Array | None = None


@dataclass(frozen=True)
class Wanted:
    """What is read of new traffic beside its features.

    Attributes:
        keep: Columns that go with the decisions.
        verdicts: Column with an analyst's verdicts, or None.
        times: Whether times are read, where there are any.
        entities: Whether hosts are read; then their column must be there.
    """

    keep: Sequence[str] = ()
    verdicts: str | None = None
    times: bool = False
    entities: bool = False


@dataclass
class Filled:
    """What was not as in training, by column.

    Attributes:
        missing: Columns that the file does not have.
        absent: Events without a number (empty or NaN).
        unknown: Events whose category has no column of its own.
    """

    missing: list[str]
    absent: dict[str, int] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)


def plain_format() -> Format:
    """Events by the names of their columns, with ``entity`` and ``time``, without labels."""
    families = Coder(limit=1)

    def target(batch: Batch) -> Target:
        return np.zeros(len(batch), np.int64), np.zeros(len(batch), np.bool_)

    return Format(families, labels=(), target=target, entity=ENTITY, clock=TIME)


class IncomingTraffic:
    """The events of new traffic, in its order, a chunk at a time.

    Columns are found by their names. A missing column, and a missing number, becomes the median of
    the training rows; a missing category, and one that training has hardly seen, is ``<other>``.

    Args:
        source: A file, a pandas DataFrame, or batches of rows; labels may be left out.
        dataset: Name of the data set that the preprocessor was fitted on.
        form: How its files are written.
        preprocessor: The scaling.
        wanted: What is read beside the features.
        most_missing: Share of a view's columns that may be missing.

    Attributes:
        labelled: Whether the file has the columns that say what is a threat.
        filled: What was not as in training; its counts grow while chunks are read.

    Raises:
        DataFileNotFoundError: If there is no such file.
        DataFormatError: If the file is damaged.
        MissingColumnError: If more of a view's columns are missing, or one that is wanted.
        ConfigError: If a column to keep has the name of another one that is carried.
    """

    def __init__(
        self,
        source: Path | Any,
        dataset: str,
        form: Format,
        preprocessor: Preprocessor,
        wanted: Wanted = Wanted(),
        most_missing: float = MOST_MISSING,
    ) -> None:
        self._dataset, self._preprocessor = dataset, preprocessor
        self._form, self._wanted = form, wanted
        keep = column_names(wanted.keep)
        self._verdicts = None if wanted.verdicts is None else wanted.verdicts.strip()
        self._source = _opened(source, form)
        names = [column.name for column in preprocessor.columns]
        self._found = [name for name in names if name in self._source.names]
        self.filled = Filled([name for name in names if name not in self._source.names])
        labels = set(form.labels)
        self.labelled = bool(labels) and labels <= set(self._source.names)
        self._labels = tuple(form.labels) if self.labelled else ()
        self._rows = 0
        self._check_views(most_missing)
        self._source.need(keep, "Check the names of the columns to keep (--keep).")
        if self._verdicts is not None:
            self._source.need([self._verdicts], "Check the name of the column of verdicts.")
        self._check_entity()
        known = {TIME: self._form.clock, ENTITY: self._form.entity}
        for name in keep:
            if known.get(name, name) not in (name, None):
                raise ConfigError(
                    f"--keep {name}: the {name} of an event is that in column {known[name]!r}; "
                    "rename the other column in the input"
                )
        self._carried = {
            name: column
            for name, column in (known | {name: name for name in keep}).items()
            if column in self._source.names
        }
        also = () if self._verdicts is None else (self._verdicts,)
        asked = (*self._found, *self._labels, *self._carried.values(), *also)
        if wanted.times and form.clock in self._source.names:
            asked = (*asked, str(form.clock))
        self._asked = tuple(dict.fromkeys(asked))

    def chunks(self) -> Iterator[Chunk]:
        """All events, once.

        Raises:
            DataFormatError: If a field cannot be read, with file, row and column.
        """
        for read in self._source.read(self._asked):
            chunk = self.chunk(read)
            if chunk is not None:
                yield chunk

    def chunk(self, read: Batch) -> Chunk | None:
        """The next rows as events; None where none of them is one.

        Rows are counted on from call to call: blank lines are none, others are, whether they are
        decided on or not.

        Raises:
            DataFormatError: If a field cannot be read, with file, row and column.
        """
        labels, keep = self._labels, self._form.keep
        read = read.only(self._asked)
        batch = read.as_text(labels)
        events = np.arange(self._rows, self._rows + len(batch))
        self._rows += len(batch)
        if labels and keep is not None and len(batch):
            kept = keep(batch)
            read, batch, events = read.where(kept), batch.where(kept), events[kept]
        return self._chunk(events, batch, read) if len(batch) else None

    def _chunk(self, events: IntArray, batch: Batch, raw: Batch) -> Chunk:
        wanted, known = self._wanted, np.full(len(batch), -1, np.int8)
        if self._verdicts is not None:
            known = read_verdicts(raw, self._verdicts)
        chunk = Chunk(events, self._table(batch), self._as_read(raw), known)
        clock, entity = self._form.clock, self._form.entity
        if wanted.times and clock in self._source.names:
            chunk = replace(chunk, times=seconds(raw, str(clock), self._form.times))
        if wanted.entities:
            chunk = replace(chunk, entities=self._entities(raw, str(entity)))
        return chunk

    def _entities(self, batch: Batch, column: str) -> Sequence[str | None]:
        """The host of every event."""
        coder = Coder(limit=MAX_ENTITIES, fallback=self._form.fallback)
        codes, absent = coder.codes(batch, column), batch.absent(column)
        names = (*coder.names, None)
        return [names[code] for code in np.where(absent, len(coder.names), codes).tolist()]

    def _as_read(self, batch: Batch) -> dict[str, Any]:
        """The carried columns; an entity that is not known is null."""
        import pyarrow as pa
        import pyarrow.compute as pc

        found = {name: self._text(batch.columns[column]) for name, column in self._carried.items()}
        if ENTITY in found:
            unknown = pa.array(batch.absent(self._carried[ENTITY]))
            found[ENTITY] = pc.if_else(unknown, None, found[ENTITY])
        return found

    def _text(self, array: Any) -> Any:
        """The column, bytes as text."""
        import pyarrow as pa

        if not pa.types.is_binary(array.type):
            return array
        try:
            return array.cast(pa.string())
        except pa.ArrowInvalid:
            encoding = self._form.fallback or "utf-8"
            texts = [v if v is None else v.decode(encoding, "replace") for v in array.to_pylist()]
            return pa.array(texts, pa.string())

    def _table(self, batch: Batch) -> TrafficTable:
        rows = len(batch)
        families, labels = np.zeros(rows, np.int16), np.zeros(rows, np.bool_)
        if self.labelled:
            codes, labels = self._form.target(batch)
            families = codes.astype(np.int16)
        names = self._form.families.names
        return TrafficTable(
            name=self._dataset,
            labels=labels,
            families=families,
            family_names=names if self.labelled else ("unlabelled",),
            **self._preprocessor.described(self._features(batch)),
        )

    def _features(self, batch: Batch) -> Float32Array:
        raw: dict[str, Float32Array] = {}
        categories: dict[str, tuple[str, ...]] = {}
        for column in self._preprocessor.columns:
            name = column.name
            if isinstance(column, CategoricalColumn):
                raw[name], categories[name] = self._category(batch, column)
            elif name in batch.columns:
                raw[name] = batch.features(name, missing=True)
                _count(self.filled.absent, name, int(np.isnan(raw[name]).sum()))
            else:
                raw[name] = np.full(len(batch), np.nan, np.float32)
        return self._preprocessor.encode(raw, categories, len(batch))

    def _category(
        self, batch: Batch, column: CategoricalColumn
    ) -> tuple[Float32Array, tuple[str, ...]]:
        """The codes of a column, and their names."""
        if column.name not in batch.columns:
            return np.full(len(batch), np.nan, np.float32), ()
        coder = Coder(self._form.category, limit=MAX_ENTITIES, fallback=self._form.fallback)
        codes = coder.codes(batch, column.name)
        known = np.isin(coder.names, column.kept)
        _count(self.filled.unknown, column.name, int((~known[codes]).sum()))
        return codes.astype(np.float32), coder.names

    def _check_entity(self) -> None:
        if self._wanted.entities:
            hint = "It names the host of each event, which this team isolates; add it."
            self._source.need([self._form.entity or ENTITY], hint)

    def _check_views(self, most: float) -> None:
        for view, names in self._preprocessor.views.items():
            missing = [name for name in names if name in self.filled.missing]
            if len(missing) > most * len(names):
                raise MissingColumnError(
                    self._source.file,
                    missing[0],
                    self._source.names,
                    f"{len(missing)} of the {len(names)} columns of view {view!r} are missing, but "
                    f"at most {_share(most)} may be: {', '.join(missing)}. Are the names spelled "
                    "alike?",
                )


def _share(most: float) -> str:
    return "half" if most == 0.5 else f"{most:.0%}"


def _opened(source: Path | Any, form: Format) -> Batches:
    if isinstance(source, Batches):
        return source
    if isinstance(source, Path):
        return form.open(source, whole=False)
    return frame_batches(source, form.dialect, rename=form.rename)


def _count(counts: dict[str, int], name: str, more: int) -> None:
    if more:
        counts[name] = counts.get(name, 0) + more

"""From batches of rows to a traffic table, in memory or in a file.

Features are stored column by column (Fortran order), so rows are sorted and scalings fitted one
column at a time. A table larger than memory can be built and prepared this way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from marl_stl_env.data.ingest.batch import Batch
from marl_stl_env.data.ingest.batches import Batches, Rename, table_batches
from marl_stl_env.data.ingest.coder import Coder
from marl_stl_env.data.ingest.readers.csv_rows import Dialect
from marl_stl_env.data.ingest.store import FEATURES, create_columns
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import DataFormatError
from marl_stl_env.types import AnyArray, BoolArray, Float32Array, Float64Array, IntArray

MAX_CATEGORIES = 10_000
MAX_FAMILIES = 10_000
MAX_ENTITIES = 2**31 - 1
SHUFFLE_SEED = 0

#: Family code (rows,) int64 and threat (rows,) bool of every row.
Target = tuple[IntArray, BoolArray]


@dataclass(frozen=True, eq=False)
class Format:
    """The format of a data set's files, and its labels.

    Attributes:
        families: Coder of the families.
        labels: Columns that ``target`` and ``keep`` read.
        target: Computes family and label of every row.
        keep: Selects the rows that are events (not repeated header lines, for example), or None.
        header: Columns of files without a header line; empty if all files have one.
        optional: Number of trailing columns of ``header`` that may be missing.
        rename: Cleans the names of a header.
        quoted: Whether ``"`` quotes a field in files without a header line.
        fallback: Encoding of text that is not UTF-8; None refuses such text.
        category: Normalises the text of a categorical column.
        dialect: Encoding and separators of text files; None is UTF-8 with commas.
        reader: Opens files of another format; None reads CSV and Parquet.
        entity: Column of the host behind the event, or None.
        clock: Column of the time of the event, or None.
        times: Formats of the times that are text (``strptime``); none: numbers or ISO 8601.
    """

    families: Coder
    labels: Sequence[str]
    target: Callable[[Batch], Target]
    keep: Callable[[Batch], BoolArray] | None = None
    header: Sequence[str] = ()
    optional: int = 0
    rename: Rename | None = None
    quoted: bool = True
    fallback: str | None = None
    category: Callable[[str], str] = str.strip
    dialect: Dialect | None = None
    reader: Callable[[Path], Batches] | None = None
    entity: str | None = None
    clock: str | None = None
    times: Sequence[str] = ()

    def open(self, path: Path, *, whole: bool = True) -> Batches:
        """Open a file.

        Args:
            path: The file.
            whole: Whether to refuse files without a header line that lack trailing columns.

        Raises:
            DataFileNotFoundError: If there is no such file.
            DataFormatError: If it is damaged, or its header is not usable.
        """
        if self.reader is not None:
            return self.reader(path)
        return table_batches(
            path,
            header=self.header,
            optional=self.optional,
            rename=self.rename,
            quoted=self.quoted,
            whole=whole,
            form=self.dialect,
        )


@dataclass(frozen=True, eq=False)
class Layout:
    """The meaning of a source's columns.

    Attributes:
        format: Format of its files.
        views: View to its columns; the features are their union, in this order.
        categorical: Features that are text.
        time: Computes the seconds of every row from the format's ``clock``, or None.
        missing: Whether numbers may be missing or infinite, and categories empty.
        texts: Feature to the function that normalises its text instead of ``format.category``.
        repair: Corrects the times of a whole source, given its file and its times; or None.
    """

    format: Format
    views: Mapping[str, Sequence[str]]
    categorical: Sequence[str]
    time: Callable[[Batch], Float64Array] | None = None
    missing: bool = False
    texts: Mapping[str, Callable[[str], str]] = field(default_factory=dict)
    repair: Callable[[str, Float64Array], Float64Array] | None = None

    @property
    def features(self) -> tuple[str, ...]:
        """The features, each once."""
        return tuple(dict.fromkeys(name for view in self.views.values() for name in view))

    @property
    def needed(self) -> tuple[str, ...]:
        """Every column that is read."""
        further = (*self.format.labels, self.format.clock, self.format.entity)
        return tuple(dict.fromkeys((*self.features, *(name for name in further if name))))


def build_table(
    name: str,
    sources: Sequence[Batches],
    layout: Layout,
    *,
    folder: Path | None = None,
    shuffle: bool = False,
    official: Sequence[bool] | None = None,
    digests: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
) -> TrafficTable:
    """Read all sources, one after the other, into one raw table.

    Rows are sorted by time if there are times. Otherwise they keep the order of the sources, or
    are shuffled with a fixed seed.

    Args:
        name: Name of the data set.
        sources: The rows.
        layout: What their columns mean.
        folder: Folder for the features; None keeps them in memory.
        shuffle: Whether to shuffle rows without times, as for files that are sorted by label.
        official: For every source, whether it is the publisher's test set.
        digests: File name to sha256.
        notes: Notes of the table.

    Raises:
        DataFormatError: If a source does not fit the layout.
    """
    for source in sources:
        source.need(layout.needed, "Is this the right file, and are the names spelled alike?")
    reader = _Reader(layout, folder)
    for source in sources:
        reader.read(source)
    labels, families, times, entities = reader.rows()
    order = _order(times, len(labels), shuffle)
    in_order: Callable[[Any], Any] = lambda array: array if order is None else array[order]  # noqa: E731
    place = {feature: column for column, feature in enumerate(layout.features)}
    return TrafficTable(
        name=name,
        features=reader.columns.finish(order, folder / FEATURES if folder else None),
        labels=in_order(labels),
        families=in_order(families),
        family_names=layout.format.families.names,
        feature_names=layout.features,
        views={view: tuple(place[n] for n in names) for view, names in layout.views.items()},
        categories={feature: coder.names for feature, coder in reader.coders.items()},
        entities=None if entities is None else in_order(entities),
        times=None if times is None else in_order(times),
        official_test=None if official is None else in_order(np.repeat(official, reader.counts)),
        source=digests or {},
        benign=_counts(layout.format.families.names, families[~labels]),
        notes=tuple(notes),
    )


class _Reader:
    """Reads sources; keeps what is not a feature in a block per batch.

    Attributes:
        columns: The features.
        coders: Categorical feature to the codes of its texts.
        counts: Rows of each source.
    """

    def __init__(self, layout: Layout, folder: Path | None) -> None:
        self.columns = create_columns(len(layout.features), folder)
        self.coders = _coders(layout)
        self.counts: list[int] = []
        self._layout = layout
        self._hosts = Coder(limit=MAX_ENTITIES, fallback=layout.format.fallback)
        self._labels: list[BoolArray] = []
        self._families: list[AnyArray] = []
        self._entities: list[AnyArray] = []
        self._times: list[Float64Array] = []

    def read(self, source: Batches) -> None:
        """Read one source.

        Raises:
            DataFormatError: If it has no rows, or a field cannot be read.
        """
        blocks, layout = len(self._labels), self._layout
        for batch in source.read(layout.needed):
            self._append(batch)
        self.counts.append(sum(map(len, self._labels[blocks:])))
        if not self.counts[-1]:
            raise DataFormatError(source.file, "there are no rows below the header")
        if layout.repair is not None and layout.time is not None:
            times = layout.repair(source.file, np.concatenate(self._times[blocks:]))
            self._times[blocks:] = [times]
            self._labels[blocks:] = [np.concatenate(self._labels[blocks:])]  # so that blocks align

    def rows(self) -> tuple[BoolArray, AnyArray, Float64Array | None, AnyArray | None]:
        """Labels, families, times and entities of all rows; None where the layout has none."""
        return (
            np.concatenate(self._labels),
            np.concatenate(self._families),
            np.concatenate(self._times) if self._times else None,
            _entities(self._entities) if self._entities else None,
        )

    def _append(self, batch: Batch) -> None:
        layout = self._layout
        batch = batch.as_text(layout.format.labels)
        if layout.format.keep is not None:
            batch = batch.where(layout.format.keep(batch))
        if not len(batch):
            return
        families, threats = layout.format.target(batch)
        self._families.append(families.astype(np.int16))
        self._labels.append(threats)
        entity = layout.format.entity
        if entity is not None:
            codes = self._hosts.codes(batch, entity).astype(np.int32)
            self._entities.append(np.where(batch.absent(entity), np.int32(-1), codes))
        if layout.time is not None:
            self._times.append(layout.time(batch))
        self.columns.append([self._feature(batch, name) for name in layout.features])

    def _feature(self, batch: Batch, name: str) -> Float32Array:
        if name in self.coders:
            return self.coders[name].codes(batch, name).astype(np.float32)
        values = batch.features(name, missing=self._layout.missing)
        batch.check_precision(name, values)
        return values


def _coders(layout: Layout) -> dict[str, Coder]:
    """Categorical feature to the coder of its texts."""
    form = layout.format
    default = form.category if layout.missing else _category
    return {
        name: Coder(layout.texts.get(name, default), limit=MAX_CATEGORIES, fallback=form.fallback)
        for name in layout.categorical
    }


def _counts(names: Sequence[str], codes: AnyArray) -> dict[str, int]:
    """Name to its number of rows, the most frequent first; names without rows are left out."""
    counts = np.bincount(codes, minlength=len(names))
    return {names[code]: int(counts[code]) for code in np.argsort(-counts) if counts[code]}


def _entities(blocks: Sequence[AnyArray]) -> AnyArray:
    """The entity of every row. Each unknown one (-1) becomes an entity of its own.

    Otherwise all events without a known host would count as events of one host.
    """
    hosts = np.concatenate(blocks)
    unknown = hosts < 0
    hosts[unknown] = hosts.max(initial=-1) + 1 + np.arange(unknown.sum())
    return hosts


def _category(text: str) -> str:
    """The text of a category, in a data set without missing categories."""
    name = text.strip()
    if not name or '"' in name:
        raise ValueError(f"{text[:30]!r} is not a name; get the file again")
    return name


def _order(times: Float64Array | None, rows: int, shuffle: bool) -> IntArray | None:
    """Indices that sort the rows, or None if they keep their order."""
    if times is not None:
        return np.argsort(times, kind="stable") if (np.diff(times) < 0).any() else None
    return np.random.default_rng(SHUFFLE_SEED).permutation(rows) if shuffle else None

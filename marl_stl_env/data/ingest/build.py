"""From batches of rows to a traffic table, in memory or in a file.

Columns are stored one after the other (Fortran order), so that scaling can be learned, and rows
be sorted, one column at a time: a table larger than the memory can be built and prepared.
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
    """How the files of a data set are written, and what says which events are threats.

    Attributes:
        families: Holds the names of the attack families.
        labels: The columns that ``target`` and ``keep`` read.
        target: Family and label of every row.
        keep: The rows to keep (others are no events, such as repeated header lines), or None.
        header: The columns of files without a header line; empty where all have one.
        optional: How many of the last of them may be missing.
        rename: Cleans the names of a header.
        quoted: Whether ``"`` quotes a field of a file without a header line.
        fallback: Encoding of text that is not UTF-8; None refuses it.
        category: The name of a text of a categorical column.
        dialect: How text files are written; None is UTF-8 with commas.
        reader: Opens a file that is neither CSV nor Parquet; None: all are.
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

    def open(self, path: Path, *, whole: bool = True) -> Batches:
        """The rows of a file.

        Args:
            path: The file.
            whole: Refuse files without a header line whose rows lack the last columns.

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
    """What the columns of a source mean.

    Attributes:
        format: How its files are written.
        views: View to the columns it shows; the features are their union, in this order.
        categorical: The features that are text.
        entity: Column of the host behind the event, or None.
        clock: Column that ``time`` reads, or None.
        time: Seconds of every row, or None.
        missing: Whether numbers may be missing or infinite, and categories empty.
        texts: Feature to the name of a text of it, where ``format.category`` does not hold.
        repair: The times of a whole source, made right; takes its file and its times.
    """

    format: Format
    views: Mapping[str, Sequence[str]]
    categorical: Sequence[str]
    entity: str | None = None
    clock: str | None = None
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
        further = (*self.format.labels, self.clock, self.entity)
        return tuple(dict.fromkeys((*self.features, *(name for name in further if name))))


@dataclass
class _Rows:
    """What has been read besides the features, a block per batch."""

    labels: list[Any] = field(default_factory=list)
    families: list[Any] = field(default_factory=list)
    entities: list[Any] = field(default_factory=list)
    times: list[Any] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)  # rows of each source


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
    """Read every source, one after the other, into one raw table.

    Rows are put in time order where there is time, and shuffled with a fixed seed where
    ``shuffle`` says that the publisher's order is one of label blocks.

    Args:
        name: Name of the data set.
        sources: The rows.
        layout: What their columns mean.
        folder: Holds the features while and after they are read; None keeps them in memory.
        shuffle: Whether to shuffle rows without time.
        official: For every source, whether it is the publisher's test set.
        digests: File name to sha256.
        notes: What a reader of the report should know.

    Raises:
        DataFormatError: If a source is not what its layout specifications.
    """
    for source in sources:
        source.need(layout.needed, "Is this the right file, and are the names spelled alike?")
    coders = _coders(layout)
    hosts = Coder(limit=MAX_ENTITIES, fallback=layout.format.fallback)
    columns = create_columns(len(layout.features), folder)
    rows = _Rows()
    for source in sources:
        blocks = len(rows.labels)
        for batch in source.read(layout.needed):
            _append(batch, layout, coders, hosts, columns, rows)
        rows.counts.append(sum(map(len, rows.labels[blocks:])))
        if not rows.counts[-1]:
            raise DataFormatError(source.file, "there are no rows below the header")
        if layout.repair is not None and layout.time is not None:
            rows.times[blocks:] = [layout.repair(source.file, np.concatenate(rows.times[blocks:]))]
            rows.labels[blocks:] = [np.concatenate(rows.labels[blocks:])]
    labels = np.concatenate(rows.labels)
    families = np.concatenate(rows.families)
    times = np.concatenate(rows.times) if rows.times else None
    order = _order(times, len(labels), shuffle)
    in_order: Callable[[Any], Any] = lambda array: array if order is None else array[order]  # noqa: E731
    place = {feature: column for column, feature in enumerate(layout.features)}
    return TrafficTable(
        name=name,
        features=columns.finish(order, folder / FEATURES if folder else None),
        labels=in_order(labels),
        families=in_order(families),
        family_names=layout.format.families.names,
        feature_names=layout.features,
        views={view: tuple(place[n] for n in names) for view, names in layout.views.items()},
        categories={feature: coder.names for feature, coder in coders.items()},
        entities=in_order(_entities(rows.entities)) if rows.entities else None,
        times=None if times is None else in_order(times),
        official_test=None if official is None else in_order(np.repeat(official, rows.counts)),
        source=digests or {},
        benign=_counts(layout.format.families.names, families[~labels]),
        notes=tuple(notes),
    )


def _coders(layout: Layout) -> dict[str, Coder]:
    """What gives the texts of each categorical feature their codes."""
    form = layout.format
    default = form.category if layout.missing else _category
    return {
        name: Coder(layout.texts.get(name, default), limit=MAX_CATEGORIES, fallback=form.fallback)
        for name in layout.categorical
    }


def _counts(names: Sequence[str], codes: AnyArray) -> dict[str, int]:
    """Name to its rows, the most frequent first; names without rows are left out."""
    counts = np.bincount(codes, minlength=len(names))
    return {names[code]: int(counts[code]) for code in np.argsort(-counts) if counts[code]}


def _entities(blocks: Sequence[AnyArray]) -> AnyArray:
    """The entity of every row; each unknown one (-1) becomes an entity of its own.

    So events without a known host are never taken for those of one host.
    """
    hosts = np.concatenate(blocks)
    unknown = hosts < 0
    hosts[unknown] = hosts.max(initial=-1) + 1 + np.arange(unknown.sum())
    return hosts


def _append(
    batch: Batch,
    layout: Layout,
    coders: Mapping[str, Coder],
    hosts: Coder,
    columns: Any,
    rows: _Rows,
) -> None:
    batch = batch.as_text(layout.format.labels)
    keep = layout.format.keep
    if keep is not None:
        batch = batch.where(keep(batch))
    if not len(batch):
        return
    families, threats = layout.format.target(batch)
    rows.families.append(families.astype(np.int16))
    rows.labels.append(threats)
    if layout.entity is not None:
        codes = hosts.codes(batch, layout.entity).astype(np.int32)
        rows.entities.append(np.where(batch.absent(layout.entity), np.int32(-1), codes))
    if layout.time is not None:
        rows.times.append(layout.time(batch))
    columns.append([_feature(batch, layout, coders, name) for name in layout.features])


def _feature(batch: Batch, layout: Layout, coders: Mapping[str, Coder], name: str) -> Float32Array:
    if name in coders:
        return coders[name].codes(batch, name).astype(np.float32)
    values = batch.features(name, missing=layout.missing)
    batch.check_precision(name, values)
    return values


def _category(text: str) -> str:
    """A category of a data set in which none is missing."""
    name = text.strip()
    if not name or '"' in name:
        raise ValueError(f"{text[:30]!r} is not a name; get the file again")
    return name


def _order(times: Float64Array | None, rows: int, shuffle: bool) -> IntArray | None:
    """The order of the rows, or None where they stand right already."""
    if times is not None:
        return np.argsort(times, kind="stable") if (np.diff(times) < 0).any() else None
    return np.random.default_rng(SHUFFLE_SEED).permutation(rows) if shuffle else None

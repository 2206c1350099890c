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

from marl_stl_env.data.ingest.batch import Batch, Coder
from marl_stl_env.data.ingest.batches import Batches, Rename, table_batches
from marl_stl_env.data.ingest.store import FEATURES, create_columns
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import DataFormatError
from marl_stl_env.types import BoolArray, Float32Array, Float64Array, IntArray

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
        rename: Cleans the names of a header.
        quoted: Whether ``"`` quotes a field of a file without a header line.
        fallback: Encoding of text that is not UTF-8; None refuses it.
    """

    families: Coder
    labels: Sequence[str]
    target: Callable[[Batch], Target]
    keep: Callable[[Batch], BoolArray] | None = None
    header: Sequence[str] = ()
    rename: Rename | None = None
    quoted: bool = True
    fallback: str | None = None

    def open(self, path: Path, *, whole: bool = True) -> Batches:
        """The rows of a file.

        Args:
            path: The file.
            whole: Refuse files without a header line whose rows lack the last columns.

        Raises:
            DataFileNotFoundError: If there is no such file.
            DataFormatError: If it is damaged, or its header is not usable.
        """
        return table_batches(
            path, header=self.header, rename=self.rename, quoted=self.quoted, whole=whole
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
    """

    format: Format
    views: Mapping[str, Sequence[str]]
    categorical: Sequence[str]
    entity: str | None = None
    clock: str | None = None
    time: Callable[[Batch], Float64Array] | None = None
    missing: bool = False

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

    Raises:
        DataFormatError: If a source is not what its layout specifications.
    """
    for source in sources:
        source.need(layout.needed, "Is this the right file, and are the names spelled alike?")
    fallback = layout.format.fallback
    clean = str.strip if layout.missing else _category
    coders = {c: Coder(clean, limit=MAX_CATEGORIES, fallback=fallback) for c in layout.categorical}
    hosts = Coder(_entity_name, limit=MAX_ENTITIES, fallback=fallback)
    columns = create_columns(len(layout.features), folder)
    rows = _Rows()
    for source in sources:
        before = sum(map(len, rows.labels))
        for batch in source.read(layout.needed):
            _append(batch, layout, coders, hosts, columns, rows)
        rows.counts.append(sum(map(len, rows.labels)) - before)
        if not rows.counts[-1]:
            raise DataFormatError(source.file, "there are no rows below the header")
    labels = np.concatenate(rows.labels)
    times = np.concatenate(rows.times) if rows.times else None
    order = _order(times, len(labels), shuffle)
    in_order: Callable[[Any], Any] = lambda array: array if order is None else array[order]  # noqa: E731
    place = {feature: column for column, feature in enumerate(layout.features)}
    return TrafficTable(
        name=name,
        features=columns.finish(order, folder / FEATURES if folder else None),
        labels=in_order(labels),
        families=in_order(np.concatenate(rows.families)),
        family_names=layout.format.families.names,
        feature_names=layout.features,
        views={view: tuple(place[n] for n in names) for view, names in layout.views.items()},
        categories={feature: coder.names for feature, coder in coders.items()},
        entities=in_order(np.concatenate(rows.entities)) if rows.entities else None,
        times=None if times is None else in_order(times),
        official_test=None if official is None else in_order(np.repeat(official, rows.counts)),
        source=digests or {},
    )


def _append(
    batch: Batch,
    layout: Layout,
    coders: Mapping[str, Coder],
    hosts: Coder,
    columns: Any,
    rows: _Rows,
) -> None:
    keep = layout.format.keep
    if keep is not None:
        batch = batch.where(keep(batch))
    if not len(batch):
        return
    families, threats = layout.format.target(batch)
    rows.families.append(families.astype(np.int16))
    rows.labels.append(threats)
    if layout.entity is not None:
        rows.entities.append(hosts.codes(batch, layout.entity).astype(np.int32))
    if layout.time is not None:
        rows.times.append(layout.time(batch))
    block: list[Float32Array] = [
        coders[name].codes(batch, name).astype(np.float32)
        if name in coders
        else batch.features(name, missing=layout.missing)
        for name in layout.features
    ]
    columns.append(block)


def _category(text: str) -> str:
    """A category of a data set in which none is missing."""
    name = text.strip()
    if not name or '"' in name:
        raise ValueError(f"{text[:30]!r} is not a name; get the file again")
    return name


def _entity_name(text: str) -> str:
    if not text.strip():
        raise ValueError("the entity is empty; name one, or leave entity= out")
    return text.strip()


def _order(times: Float64Array | None, rows: int, shuffle: bool) -> IntArray | None:
    """The order of the rows, or None where they stand right already."""
    if times is not None:
        return np.argsort(times, kind="stable") if (np.diff(times) < 0).any() else None
    return np.random.default_rng(SHUFFLE_SEED).permutation(rows) if shuffle else None

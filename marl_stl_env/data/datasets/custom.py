"""Any labelled table: CSV (gzipped or not), Parquet, or a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from marl_stl_env.data.datasets.benign import (
    BENIGN_VALUES,
    clear,
    count_benign,
    label_name,
    spelled,
)
from marl_stl_env.data.info import Dataset
from marl_stl_env.data.ingest.batch import Batch
from marl_stl_env.data.ingest.batches import Batches, frame_batches, table_batches
from marl_stl_env.data.ingest.build import (
    MAX_FAMILIES,
    Format,
    Layout,
    Target,
    build_table,
)
from marl_stl_env.data.ingest.cache import file_digest
from marl_stl_env.data.ingest.clock import seconds
from marl_stl_env.data.ingest.coder import Coder
from marl_stl_env.data.ingest.columns import are_categorical, first_batch, row_numbers, suspicious
from marl_stl_env.data.ingest.locate import named_files
from marl_stl_env.data.ingest.readers.csv_rows import Dialect, dialect
from marl_stl_env.data.ingest.texts import as_category, as_text_category
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.data.views import UNGROUPED
from marl_stl_env.errors import ConfigError, DataFormatError, LabelError

DATASET = Dataset(
    name="custom",
    summary="your own table: CSV, Parquet or a pandas DataFrame",
    licence="yours",
    citation="yours",
    dropped=("whatever drop= names; identifiers, addresses and times belong there",),
    defects=("whatever `marl-stl-data check custom ...` finds",),
)
_HINT = "Check the names given by label=, family=, entity=, time=, drop=, views= and categorical=."

_NO_FAMILY = "benign"

Names = str | Sequence[str | int]


def files(data_dir: Path | str | None = None, path: str | Path | None = None) -> tuple[Path, ...]:
    """The file of the table; none for a DataFrame.

    ``path`` is looked up as it is, then below the data folder, then by name in that folder.

    Args:
        data_dir: Folder with data files, or None.
        path: A CSV (``.csv``, ``.csv.gz``) or Parquet (``.parquet``, ``.pq``) file.

    Raises:
        DataFileNotFoundError: If there is no such file.
    """
    return () if path is None else named_files(path, data_dir)[:1]


def load(
    paths: Sequence[Path],
    folder: Path | None = None,
    frame: Any = None,
    label: str | None = None,
    benign_values: Any = None,
    family: str | None = None,
    entity: str | None = None,
    time: str | None = None,
    drop: Names = (),
    categorical: Names = (),
    views: Mapping[str, Names] | None = None,
    sep: str | None = None,
    encoding: str | None = None,
    missing: Names = (),
) -> TrafficTable:
    """Read a labelled table.

    All columns are features except those named by ``label``, ``family``, ``entity``, ``time`` and
    ``drop``, the index of a DataFrame, and row numbers; the table's ``notes`` list what was left
    out. Several names may also be one string with commas. Text columns become categories; a column
    of a CSV file is numeric if its first 8 MB are. Rows are sorted by time, or keep the order of
    the file if there is no time.

    Args:
        paths: The file.
        folder: Folder for the features; None keeps them in memory.
        frame: A pandas DataFrame instead of a file.
        label: Column with the label.
        benign_values: Labels of benign rows, in any spelling; all others are threats. None takes
            0, false, benign and normal, and refuses labels of which none is among these or others
            may be benign as well.
        family: Column with the attack family; None takes the label. It may be empty in benign
            rows.
        entity: Column with the host behind the event, or None. Every event without a host becomes
            an entity of its own.
        time: Column with seconds or ISO 8601 times, or None.
        drop: Columns to leave out.
        categorical: Columns of numbers that are categories.
        views: View to its columns; None assigns balanced views on the training rows.
        sep: Separator of a CSV file: a character, or its name, such as ``tab``.
        encoding: Encoding of a CSV file; None is UTF-8.
        missing: Further texts that mean "no value".

    Raises:
        ConfigError: If an option is missing or contradicts another.
        DataFileNotFoundError: If there is no such file.
        DataFormatError: If the table is not usable, with file, row and column.
    """
    form = dialect(sep, encoding, _names(missing))
    source = _source(paths, frame, form)
    if label is None:
        raise ConfigError("data set 'custom' needs label=COLUMN, the column that marks threats")
    label, family, entity, time = label.strip(), _name(family), _name(entity), _name(time)
    shown = {view: _names(names) for view, names in views.items()} if views else None
    named = tuple(name for name in (label, family, entity, time) if name)
    columns = _choose(source, named, _names(drop), _names(categorical), shown)
    labels = Coder(partial(label_name, missing=form.missing), limit=MAX_FAMILIES, kind=LabelError)
    benign = _benign(benign_values)
    layout = Layout(
        replace(_format(label, family, labels, benign, form), entity=entity, clock=time),
        views=shown or {UNGROUPED: columns.features},
        categorical=columns.categorical,
        time=(lambda batch: seconds(batch, time)) if time else None,
        missing=True,
        texts={name: partial(as_text_category, missing=form.missing) for name in columns.texts},
    )
    digests = {path.name: file_digest(path) for path in paths}
    table = build_table(
        DATASET.name, [source], layout, folder=folder, digests=digests, notes=columns.notes
    )
    given = benign_values is not None
    return replace(table, benign=count_benign(source.file, label, labels, benign, given=given))


class _Columns(NamedTuple):
    """The features of a table.

    Attributes:
        features: All features.
        categorical: Those that are categories.
        texts: Those of them that are categories because they hold text.
        notes: What was left out, and what looks suspicious.
    """

    features: Sequence[str]
    categorical: Sequence[str]
    texts: Sequence[str]
    notes: Sequence[str]


def _choose(
    source: Batches,
    named: Sequence[str],
    dropped: Sequence[str],
    categorical: Sequence[str],
    views: Mapping[str, Sequence[str]] | None,
) -> _Columns:
    """Choose the features among the columns of a source.

    Args:
        source: The table.
        named: Columns with another meaning.
        dropped: Columns to leave out.
        categorical: Columns of numbers that are categories.
        views: View to its columns, or None.
    """
    shown = tuple(name for names in (views or {}).values() for name in names)
    source.need([*named, *dropped, *categorical, *shown], _HINT)
    features = sorted(set(source.names) - {*named, *dropped})
    if not features:
        raise DataFormatError(source.file, "no column is left to be a feature")
    first, numbering = first_batch(source, features), list[str]()
    if views is not None:
        _check_views(views, features, dropped, named)
        features = sorted(set(shown))
    else:
        numbering = [n for n in features if n not in categorical and n in source.index]
        numbering += [
            n for n in row_numbers(first, features) if n not in {*categorical, *numbering}
        ]
        features = [name for name in features if name not in numbering]
    if not features:
        raise DataFormatError(source.file, "no column is left to be a feature")
    notes = [f"left out {name}: it numbers the rows" for name in numbering]
    found = are_categorical(first, features, categorical)
    texts = tuple(set(found).difference(categorical))
    return _Columns(features, found, texts, [*notes, *suspicious(first, features)])


def written(
    label: str,
    benign_values: Any = None,
    family: str | None = None,
    entity: str | None = None,
    time: str | None = None,
    sep: str | None = None,
    encoding: str | None = None,
    missing: Names = (),
) -> Format:
    """The format of the table; the arguments are those of :func:`load`."""
    form = dialect(sep, encoding, _names(missing))
    label, family = label.strip(), _name(family)
    labels = Coder(partial(label_name, missing=form.missing), limit=MAX_FAMILIES, kind=LabelError)
    benign = _benign(benign_values)
    plain = _format(label, family, labels, benign, form)
    target = plain.target
    if benign_values is None:
        target = clear(target, label, labels, benign)
    return replace(plain, target=target, entity=_name(entity), clock=_name(time))


def _format(
    label: str, family: str | None, labels: Coder, benign: frozenset[str], form: Dialect
) -> Format:
    clean = as_category if family else label_name
    families = Coder(partial(clean, missing=form.missing), limit=MAX_FAMILIES, kind=LabelError)
    return Format(
        families,
        labels=(label, family) if family else (label,),
        target=lambda batch: _target(batch, label, family, labels, families, benign),
        category=partial(as_category, missing=form.missing),
        dialect=form,
    )


def _source(paths: Sequence[Path], frame: Any, form: Dialect) -> Batches:
    if (frame is None) == (not paths):
        raise ConfigError("data set 'custom' needs either path=FILE or frame=DATAFRAME")
    if frame is not None:
        return frame_batches(frame, form)
    return table_batches(paths[0], form=form)


def _names(names: Names) -> tuple[str, ...]:
    if isinstance(names, str):
        names = [name for name in names.split(",") if name.strip()]
    return tuple(str(name).strip() for name in names)


def _name(name: str | None) -> str | None:
    """A column as sources spell it: without spaces around it."""
    return None if name is None else name.strip()


def _check_views(
    views: Mapping[str, Sequence[str]],
    features: Sequence[str],
    dropped: Sequence[str],
    named: Sequence[str],
) -> None:
    for view, names in views.items():
        if not names:
            raise ConfigError(f"view {view!r} has no column")
        for name in names:
            if name in dropped or name in named:
                raise ConfigError(f"view {view!r} shows {name!r}, which is no feature")
    left = set(features) - {name for names in views.values() for name in names}
    if left:
        raise ConfigError(f"no view shows {', '.join(sorted(left))}; add them to one, or drop them")


def _benign(values: Any) -> frozenset[str]:
    if values is None:
        return frozenset(BENIGN_VALUES)
    if isinstance(values, str):
        values = _names(values)
    listed = values if isinstance(values, (list, tuple, set, frozenset)) else [values]
    if not listed:
        raise ConfigError("benign_values is empty; name the labels of benign rows")
    return frozenset(spelled(str(value)) for value in listed)


def _target(
    batch: Batch,
    label: str,
    family: str | None,
    labels: Coder,
    families: Coder,
    benign: frozenset[str],
) -> Target:
    batch = batch.as_text((label, family) if family else (label,))
    codes = labels.codes(batch, label)
    threat = np.array([spelled(name) not in benign for name in labels.names])[codes]
    if family is None:
        return families.codes(batch, label), threat
    absent = batch.absent(family)
    if (absent & threat).any():
        at = int((absent & threat).argmax())
        raise batch.error(
            f"{batch.shown(family, at)} is no family, and the row is a threat; name one, or leave "
            "family= out",
            at, family, LabelError,
        )  # fmt: skip
    found = families.codes(batch, family)
    return np.where(absent, families.add(_NO_FAMILY), found) if absent.any() else found, threat

"""Any labelled table: CSV (gzipped or not), Parquet, or a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from marl_stl_env.data.datasets.benign import BENIGN_VALUES, benign_problem, label_name, spelled
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

Names = str | Sequence[str]


def files(data_dir: Path | str | None = None, path: str | Path | None = None) -> tuple[Path, ...]:
    """The file at ``path``, or below the data folder, or of that name in it; none for a DataFrame.

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

    All columns are features but those named by ``label``, ``family``, ``entity``, ``time`` and
    ``drop``, the index of a DataFrame, and row numbers; ``notes`` of the table say what was left
    out. Where several names are taken, a text with commas between them serves as well. Text
    columns become categories; the columns of a CSV file are taken for numbers where the first
    8 MB of them are. Rows stand in time order, or in the file's order where there is no time.

    Args:
        paths: The file, as found.
        folder: Holds the features; None keeps them in memory.
        frame: A pandas DataFrame instead of a file.
        label: Column that says what a row is.
        benign_values: The labels of benign rows, however they are spelled; all others are
            threats. None takes 0, false, benign and normal, and refuses labels where none of these
            occurs or others may be benign as well.
        family: Column with the name of the attack family; None takes the label. Benign rows may
            have none.
        entity: Column with the host behind the event, or None. An event of no known host is the
            only one of its entity.
        time: Column with seconds or ISO 8601 times, or None.
        drop: Columns to leave out.
        categorical: Columns to take for categories although they hold numbers.
        views: View to its columns; None draws balanced views from the training rows.
        sep: What separates the fields of a CSV file: a character, or its name, such as ``tab``.
        encoding: Encoding of a CSV file; None is UTF-8.
        missing: Further texts that stand for "no value".

    Raises:
        ConfigError: If an option is missing or contradicts another.
        DataFileNotFoundError: If there is no such file.
        DataFormatError: If the table is not usable, with file, row and column.
    """
    form = dialect(sep, encoding, _names(missing))
    source = _source(paths, frame, form)
    if label is None:
        raise ConfigError("data set 'custom' needs label=COLUMN, the column that marks threats")
    named = [name for name in (label, family, entity, time) if name]
    dropped, texts = _names(drop), _names(categorical)
    shown = {view: _names(names) for view, names in views.items()} if views else None
    source.need([*named, *dropped, *texts, *(n for v in (shown or {}).values() for n in v)], _HINT)
    features = sorted(set(source.names) - {*named, *dropped})
    if not features:
        raise DataFormatError(source.file, "no column is left to be a feature")
    first, notes = first_batch(source, features), list[str]()
    if shown is not None:
        _check_views(shown, features, dropped, named)
        features = sorted({name for names in shown.values() for name in names})
    else:
        features, notes = _without_row_numbers(source, first, features, texts)
    if not features:
        raise DataFormatError(source.file, "no column is left to be a feature")
    labels = Coder(partial(label_name, missing=form.missing), limit=MAX_FAMILIES, kind=LabelError)
    benign = _benign(benign_values)
    found = are_categorical(first, features, texts)
    layout = Layout(
        _format(label, family, labels, benign, form),
        views=shown or {UNGROUPED: features},
        categorical=found,
        entity=entity,
        clock=time,
        time=(lambda batch: seconds(batch, time)) if time else None,
        missing=True,
        texts={n: partial(as_text_category, missing=form.missing) for n in {*found} - {*texts}},
    )
    table = build_table(
        DATASET.name, [source], layout, folder=folder,
        digests={path.name: file_digest(path) for path in paths},
        notes=[*notes, *suspicious(first, features)],
    )  # fmt: skip
    counts = _check_benign(source, label, labels, benign, given=benign_values is not None)
    return replace(table, benign=counts)


def _without_row_numbers(
    source: Batches, first: Batch, features: Sequence[str], kept: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The features without index columns and row numbers, and lines that say so."""
    left_out = [n for n in features if n not in kept and n in source.index]
    left_out += [n for n in row_numbers(first, features) if n not in {*kept, *left_out}]
    notes = [f"left out {name}: it numbers the rows" for name in left_out]
    return [name for name in features if name not in left_out], notes


def written(
    label: str,
    benign_values: Any = None,
    family: str | None = None,
    sep: str | None = None,
    encoding: str | None = None,
    missing: Names = (),
) -> Format:
    """How the table is written; the arguments are those of :func:`load`."""
    form = dialect(sep, encoding, _names(missing))
    labels = Coder(partial(label_name, missing=form.missing), limit=MAX_FAMILIES, kind=LabelError)
    return _format(label, family, labels, _benign(benign_values), form)


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
        names = [name.strip() for name in names.split(",") if name.strip()]
    return tuple(map(str, names))


def _check_views(
    views: Mapping[str, tuple[str, ...]],
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


def _check_benign(
    source: Batches, label: str, labels: Coder, benign: frozenset[str], *, given: bool
) -> dict[str, int]:
    """The benign labels with their rows.

    Raises:
        LabelError: If it is not clear which labels are benign.
    """
    problem = benign_problem(label, labels.names, benign, given=given)
    if problem is not None:
        shown = ", ".join(labels.names[:20])
        raise LabelError(
            source.file,
            f"{problem}; the labels are {shown}. Name the benign ones with benign_values=",
            column=label,
        )
    counts = {n: rows for n, rows in labels.counts.items() if spelled(n) in benign}
    return dict(sorted(counts.items(), key=lambda item: -item[1]))

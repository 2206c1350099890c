"""Any labelled table: CSV (gzipped or not), Parquet, or a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from marl_stl_env.data.info import Dataset
from marl_stl_env.data.ingest.batch import MISSING, Batch, Coder
from marl_stl_env.data.ingest.batches import Batches, frame_batches, table_batches
from marl_stl_env.data.ingest.build import (
    MAX_ENTITIES,
    MAX_FAMILIES,
    Format,
    Layout,
    Target,
    build_table,
)
from marl_stl_env.data.ingest.cache import file_digest
from marl_stl_env.data.ingest.clock import is_number, seconds
from marl_stl_env.data.ingest.locate import resolve_data_dir
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.data.views import UNGROUPED
from marl_stl_env.errors import ConfigError, DataFileNotFoundError, DataFormatError, LabelError

DATASET = Dataset(
    name="custom",
    summary="your own table: CSV, Parquet or a pandas DataFrame",
    licence="yours",
    citation="yours",
    dropped=("whatever drop= names; identifiers, addresses and times belong there",),
    defects=("whatever `marl-stl-data check custom ...` finds",),
)
#: Labels that are benign where ``benign_values`` does not say otherwise (case aside).
BENIGN_VALUES = ("0", "0.0", "false", "benign", "normal")
_HINT = "Check the names given by label=, family=, entity=, time=, drop=, views= and categorical=."

Names = str | Sequence[str]


def files(data_dir: Path | str | None = None, path: str | Path | None = None) -> tuple[Path, ...]:
    """The file at ``path``, or below the data folder, or of that name in it; none for a DataFrame.

    Args:
        data_dir: Folder with data files, or None.
        path: A CSV (``.csv``, ``.csv.gz``) or Parquet (``.parquet``, ``.pq``) file.

    Raises:
        DataFileNotFoundError: If there is no such file.
    """
    if path is None:
        return ()
    named, root = Path(path).expanduser(), resolve_data_dir(data_dir)
    choices = [named, *([root / named, root / named.name] if root else [])]
    for choice in dict.fromkeys(choices):
        if choice.is_file():
            return (choice,)
    raise DataFileNotFoundError(
        f"none of {', '.join(map(str, dict.fromkeys(choices)))} is a file; check the option path="
    )


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
) -> TrafficTable:
    """Read a labelled table.

    All columns are features but those named by ``label``, ``family``, ``entity``, ``time`` and
    ``drop``. Where several names are taken, a text with commas between them serves as well. Text
    columns become categories; the columns of a CSV file are taken for numbers where the first
    8 MB of them are. Rows stand in time order, or in the file's order where there is no time.

    Args:
        paths: The file, as found.
        folder: Holds the features; None keeps them in memory.
        frame: A pandas DataFrame instead of a file.
        label: Column that says what a row is.
        benign_values: The labels of benign rows; all others are threats. None takes 0, false,
            benign and normal, and refuses labels where none of these occurs.
        family: Column with the name of the attack family; None takes the label.
        entity: Column with the host behind the event, or None.
        time: Column with seconds or ISO 8601 times, or None.
        drop: Columns to leave out.
        categorical: Columns to take for categories although they hold numbers.
        views: View to its columns; None draws balanced views from the training rows.

    Raises:
        ConfigError: If an option is missing or contradicts another.
        DataFileNotFoundError: If there is no such file.
        DataFormatError: If the table is not usable, with file, row and column.
    """
    source = _source(paths, frame)
    if label is None:
        raise ConfigError("data set 'custom' needs label=COLUMN, the column that marks threats")
    named = [name for name in (label, family, entity, time) if name]
    dropped, texts = _names(drop), _names(categorical)
    shown = {view: _names(names) for view, names in views.items()} if views else None
    source.need([*named, *dropped, *texts, *(n for v in (shown or {}).values() for n in v)], _HINT)
    features = sorted(set(source.names) - {*named, *dropped})
    if shown is not None:
        _check_views(shown, features, dropped, named)
        features = sorted({name for names in shown.values() for name in names})
    if not features:
        raise DataFormatError(source.file, "no column is left to be a feature")
    labels = Coder(_family_name, limit=MAX_FAMILIES, kind=LabelError)
    benign = _benign(benign_values)
    layout = Layout(
        _format(label, family, labels, benign),
        views=shown or {UNGROUPED: features},
        categorical=_categorical(source, features, texts),
        entity=entity,
        clock=time,
        time=(lambda batch: seconds(batch, time)) if time else None,
        missing=True,
    )
    table = build_table(
        DATASET.name, [source], layout, folder=folder,
        digests={path.name: file_digest(path) for path in paths},
    )  # fmt: skip
    _check_benign(source, label, labels, benign, benign_values)
    return table


def written(label: str, benign_values: Any = None, family: str | None = None) -> Format:
    """How the table is written; the arguments are those of :func:`load`."""
    labels = Coder(_family_name, limit=MAX_FAMILIES, kind=LabelError)
    return _format(label, family, labels, _benign(benign_values))


def _format(label: str, family: str | None, labels: Coder, benign: frozenset[str]) -> Format:
    families = Coder(_family_name, limit=MAX_FAMILIES, kind=LabelError)
    return Format(
        families,
        labels=(label, family) if family else (label,),
        target=lambda batch: _target(batch, label, family, labels, families, benign),
    )


def _source(paths: Sequence[Path], frame: Any) -> Batches:
    if (frame is None) == (not paths):
        raise ConfigError("data set 'custom' needs either path=FILE or frame=DATAFRAME")
    if frame is not None:
        return frame_batches(frame)
    return table_batches(paths[0])


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


def _categorical(source: Batches, features: Sequence[str], texts: Sequence[str]) -> tuple[str, ...]:
    """The features that hold text, evaluated by the first batch."""
    first = next(iter(source.read(features)), None)
    if first is None:
        raise DataFormatError(source.file, "there are no rows below the header")
    return tuple(name for name in features if name in texts or not _is_numeric(first, name))


def _is_numeric(batch: Batch, column: str) -> bool:
    import pyarrow as pa

    kind = batch.columns[column].type
    if pa.types.is_temporal(kind):
        raise DataFormatError(
            batch.file, "a column of times is no feature; name it time= or drop= it", column=column
        )
    try:
        batch.numbers(column, missing=True)
    except DataFormatError as error:
        if error.row is None:  # no text, and no numbers either
            raise
        texts = Coder(limit=MAX_ENTITIES)
        texts.codes(batch, column)
        if any(is_number(text) for text in texts.names if text not in MISSING):
            raise DataFormatError(
                batch.file,
                f"{error.problem}, though other rows hold numbers; mend it, drop= the column, or "
                "take it for text with categorical=",
                row=error.row,
                column=column,
            ) from None
        return False
    return True


def _family_name(text: str) -> str:
    name = text.strip()
    if name in MISSING or name.lower() in ("nan", "inf", "-inf", "infinity", "-infinity"):
        raise ValueError(f"{text!r} is no label; remove the row or give it one")
    return name


def _benign(values: Any) -> frozenset[str]:
    if values is None:
        return frozenset(BENIGN_VALUES)
    if isinstance(values, str):
        values = _names(values)
    listed = values if isinstance(values, (list, tuple, set, frozenset)) else [values]
    if not listed:
        raise ConfigError("benign_values is empty; name the labels of benign rows")
    return frozenset(str(value).strip().lower() for value in listed)


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
    threat = np.array([name.lower() not in benign for name in labels.names])[codes]
    return families.codes(batch, family or label), threat


def _check_benign(
    source: Batches, label: str, labels: Coder, benign: frozenset[str], given: Any
) -> None:
    """Refuse benign values that do not occur: all rows would be threats."""
    found = {name.lower() for name in labels.names}
    missing = sorted(benign - found) if given is not None else []
    if missing or not benign & found:
        shown = ", ".join(labels.names[:20])
        raise LabelError(
            source.file,
            f"benign_values {', '.join(missing or sorted(benign))} do not occur; the labels are "
            f"{shown}. Name the benign ones with benign_values=",
            column=label,
        )

"""NSL-KDD: KDDTrain+.txt and KDDTest+.txt, pooled.

Tavallaee, Bagheri, Lu, Ghorbani (2009), "A detailed analysis of the KDD CUP 99 data set". There
are no times and no addresses, and the rows are published in random order. The last column, a
difficulty score derived from how many classifiers got the row right, is left out: it leaks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from marl_stl_env.data.cache import file_digest
from marl_stl_env.data.info import Dataset, Download
from marl_stl_env.data.locate import find_file, missing_file
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import DataFormatError
from marl_stl_env.types import AnyArray, BoolArray, Float32Array

FILES = ("KDDTrain+.txt", "KDDTest+.txt")
_ARCHIVES = (
    "http://cicresearch.ca/CICDataset/NSL-KDD/Dataset/NSL-KDD.zip",
    "http://205.174.165.80/CICDataset/NSL-KDD/Dataset/NSL-KDD.zip",
)
_DIGESTS = (
    "1b86d2f957b33082081bba410fe129b475efebcc13c9014c3f447c8271aadf95",
    "fa46b0935342616aa83b7c2578db355b6a7aaabbc492248172c7a1e8b7ab8f84",
)
DATASET = Dataset(
    name="nsl-kdd",
    summary="148,517 connections with an official test set of unseen attacks, 48.1 % attacks",
    licence="free for research, with citation",
    citation="Tavallaee, Bagheri, Lu, Ghorbani (2009), A detailed analysis of the KDD CUP 99 data "
    "set, IEEE CISDA",
    homepage="https://www.unb.ca/cic/datasets/nsl.html",
    folder="nsl_kdd",
    downloads=tuple(
        Download(_ARCHIVES, name, digest, member=name)
        for name, digest in zip(FILES, _DIGESTS, strict=True)
    ),
    dropped=("difficulty: how many classifiers got the row right; it leaks the label",),
    defects=(
        "derived from KDD Cup 1999 by removing duplicates; 664 test rows still have features that "
        "occur in train (their training rows are left out by the official split)",
        "7 train and 54 test feature vectors carry both labels",
        "num_outbound_cmds is constant; su_attempted takes the value 2 although it is a flag",
        "3,750 test rows are of 17 attack types absent from train: a random split is far easier",
        "no time and no addresses; simulated traffic of 1998",
    ),
)
CATEGORICAL = ("protocol_type", "service", "flag")
_VIEW_NAMES = {
    "basic": "duration protocol_type service flag src_bytes dst_bytes land wrong_fragment urgent",
    "content": "hot num_failed_logins logged_in num_compromised root_shell su_attempted num_root "
    "num_file_creations num_shells num_access_files num_outbound_cmds is_host_login "
    "is_guest_login",
    "time": "count srv_count serror_rate srv_serror_rate rerror_rate srv_rerror_rate "
    "same_srv_rate diff_srv_rate srv_diff_host_rate",
    "host": "dst_host_count dst_host_srv_count dst_host_same_srv_rate dst_host_diff_srv_rate "
    "dst_host_same_src_port_rate dst_host_srv_diff_host_rate dst_host_serror_rate "
    "dst_host_srv_serror_rate dst_host_rerror_rate dst_host_srv_rerror_rate",
}
VIEWS = {view: tuple(names.split()) for view, names in _VIEW_NAMES.items()}
FEATURES = tuple(name for names in VIEWS.values() for name in names)
_COLUMNS = (*FEATURES, "label", "difficulty")
_NUMERIC = tuple(name for name in _COLUMNS if name not in (*CATEGORICAL, "label"))
_NAME = re.compile(r"[A-Za-z0-9_.\-/]+")


@dataclass(frozen=True, eq=False)
class _File:
    """One file, checked: text columns as arrays of str, numbers as float32."""

    text: dict[str, AnyArray]
    numbers: dict[str, Float32Array]


def files(data_dir: Path | str | None = None) -> tuple[Path, ...]:
    """KDDTrain+.txt and KDDTest+.txt.

    Raises:
        DataFileNotFoundError: If one of the two is missing.
    """
    return tuple(_find(name, data_dir) for name in FILES)


def _find(name: str, data_dir: Path | str | None) -> Path:
    found = find_file(DATASET, [name], data_dir)
    if found is None:
        raise missing_file(DATASET, name, data_dir)
    return found


def load(
    paths: Sequence[Path],
    folder: Path | None = None,  # noqa: ARG001 - small enough for the memory
) -> TrafficTable:
    """Read both files as one raw table; ``official_test`` marks the rows of KDDTest+.txt.

    Raises:
        DataFormatError: If a file is not what it should be, with file, row and column.
    """
    parts = [_read(path) for path in paths]
    rows = [len(part.text["label"]) for part in parts]
    features = np.empty((sum(rows), len(FEATURES)), np.float32)
    categories: dict[str, tuple[str, ...]] = {}
    for column, name in enumerate(FEATURES):
        if name in CATEGORICAL:
            names, codes = np.unique(_pool(parts, name), return_inverse=True)
            categories[name], features[:, column] = tuple(map(str, names)), codes
        else:
            features[:, column] = np.concatenate([part.numbers[name] for part in parts])
    labels = _pool(parts, "label")
    names = np.unique(labels)
    family_names = ("normal", *(str(name) for name in names if name != "normal"))
    families = np.searchsorted(names, labels)
    code = np.array([family_names.index(str(name)) for name in names], np.int16)
    return TrafficTable(
        name="nsl-kdd",
        features=features,
        labels=labels != "normal",
        families=code[families],
        family_names=family_names,
        feature_names=FEATURES,
        views={
            view: tuple(FEATURES.index(name) for name in names) for view, names in VIEWS.items()
        },
        categories=categories,
        official_test=np.repeat([False, True], rows),
        source={path.name: file_digest(path) for path in paths},
    )


def _pool(parts: list[_File], name: str) -> AnyArray:
    return np.concatenate([part.text[name] for part in parts])


def _read(path: Path) -> _File:
    import pandas as pd

    content = path.read_bytes()
    _check_lines(path, content)
    frame = pd.read_csv(
        BytesIO(content.replace(b"\r\n", b"\n")),
        lineterminator="\n",
        header=None,
        names=list(_COLUMNS),
        dtype=dict.fromkeys((*CATEGORICAL, "label"), "category"),
        index_col=False,
        quoting=3,
        na_filter=False,
        skip_blank_lines=False,
        low_memory=False,
    )
    text = {name: _text(path, name, frame[name]) for name in (*CATEGORICAL, "label")}
    _check_labels(path, text["label"])
    return _File(text, {name: _numbers(path, name, frame[name]) for name in _NUMERIC})


def _check_lines(path: Path, content: bytes) -> None:
    """Refuse what is not text in lines of 43 fields."""
    if not content.strip():
        raise DataFormatError(path, "the file is empty; get it again")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n") + 1
        raise DataFormatError(
            path, f"byte {error.start} is not text; get it again", row=row
        ) from None
    raw = np.frombuffer(content, np.uint8)
    ends = np.flatnonzero(raw == ord("\n"))
    if content[-1:] != b"\n":
        ends = np.append(ends, len(raw))
    commas = np.searchsorted(np.flatnonzero(raw == ord(",")), ends)
    fields = np.diff(commas, prepend=0) + 1
    wrong = np.flatnonzero(fields != len(_COLUMNS))
    if wrong.size:
        row, last = int(wrong[0]) + 1, len(ends)
        cut = " (the file seems cut off)" if row == last and fields[-1] < len(_COLUMNS) else ""
        raise DataFormatError(
            path,
            f"{fields[row - 1]} fields instead of {len(_COLUMNS)} (41 features, label, "
            f"difficulty){cut}; get the .txt file again, not the .arff or the _20Percent one",
            row=row,
        )


def _text(path: Path, column: str, series: Any) -> AnyArray:
    """A text column as an array of str; odd names are refused."""
    names = [str(name) for name in series.cat.categories]
    for code, name in enumerate(names):
        if not _NAME.fullmatch(name):
            row = int((series.cat.codes.to_numpy() == code).argmax()) + 1
            what = "an empty value" if not name.strip() else f"{name!r} is not a name"
            raise DataFormatError(path, f"{what}; get the file again", row=row, column=column)
    return np.asarray(np.array(names)[series.cat.codes.to_numpy()])


def _check_labels(path: Path, labels: AnyArray) -> None:
    """Refuse spellings of "normal" that would turn benign rows into attacks, and numbers."""
    for name in map(str, np.unique(labels)):
        odd = name.endswith(".") or (name.lower() == "normal" and name != "normal")
        if odd or name[0].isdigit():
            raise DataFormatError(
                path,
                f"{name!r} is no NSL-KDD label: they are attack names such as neptune, or normal "
                "(KDD Cup 1999 files end them with a dot)",
                row=int((labels == name).argmax()) + 1,
                column="label",
            )


def _numbers(path: Path, column: str, series: Any) -> Float32Array:
    """A numeric column as float32; text, NaN and infinities are refused."""
    import pandas as pd

    if series.dtype == bool:  # pandas takes a column of True and False for truth values
        series = series.astype(str)
    with np.errstate(over="ignore"):
        values: Float32Array = pd.to_numeric(series, errors="coerce").to_numpy(np.float32)
    bad: BoolArray = ~np.isfinite(values)
    if bad.any():
        row = int(bad.argmax())
        raise DataFormatError(
            path,
            f"{series.iloc[row]!r} is not a finite number; get the file again",
            row=row + 1,
            column=column,
        )
    return values

"""NSL-KDD: KDDTrain+.txt and KDDTest+.txt, pooled.

Tavallaee, Bagheri, Lu, Ghorbani (2009), "A detailed analysis of the KDD CUP 99 data set". There
are no times and no addresses, and the rows are published in random order. The last column, a
difficulty score derived from how many classifiers got the row right, is left out: it leaks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from marl_stl_env.data.info import Dataset, Download
from marl_stl_env.data.ingest.batch import Batch
from marl_stl_env.data.ingest.build import MAX_FAMILIES, Format, Layout, Target, build_table
from marl_stl_env.data.ingest.cache import file_digest
from marl_stl_env.data.ingest.coder import Coder
from marl_stl_env.data.ingest.locate import find_file, missing_file
from marl_stl_env.data.ingest.readers.csv_rows import Dialect
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import LabelError
from marl_stl_env.types import IntArray

FILES = ("KDDTrain+.txt", "KDDTest+.txt")
FIFTH = "KDDTrain+_20Percent.txt"
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
COLUMNS = (*FEATURES, "label", "difficulty")
NORMAL = "normal"


def files(data_dir: Path | str | None = None) -> tuple[Path, ...]:
    """KDDTrain+.txt (or else its fifth, KDDTrain+_20Percent.txt) and KDDTest+.txt.

    Raises:
        DataFileNotFoundError: If one of the two is missing.
    """
    training, test = FILES
    return _find((training, FIFTH), data_dir), _find((test,), data_dir)


def _find(names: Sequence[str], data_dir: Path | str | None) -> Path:
    found = find_file(DATASET, names, data_dir)
    if found is None:
        raise missing_file(DATASET, names[0], data_dir)
    return found


def load(
    paths: Sequence[Path],
    folder: Path | None = None,  # noqa: ARG001 - small enough for the memory
    dialect: Dialect | None = None,
) -> TrafficTable:
    """Read the files as one raw table; ``official_test`` marks the rows of KDDTest+.txt.

    There is no official test set where no file, or every file, is a test file by its name.

    Raises:
        DataFormatError: If a file is not what it should be, with file, row and column.
    """
    form = written(dialect)
    tests = ["test" in path.name.lower() for path in paths]
    table = build_table(
        DATASET.name,
        [form.open(path) for path in paths],
        Layout(form, VIEWS, CATEGORICAL),
        official=tests if len(set(tests)) == 2 else None,
        digests={path.name: file_digest(path) for path in paths},
    )
    return _by_name(table)


def written(dialect: Dialect | None = None) -> Format:
    """How the files are written."""
    return kdd_format(_attack, COLUMNS, optional=1, dialect=dialect)


def kdd_format(
    family: Callable[[str], str],
    columns: Sequence[str],
    *,
    optional: int = 0,
    dialect: Dialect | None = None,
) -> Format:
    """The format of files in the style of KDD Cup 1999: no header, the attack as label.

    Args:
        family: From a label to the name of its family.
        columns: Columns of the files.
        optional: Number of trailing columns that may be missing.
        dialect: How the files are written; None is UTF-8 with commas.
    """
    families = Coder(family, limit=MAX_FAMILIES, kind=LabelError)
    normal = families.add(NORMAL)

    def target(batch: Batch) -> Target:
        codes = families.codes(batch, "label")
        return codes, codes != normal

    return Format(
        families,
        labels=("label",),
        target=target,
        header=columns,
        optional=optional,
        quoted=False,
        dialect=dialect,
    )


def _attack(text: str) -> str:
    """A label as it is.

    Raises:
        ValueError: If it is a number, or a spelling of "normal" that would become an attack.
    """
    odd = text.endswith(".") or (text.lower() == NORMAL and text != NORMAL)
    if odd or not text[:1].isalpha():
        raise ValueError(
            f"{text!r} is no NSL-KDD label: they are attack names such as neptune, or normal "
            "(KDD Cup 1999 files end them with a dot)"
        )
    return text


def _by_name(table: TrafficTable) -> TrafficTable:
    """The table with attacks and categories coded in the order of their names.

    Splits and columns then do not depend on which row comes first.
    """
    features, categories = np.array(table.features), {}
    for name in CATEGORICAL:
        column = table.feature_names.index(name)
        categories[name], code = _sorted(table.categories[name])
        features[:, column] = code[features[:, column].astype(np.int64)]
    attacks, code = _sorted(table.family_names[1:])
    families = np.append(0, code + 1).astype(np.int16)[table.families]
    return replace(
        table,
        features=features,
        categories=categories,
        families=families,
        family_names=(NORMAL, *attacks),
    )


def _sorted(names: tuple[str, ...]) -> tuple[tuple[str, ...], IntArray]:
    """Names in order, and the new code of each old one."""
    order = np.argsort(names)
    return tuple(names[i] for i in order), np.argsort(order)

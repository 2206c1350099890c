"""KDD Cup 1999: the local gzipped file, or scikit-learn's copy of it.

Ten per cent of the connections, 494,021 rows, or all of them; the columns are those of NSL-KDD.
Rows stand in label blocks and are shuffled with a fixed seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from marl_stl_env.data.datasets import nsl_kdd
from marl_stl_env.data.info import Dataset, Download
from marl_stl_env.data.ingest.batches import Batches, frame_batches
from marl_stl_env.data.ingest.build import Format, Layout, build_table
from marl_stl_env.data.ingest.cache import file_digest
from marl_stl_env.data.ingest.locate import find_file, missing_file
from marl_stl_env.data.ingest.readers.csv_rows import Dialect
from marl_stl_env.data.table import TrafficTable

NAMES = (
    "kddcup.data_10_percent.gz",
    "kddcup.data_10_percent",
    "kddcup.data_10_percent_corrected",
    "kddcup.data.gz",
    "kddcup.data",
)
_SKLEARN = "kddcup99_10-py3"
DATASET = Dataset(
    name="kdd99",
    summary="494,021 connections (the 10 % file), 22 attack types, 80.3 % attacks",
    licence="public; the UCI KDD archive asks for citation",
    citation="KDD Cup 1999 data, UCI KDD Archive, from the 1998 DARPA evaluation of MIT Lincoln "
    "Laboratory",
    homepage="https://kdd.ics.uci.edu/databases/kddcup99/kddcup99.html",
    folder="kdd99",
    downloads=(
        Download(
            urls=(
                "https://kdd.ics.uci.edu/databases/kddcup99/kddcup.data_10_percent.gz",
                "https://ndownloader.figshare.com/files/5976042",
            ),
            name="kddcup.data_10_percent.gz",
            sha256="8045aca0d84e70e622d1148d7df782496f6333bf6eb979a1b0837c42a9fd9561",
        ),
    ),
    dropped=("the label in the last column; it becomes the family",),
    defects=(
        "70.5 % of the rows are exact duplicates, most of them floods: use --drop-duplicates "
        "(any classifier looks perfect on the rest of them)",
        "labels end with a dot; num_outbound_cmds is constant; su_attempted takes the value 2",
        "simulated traffic of 1998, with artefacts of the simulation: McHugh (2000), Testing "
        "intrusion detection systems",
    ),
)
_COLUMNS = (*nsl_kdd.FEATURES, "label")


def files(data_dir: Path | str | None = None) -> tuple[Path, ...]:
    """The local file, or else scikit-learn's copy.

    Raises:
        DataFileNotFoundError: If neither is there.
    """
    found = find_file(DATASET, NAMES, data_dir)
    if found is not None:
        return (found,)
    from sklearn.datasets import get_data_home

    folder = Path(get_data_home()) / _SKLEARN
    copies = (folder / "samples", folder / "targets")
    if all(copy.is_file() for copy in copies):
        return copies
    raise missing_file(
        DATASET, f"{NAMES[0]} (or scikit-learn's copy by fetch_kddcup99())", data_dir
    )


def load(
    paths: Sequence[Path], folder: Path | None = None, dialect: Dialect | None = None
) -> TrafficTable:
    """Read the connections into a raw table.

    Raises:
        DataFormatError: If the file is not what it should be, with file, row and column.
    """
    form = written(dialect)
    copy = paths[0].parent.name == _SKLEARN
    sources = [_sklearn_batches(paths[0].parent)] if copy else [form.open(p) for p in paths]
    return build_table(
        DATASET.name, sources, Layout(form, nsl_kdd.VIEWS, nsl_kdd.CATEGORICAL),
        folder=folder, shuffle=True,
        digests={path.name: file_digest(path) for path in paths},
    )  # fmt: skip


def written(dialect: Dialect | None = None) -> Format:
    """How the files are written."""
    return nsl_kdd.kdd_format(family_name, _COLUMNS, dialect=dialect)


def family_name(text: str) -> str:
    """The attack's name without the dot at its end.

    Raises:
        ValueError: If there is no dot: NSL-KDD and other derived files have none.
    """
    if not text.endswith(".") or not text[:1].isalpha():
        raise ValueError(
            f"{text!r} is no KDD Cup 1999 label: they end with a dot, such as 'neptune.'; files "
            "without the dot belong to data set nsl-kdd"
        )
    return text[:-1]


def _sklearn_batches(folder: Path) -> Batches:
    import pandas as pd
    from sklearn.datasets import fetch_kddcup99

    fetched: Any = fetch_kddcup99(
        percent10=True, data_home=str(folder.parent), download_if_missing=False
    )
    frame = pd.DataFrame(fetched["data"], columns=list(nsl_kdd.FEATURES))
    frame["label"] = fetched["target"]
    for name in nsl_kdd.FEATURES:
        if name not in nsl_kdd.CATEGORICAL:
            frame[name] = pd.to_numeric(frame[name])
    return frame_batches(frame)

"""CTU-13: botnet captures as bidirectional flows (``*.binetflow``).

Garcia, Grill, Stiborek and Zunino (2014). All scenarios of the folder are read as one table in
time order; source addresses become entities. Flows *from* a bot are threats; flows *to* one, sent
by unknown machines, and Background flows count as benign, as the publishers ask.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from marl_stl_env.data.info import Dataset
from marl_stl_env.data.ingest.batch import Batch
from marl_stl_env.data.ingest.build import MAX_FAMILIES, Format, Layout, Target, build_table
from marl_stl_env.data.ingest.cache import file_digest
from marl_stl_env.data.ingest.clock import seconds
from marl_stl_env.data.ingest.coder import Coder
from marl_stl_env.data.ingest.locate import find_all, missing_file
from marl_stl_env.data.ingest.readers.csv_rows import Dialect
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import LabelError, UnknownNameError
from marl_stl_env.types import BoolArray

DATASET = Dataset(
    name="ctu-13",
    summary="13 captures of a university network with real bots, about 20 million flows; "
    "entities and times",
    licence="CC BY, with citation",
    citation="Garcia, Grill, Stiborek, Zunino (2014), An empirical comparison of botnet detection "
    "methods, Computers & Security 45",
    homepage="https://www.stratosphereips.org/datasets-ctu13",
    folder="ctu_13",
    dropped=(
        "SrcAddr, DstAddr, Sport, Dport: identity; a few addresses are all the bots there are "
        "(SrcAddr becomes the entity)",
        "StartTime: bots were switched on at known hours; it becomes the time",
        "Label beyond its family: it names services and addresses",
    ),
    defects=(
        "Background is unlabelled traffic, not proven benign: background=drop leaves it out",
        "bots are 0.02 to 8 % of the flows of a scenario, and some scenarios have one bot only",
        "Normal flows come from a handful of machines",
    ),
)
VIEWS = {
    "timing": ("Dur", "Dir"),
    "protocol": ("Proto", "sTos", "dTos"),
    "state": ("State",),
    "volume": ("TotPkts", "TotBytes", "SrcBytes"),
}
CATEGORICAL = ("Dir", "Proto", "State")
_FORMATS = ("%Y/%m/%d %H:%M:%S.%f", "%Y/%m/%d %H:%M:%S")
_LABEL = re.compile(r"(?:flow=)?(From-|To-)?(Botnet|Normal|Background)(?:-V(\d+))?(?:[-.].*)?")
_BOTNET = "from-botnet"


def files(data_dir: Path | str | None = None, pattern: str = "*.binetflow") -> tuple[Path, ...]:
    """The flow files of the folder that match the pattern.

    Raises:
        DataFileNotFoundError: If there is none.
    """
    found = find_all(DATASET, pattern, data_dir)
    if not found:
        raise missing_file(DATASET, f"a flow file ({pattern})", data_dir)
    return found


def load(
    paths: Sequence[Path],
    folder: Path | None = None,
    background: Literal["benign", "drop"] = "benign",
    dialect: Dialect | None = None,
) -> TrafficTable:
    """Read the files into one raw table in time order.

    Args:
        paths: The files.
        folder: Holds the features; None keeps them in memory.
        background: Whether Background flows are benign, or left out.
        dialect: How the files are written; None is UTF-8 with commas.

    Raises:
        UnknownNameError: If ``background`` is neither.
        DataFormatError: If a file is not what it should be, with file, row and column.
    """
    form = written(background, dialect)
    layout = Layout(
        form,
        views=VIEWS,
        categorical=CATEGORICAL,
        time=lambda batch: seconds(batch, "StartTime", _FORMATS),
        missing=True,  # the type-of-service fields are often empty
    )
    return build_table(
        DATASET.name, [form.open(path) for path in paths], layout, folder=folder,
        digests={path.name: file_digest(path) for path in paths},
    )  # fmt: skip


def written(
    background: Literal["benign", "drop"] = "benign", dialect: Dialect | None = None
) -> Format:
    """How the files are written.

    Raises:
        UnknownNameError: If ``background`` is neither.
    """
    if background not in ("benign", "drop"):
        raise UnknownNameError("background", background, ("benign", "drop"))
    families = Coder(family_name, limit=MAX_FAMILIES, kind=LabelError)
    return Format(
        families,
        labels=("Label",),
        target=lambda batch: _target(batch, families),
        keep=_not_background if background == "drop" else None,
        entity="SrcAddr",
        clock="StartTime",
        times=_FORMATS,
        dialect=dialect,
    )


def family_name(text: str) -> str:
    """The family of a label: "from-botnet V42", "normal", "to-normal", "background", ...

    Raises:
        ValueError: If the text is of no known form.
    """
    match = _LABEL.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"{text[:60]!r} is no CTU-13 label: they read flow=From-Botnet-..., "
            "flow=From-Normal-..., flow=Background-... or likewise"
        )
    direction, kind, scenario = match.groups()
    kind = kind.lower()
    if kind == "botnet" and direction != "To-":
        return f"{_BOTNET} V{scenario}" if scenario else _BOTNET
    return f"to-{kind}" if direction == "To-" else kind


def _target(batch: Batch, families: Coder) -> Target:
    codes = families.codes(batch, "Label")
    threat = np.array([name.startswith(_BOTNET) for name in families.names])
    return codes, threat[codes]


def _not_background(batch: Batch) -> BoolArray:
    names = Coder(family_name, limit=MAX_FAMILIES, kind=LabelError)
    codes = names.codes(batch, "Label")
    return np.array([not name.endswith("background") for name in names.names])[codes]

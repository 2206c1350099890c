"""Zeek connection logs (``conn.log``), labelled or not: tab-separated text or JSON lines.

The label columns are those of the Stratosphere laboratory's logs and of IoT-23, which joins the
last three columns in one field. Logs without labels are decided on, but cannot train.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from marl_stl_env.data.info import Dataset
from marl_stl_env.data.ingest.batch import Batch
from marl_stl_env.data.ingest.build import MAX_FAMILIES, Format, Layout, Target, build_table
from marl_stl_env.data.ingest.cache import file_digest
from marl_stl_env.data.ingest.clock import seconds
from marl_stl_env.data.ingest.coder import Coder
from marl_stl_env.data.ingest.locate import find_all, missing_file
from marl_stl_env.data.ingest.readers.zeek_rows import zeek_batches
from marl_stl_env.data.ingest.texts import as_category
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import DataFormatError, LabelError

DATASET = Dataset(
    name="zeek",
    summary="your own or published Zeek conn.log files with labels, such as IoT-23; entities and "
    "times",
    licence="that of the log; IoT-23 is free for research, with citation",
    citation="Garcia, Parmisano, Erquiaga (2020), IoT-23: a labeled dataset with malicious and "
    "benign IoT network traffic",
    homepage="https://www.stratosphereips.org/datasets-iot23",
    folder="zeek",
    dropped=(
        "id.orig_h, id.resp_h, id.orig_p, id.resp_p, uid: identity of the hosts and sessions "
        "(id.orig_h becomes the entity)",
        "ts: attacks have their own hours; it becomes the time",
        "local_orig, local_resp: where the attackers are outside they tell the label",
        "history, tunnel_parents, detailed-label: texts without end, and the label itself (it "
        "becomes the family)",
    ),
    defects=(
        "- is a missing value; a missing category is a category of its own",
        "Background flows of the Stratosphere logs are unlabelled traffic, not proven benign; they "
        "count as benign",
    ),
)
VIEWS = {
    "protocol": ("proto", "service"),
    "state": ("conn_state", "duration", "missed_bytes"),
    "sent": ("orig_bytes", "orig_pkts", "orig_ip_bytes"),
    "received": ("resp_bytes", "resp_pkts", "resp_ip_bytes"),
}
CATEGORICAL = ("proto", "service", "conn_state")
_DETAIL = "detailed-label"
_BENIGN = ("benign", "background")
_THREAT = "malicious"


def files(data_dir: Path | str | None = None, pattern: str = "*conn.log*") -> tuple[Path, ...]:
    """The logs of the folder that match the pattern.

    Raises:
        DataFileNotFoundError: If there is none.
    """
    found = find_all(DATASET, pattern, data_dir)
    if not found:
        raise missing_file(DATASET, f"a Zeek log ({pattern})", data_dir)
    return found


def load(paths: Sequence[Path], folder: Path | None = None) -> TrafficTable:
    """Read the logs into one raw table in time order.

    Raises:
        DataFormatError: If a log has no labels, or is not what it should be.
    """
    form = written()
    sources = [form.open(path) for path in paths]
    for source in sources:
        if "label" not in source.names:
            raise DataFormatError(
                source.file,
                "this log has no labels, and training needs them; label it (a column 'label' with "
                f"{_THREAT.title()} or {_BENIGN[0].title()}), or let a trained run decide on it",
                column="label",
            )
    layout = Layout(
        form,
        views=VIEWS,
        categorical=CATEGORICAL,
        time=partial(seconds, column="ts"),
        missing=True,
    )
    return build_table(
        DATASET.name, sources, layout, folder=folder,
        digests={path.name: file_digest(path) for path in paths},
    )  # fmt: skip


def written() -> Format:
    """How the logs are written."""
    families = Coder(as_category, limit=MAX_FAMILIES, kind=LabelError)
    families.add(_BENIGN[0])
    return Format(
        families,
        labels=("label", _DETAIL),
        target=lambda batch: _target(batch, families),
        rename=clean_header,
        category=as_category,
        reader=lambda path: zeek_batches(path, rename=clean_header),
        entity="id.orig_h",
        clock="ts",
    )


def clean_header(names: list[str]) -> list[str]:
    """Names in lower case; the detailed label has one name."""
    clean = [name.strip().lower() for name in names]
    return [_DETAIL if name in ("detailedlabel", "detailed_label") else name for name in clean]


def _target(batch: Batch, families: Coder) -> Target:
    """Benign rows have the family of their label, threats that of the detailed label."""
    words = Coder(_label, limit=3, kind=LabelError)
    codes = words.codes(batch, "label")
    threat = np.array([name == _THREAT for name in words.names])[codes]
    detailed = threat & ~batch.absent(_DETAIL)
    found = np.zeros(len(batch), np.int64)
    if detailed.any():
        found[detailed] = families.codes(batch.where(detailed), _DETAIL)
    for code, name in enumerate(words.names):
        rest = (codes == code) & ~detailed
        if rest.any():
            found[rest] = families.add(name)
    return found, threat


def _label(text: str) -> str:
    name = text.strip().lower()
    if name not in (*_BENIGN, _THREAT):
        raise ValueError(
            f"{text[:40]!r} is no label of a Zeek log: they are Benign, Background and Malicious"
        )
    return name

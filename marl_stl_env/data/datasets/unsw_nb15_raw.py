"""UNSW-NB15, the raw flows: UNSW-NB15_1.csv to UNSW-NB15_4.csv, with hosts and times.

2,540,044 flows with the 49 columns of the published feature list, without a header line. The
source address becomes the entity, the start of a flow its time; neither is a feature.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from marl_stl_env.data.datasets import unsw_nb15
from marl_stl_env.data.info import Dataset
from marl_stl_env.data.ingest.batch import Batch
from marl_stl_env.data.ingest.build import MAX_FAMILIES, Format, Layout, build_table
from marl_stl_env.data.ingest.cache import file_digest
from marl_stl_env.data.ingest.coder import Coder
from marl_stl_env.data.ingest.locate import find_all, missing_file
from marl_stl_env.data.ingest.readers.csv_rows import Dialect
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import LabelError
from marl_stl_env.types import BoolArray

_NAMES = """
srcip sport dstip dsport proto state dur sbytes dbytes sttl dttl sloss dloss service sload dload
spkts dpkts swin dwin stcpb dtcpb smeansz dmeansz trans_depth res_bdy_len sjit djit stime ltime
sintpkt dintpkt tcprtt synack ackdat is_sm_ips_ports ct_state_ttl ct_flw_http_mthd is_ftp_login
ct_ftp_cmd ct_srv_src ct_srv_dst ct_dst_ltm ct_src_ltm ct_src_dport_ltm ct_dst_sport_ltm
ct_dst_src_ltm attack_cat label
"""
COLUMNS = tuple(_NAMES.split())
DATASET = Dataset(
    name="unsw-nb15-raw",
    summary="2,540,044 raw flows with source addresses (entities) and times, 12.6 % attacks",
    licence=unsw_nb15.LICENCE,
    citation=unsw_nb15.CITATION,
    homepage=unsw_nb15.HOMEPAGE,
    folder="unsw_nb15",
    dropped=(
        "srcip: every attack comes from 175.45.176.0 to 175.45.176.3; it becomes the entity",
        "dstip, sport, dsport: identity of the hosts and sessions of the test bed",
        "stime, ltime: the time of day tells the attack campaigns apart; stime becomes the time",
        "attack_cat: the label itself; it becomes the family",
    ),
    defects=(
        "no header line; padded and doubled family names (' Fuzzers ', Backdoor and Backdoors)",
        "ct_flw_http_mthd, is_ftp_login and ct_ftp_cmd are empty where they do not apply; empty "
        "counts as missing",
        "sttl and ct_state_ttl are near-labels, as in the published split",
    ),
)
VIEWS = {
    "flow": "dur proto service state spkts dpkts sbytes dbytes sttl dttl sload dload sloss dloss",
    "content": "swin stcpb dtcpb dwin smeansz dmeansz trans_depth res_bdy_len",
    "time": "sintpkt dintpkt sjit djit tcprtt synack ackdat",
    "counters": unsw_nb15.VIEWS["counters"],
}


def files(data_dir: Path | str | None = None) -> tuple[Path, ...]:
    """The raw files; parts of them (such as ``UNSW-NB15_1_head20000.csv``) where none is there.

    Raises:
        DataFileNotFoundError: If there is none.
    """
    found = find_all(DATASET, "UNSW-NB15_[1-4].csv", data_dir) or find_all(
        DATASET, "UNSW-NB15_[1-4]*.csv", data_dir
    )
    if not found:
        raise missing_file(DATASET, "UNSW-NB15_1.csv (to UNSW-NB15_4.csv)", data_dir)
    return found


def load(
    paths: Sequence[Path], folder: Path | None = None, dialect: Dialect | None = None
) -> TrafficTable:
    """Read the files into one raw table in time order.

    Raises:
        DataFormatError: If a file is not what it should be, with file, row and column.
    """
    form = written(dialect)
    layout = Layout(
        form,
        views={view: names.split() for view, names in VIEWS.items()},
        categorical=unsw_nb15.CATEGORICAL,
        time=lambda batch: batch.numbers("stime", missing=False),
        missing=True,
    )
    return build_table(
        DATASET.name,
        [form.open(path) for path in paths],
        layout,
        folder=folder,
        digests={path.name: file_digest(path) for path in paths},
    )


def written(dialect: Dialect | None = None) -> Format:
    """How the files are written."""
    families = Coder(unsw_nb15.family_name, limit=MAX_FAMILIES, kind=LabelError)
    families.add(unsw_nb15.NORMAL)
    return Format(
        families,
        labels=("attack_cat", "label"),
        target=lambda batch: unsw_nb15.target(batch, families, "attack_cat", "label"),
        keep=_events,
        header=COLUMNS,
        rename=unsw_nb15.lower,
        entity="srcip",
        clock="stime",
        dialect=dialect,
    )


def _events(batch: Batch) -> BoolArray:
    """Rows that are no repeated header."""
    return np.logical_not(batch.equals("label", "Label") | batch.equals("label", "label"))

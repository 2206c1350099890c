"""CIC-IDS2017: the MachineLearningCVE files, or the flow files with hosts and times.

Sharafaldin, Lashkari and Ghorbani (2018). All CSV files of the folder are read as one table. Flow
files (GeneratedLabelledFlows, "TrafficLabelling") also give entities and times; the others are
shuffled with a fixed seed, because attacks stand in blocks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from marl_stl_env.data.info import Dataset, Download
from marl_stl_env.data.ingest.batch import Batch
from marl_stl_env.data.ingest.batches import Batches
from marl_stl_env.data.ingest.build import MAX_FAMILIES, Format, Layout, Target, build_table
from marl_stl_env.data.ingest.cache import file_digest
from marl_stl_env.data.ingest.clock import seconds
from marl_stl_env.data.ingest.coder import Coder
from marl_stl_env.data.ingest.locate import find_all, missing_file
from marl_stl_env.data.ingest.readers.csv_rows import Dialect
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import DataFormatError, LabelError
from marl_stl_env.types import BoolArray, Float64Array

DATASET = Dataset(
    name="cic-ids2017",
    summary="2.8 million flows of five days, 14 attack families; entities and times in the flow "
    "files",
    licence="free to use and redistribute, with citation",
    citation="Sharafaldin, Lashkari, Ghorbani (2018), Toward generating a new intrusion detection "
    "dataset and intrusion traffic characterization, ICISSP",
    homepage="https://www.unb.ca/cic/datasets/ids-2017.html",
    folder="cic_ids2017",
    downloads=(
        Download(
            urls=(
                "http://cicresearch.ca/CICDataset/CIC-IDS-2017/Dataset/CIC-IDS-2017/CSVs/"
                "MachineLearningCSV.zip",
                "http://205.174.165.80/CICDataset/CIC-IDS-2017/Dataset/CIC-IDS-2017/CSVs/"
                "MachineLearningCSV.zip",
            ),
            name="MachineLearningCSV.zip",
            sha256="c3f26274b36c837ccf28ffd2dbf4582941c30b3ee70a635c6e5b2f87c4727928",
        ),
    ),
    dropped=(
        "Flow ID, Source IP, Destination IP, Source Port: identity of the hosts and sessions",
        "Destination Port: a near-label for the password-guessing attacks",
        "Timestamp: every attack has its own hour; it becomes the time",
        "Protocol: only the flow files have it",
        "Fwd Header Length.1: a copy of Fwd Header Length",
        "id, Attempted Category and the further columns of the corrected release",
    ),
    defects=(
        "labelling errors, and flows that CICFlowMeter cut in two: Engelen, Rimmer, Joosen "
        "(2021), Troubleshooting an intrusion detection dataset: the CICIDS2017 case study",
        "more labelling errors, and duplicated packets: Lanvin et al. (2022), Errors in the "
        "CICIDS2017 dataset and the significant differences in detection performances it makes",
        "header names begin with a space; header lines are repeated inside files (left out)",
        "Infinity and NaN in Flow Bytes/s and Flow Packets/s (kept; scaled by the stated rule)",
        "a broken dash in the Web Attack labels; a block of empty rows in the Thursday morning "
        "flow file (left out); negative durations",
        "times of the flow files lack AM and PM: hours before 8 are taken for the afternoon, in "
        "files without AM, PM and an hour after 12",
        "the corrected release (Liu, Engelen, Lynar, Essam, Joosen 2022, Error prevalence in NIDS "
        "datasets) is recognised by its header and read with the columns of the original; its "
        "'... - Attempted' flows count as benign",
    ),
)
_TIME_NAMES = ("Duration", "IAT", "Active", "Idle", "/s")
_HEADER_NAMES = ("Flag", "Header", "Init_Win", "min_seg", "Down/Up")
_SIZE_NAMES = ("Length", "Size")
FEATURES = tuple(
    """Flow Duration,Total Fwd Packets,Total Backward Packets,Total Length of Fwd Packets,
Total Length of Bwd Packets,Fwd Packet Length Max,Fwd Packet Length Min,Fwd Packet Length Mean,
Fwd Packet Length Std,Bwd Packet Length Max,Bwd Packet Length Min,Bwd Packet Length Mean,
Bwd Packet Length Std,Flow Bytes/s,Flow Packets/s,Flow IAT Mean,Flow IAT Std,Flow IAT Max,
Flow IAT Min,Fwd IAT Total,Fwd IAT Mean,Fwd IAT Std,Fwd IAT Max,Fwd IAT Min,Bwd IAT Total,
Bwd IAT Mean,Bwd IAT Std,Bwd IAT Max,Bwd IAT Min,Fwd PSH Flags,Bwd PSH Flags,Fwd URG Flags,
Bwd URG Flags,Fwd Header Length,Bwd Header Length,Fwd Packets/s,Bwd Packets/s,Min Packet Length,
Max Packet Length,Packet Length Mean,Packet Length Std,Packet Length Variance,FIN Flag Count,
SYN Flag Count,RST Flag Count,PSH Flag Count,ACK Flag Count,URG Flag Count,CWE Flag Count,
ECE Flag Count,Down/Up Ratio,Average Packet Size,Avg Fwd Segment Size,Avg Bwd Segment Size,
Fwd Avg Bytes/Bulk,Fwd Avg Packets/Bulk,Fwd Avg Bulk Rate,Bwd Avg Bytes/Bulk,Bwd Avg Packets/Bulk,
Bwd Avg Bulk Rate,Subflow Fwd Packets,Subflow Fwd Bytes,Subflow Bwd Packets,Subflow Bwd Bytes,
Init_Win_bytes_forward,Init_Win_bytes_backward,act_data_pkt_fwd,min_seg_size_forward,Active Mean,
Active Std,Active Max,Active Min,Idle Mean,Idle Std,Idle Max,Idle Min""".replace("\n", "").split(
        ","
    )
)
BENIGN = "BENIGN"
#: How the corrected release marks flows of an attack that never came about; they carry nothing
#: malicious, and its authors advise to count them as benign.
_ATTEMPTED = " - Attempted"
_FORMATS = (
    "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%d/%m/%Y %I:%M:%S %p", "%d/%m/%Y %I:%M %p",
    "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S",
)  # fmt: skip
_FIRST_HOUR, _NOON = 8, 12
#: Columns of the corrected release (Liu et al. 2022) to their names in the original one.
_CORRECTED = {
    "Src IP": "Source IP",
    "Dst IP": "Destination IP",
    "Src Port": "Source Port",
    "Dst Port": "Destination Port",
    "Total Fwd Packet": "Total Fwd Packets",
    "Total Bwd packets": "Total Backward Packets",
    "Total Length of Fwd Packet": "Total Length of Fwd Packets",
    "Total Length of Bwd Packet": "Total Length of Bwd Packets",
    "Packet Length Min": "Min Packet Length",
    "Packet Length Max": "Max Packet Length",
    "CWR Flag Count": "CWE Flag Count",
    "Fwd Segment Size Avg": "Avg Fwd Segment Size",
    "Bwd Segment Size Avg": "Avg Bwd Segment Size",
    "Fwd Bytes/Bulk Avg": "Fwd Avg Bytes/Bulk",
    "Fwd Packet/Bulk Avg": "Fwd Avg Packets/Bulk",
    "Fwd Bulk Rate Avg": "Fwd Avg Bulk Rate",
    "Bwd Bytes/Bulk Avg": "Bwd Avg Bytes/Bulk",
    "Bwd Packet/Bulk Avg": "Bwd Avg Packets/Bulk",
    "Bwd Bulk Rate Avg": "Bwd Avg Bulk Rate",
    "FWD Init Win Bytes": "Init_Win_bytes_forward",
    "Bwd Init Win Bytes": "Init_Win_bytes_backward",
    "Fwd Act Data Pkts": "act_data_pkt_fwd",
    "Fwd Seg Size Min": "min_seg_size_forward",
}
_IS_CORRECTED = "Total Fwd Packet"


def files(data_dir: Path | str | None = None, pattern: str = "*.csv") -> tuple[Path, ...]:
    """The CSV files of the folder that match the pattern.

    Raises:
        DataFileNotFoundError: If there is none.
    """
    found = find_all(DATASET, pattern, data_dir)
    if not found:
        raise missing_file(DATASET, f"a CSV file ({pattern})", data_dir)
    return found


def load(
    paths: Sequence[Path], folder: Path | None = None, dialect: Dialect | None = None
) -> TrafficTable:
    """Read the files into one raw table.

    Raises:
        DataFormatError: If a file is not what it should be, with file, row and column.
    """
    form = written(dialect)
    sources = [form.open(path) for path in paths]
    flows = _are_flows(sources)
    clock = HalfDayClock()
    layout = Layout(
        form if flows else replace(form, entity=None, clock=None),
        views=_views(),
        categorical=(),
        time=clock.times if flows else None,
        repair=clock.repaired,
        missing=True,
    )
    return build_table(
        DATASET.name, sources, layout, folder=folder, shuffle=not flows,
        digests={path.name: file_digest(path) for path in paths},
    )  # fmt: skip


def written(dialect: Dialect | None = None) -> Format:
    """How the files are written."""
    families = Coder(family_name, limit=MAX_FAMILIES, fallback="cp1252", kind=LabelError)
    families.add(BENIGN)
    return Format(
        families,
        labels=("Label",),
        target=lambda batch: _target(batch, families),
        keep=_events,
        rename=clean_header,
        fallback="cp1252",
        dialect=dialect,
        entity="Source IP",
        clock="Timestamp",
        times=_FORMATS,
    )


def clean_header(names: list[str]) -> list[str]:
    """Names without spaces around them; the second "Fwd Header Length" is told apart.

    Columns of the corrected release get the names of the original one.
    """
    clean = [name.strip() for name in names]
    if _IS_CORRECTED in clean:
        clean = [_CORRECTED.get(name, name) for name in clean]
    name = "Fwd Header Length"
    if clean.count(name) == 2 and f"{name}.1" not in clean:
        clean[len(clean) - 1 - clean[::-1].index(name)] = f"{name}.1"
    return clean


def family_name(text: str) -> str:
    """The name of a label, with the broken dash of the Web Attack labels mended.

    Raises:
        ValueError: If it is empty or a number.
    """
    name = re.sub(r"\s*[^\x20-\x7e]+\s*", " - ", text).strip()
    if not name or not name[0].isalpha():
        raise ValueError(f"{text!r} is no label: they are BENIGN or the name of an attack")
    return BENIGN if name.upper() == BENIGN else name


def _are_flows(sources: Sequence[Batches]) -> bool:
    """Whether all files have hosts and times (True) or none has (False)."""
    have = ["Source IP" in source.names and "Timestamp" in source.names for source in sources]
    if any(have) and not all(have):
        raise DataFormatError(
            sources[have.index(False)].file,
            f"it has no Source IP and Timestamp, but {sources[have.index(True)].file} has; keep "
            "the two kinds of files in folders of their own, or choose some with pattern=",
        )
    return all(have)


def _views() -> dict[str, tuple[str, ...]]:
    def view(name: str) -> str:
        for kind, marks in (
            ("time", _TIME_NAMES), ("header", _HEADER_NAMES), ("size", _SIZE_NAMES),
        ):  # fmt: skip
            if any(mark in name for mark in marks):
                return kind
        return "volume"

    kinds = ("volume", "size", "time", "header")
    return {kind: tuple(name for name in FEATURES if view(name) == kind) for kind in kinds}


def _events(batch: Batch) -> BoolArray:
    """Rows that are neither a repeated header nor empty."""
    header = batch.equals("Label", "Label") | batch.equals("Label", " Label")
    return np.logical_not(header | batch.blank())


def _target(batch: Batch, families: Coder) -> Target:
    codes = families.codes(batch, "Label")
    threat = [name != BENIGN and not name.endswith(_ATTEMPTED) for name in families.names]
    return codes, np.array(threat)[codes]


class HalfDayClock:
    """The times of flow files, with the clock of twelve hours mended where a file has it.

    The publisher's files go from 8 to 12 and on to 1 without AM and PM. A file with AM, PM, an
    hour after 12, or the year in front has no such clock: its times are right.
    """

    def __init__(self) -> None:
        self._right: set[str] = set()

    def times(self, batch: Batch) -> Float64Array:
        """The times of a batch as they are written.  # (rows,) float64."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = batch.columns["Timestamp"]
        marked = (
            pa.types.is_binary(column.type)
            and pc.any(pc.match_substring_regex(column, r"(?i)[ap]\.?m\.?\s*$|^\s*\d{4}-")).as_py()
        )
        times = seconds(batch, "Timestamp", _FORMATS)
        if marked or not pa.types.is_binary(column.type) or (times // 3600 % 24 > _NOON).any():
            self._right.add(batch.file)
        return times

    def repaired(self, file: str, times: Float64Array) -> Float64Array:
        """The times of a whole file, hours before 8 moved to the afternoon where that is needed."""
        if file in self._right:
            return times
        return np.where(times // 3600 % 24 < _FIRST_HOUR, times + 12 * 3600, times)

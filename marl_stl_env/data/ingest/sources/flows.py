"""What a sensor wrote as a table to train on, with the columns that all sources share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from marl_stl_env.data.ingest.sources.apply import Columns
from marl_stl_env.data.ingest.sources.catalogue import (
    FLOW,
    NFSTREAM,
    built_in_mapping,
    source_named,
)
from marl_stl_env.data.ingest.sources.files import MalformedLines, as_frame, line_batches
from marl_stl_env.data.ingest.sources.lines import LineReader
from marl_stl_env.data.ingest.sources.nfstream import flow_batches

if TYPE_CHECKING:
    import pandas as pd

_TIME = "time"
_NUMERIC = (
    *(_TIME, "src_port", "dst_port", "duration"),
    *("src_packets", "dst_packets", "src_bytes", "dst_bytes"),
)


def read_flows(path: Path | str, source: str, *, skip_malformed: bool = False) -> pd.DataFrame:
    """The flows of a file, in the order of time, to be labelled and trained on.

    A run on them (data set "custom", ``entity="entity"``, ``time="time"``) decides on files of
    the same source without a mapping of its own.

    Args:
        path: The file.
        source: "zeek", "suricata", "nfdump", "argus", or "nfstream" (a file of packets).
        skip_malformed: Pass over lines that are no records; otherwise the first one is an error.

    Returns:
        Those of the columns ``time`` (seconds), ``entity``, ``proto``, ``service``, ``src_port``,
        ``dst_port``, ``duration`` (seconds), ``src_packets``, ``dst_packets``, ``src_bytes`` and
        ``dst_bytes`` that the source gives.

    Raises:
        MappingError: If there is no mapping from this source.
        DataError: If the file cannot be read.
        MissingLibraryError: If nfstream is needed and not installed.
    """
    file, malformed = Path(path), MalformedLines(skip_malformed)
    mapping = built_in_mapping(source, FLOW)
    if source == NFSTREAM:
        found = flow_batches(file, Columns(mapping, _NUMERIC, {}, [_TIME]), malformed)
    else:
        kind = source_named(source)
        columns = Columns(mapping, _NUMERIC, kind.times, [_TIME])
        found = line_batches(file, LineReader(str(file), kind, columns), malformed)
    frame = as_frame(found)
    return frame.sort_values(_TIME, kind="stable", ignore_index=True) if len(frame) else frame

"""Packets as flows, from a file or live from an interface, through the library nfstream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from marl_stl_env.data.ingest.batch import Batch
from marl_stl_env.data.ingest.batches import BATCH_ROWS, Batches
from marl_stl_env.data.ingest.sources.apply import Columns
from marl_stl_env.data.ingest.sources.files import MalformedLines, good_rows
from marl_stl_env.data.ingest.sources.lines import Malformed
from marl_stl_env.errors import DataFileNotFoundError, DataFormatError, MissingLibraryError

#: nfstream's accounting mode that counts the bytes of IP packets.
_IP_BYTES = 1
_START = "bidirectional_first_seen_ms"


def flow_batches(path: Path, columns: Columns, malformed: MalformedLines) -> Batches:
    """The flows of a file of packets, in the order of their beginning.

    Args:
        path: A pcap or pcapng file.
        columns: What makes the columns of nfstream's fields.
        malformed: Takes the flows that are no records.

    Raises:
        DataFileNotFoundError: If there is no such file.
        DataFormatError: If it cannot be read.
        MissingLibraryError: If nfstream is not installed.
    """
    if not path.is_file():
        raise DataFileNotFoundError(f"{path} is not a file; check the path")
    found = sorted(_flows(str(path)), key=lambda flow: float(getattr(flow, _START)))
    fields = tuple(found[0].keys()) if found else ()

    def read(asked: Sequence[str]) -> Iterator[Batch]:
        for start in range(0, len(found), BATCH_ROWS):
            batch = _batch(str(path), found[start : start + BATCH_ROWS], start, columns, malformed)
            yield batch.only(asked)

    return Batches(str(path), columns.mapping.given(fields), read)


def live_batches(interface: str, columns: Columns, malformed: MalformedLines) -> Batches:
    """The flows of an interface, one after the other, each when it has ended or become too old.

    Args:
        interface: Its name; packets are only read, never sent. It takes the rights to do so.
        columns: What makes the columns of nfstream's fields.
        malformed: Takes the flows that are no records.

    Returns:
        A source without end: it waits for its first flow when it is opened.

    Raises:
        DataFormatError: If the interface cannot be read.
        MissingLibraryError: If nfstream is not installed.
    """
    flows = _flows(interface)
    first = list(islice(flows, 1))
    fields = tuple(first[0].keys()) if first else ()

    def read(asked: Sequence[str]) -> Iterator[Batch]:
        for number, flow in enumerate(chain(first, flows)):
            yield _batch(interface, [flow], number, columns, malformed).only(asked)

    return Batches(interface, columns.mapping.given(fields), read)


def _flows(source: str) -> Iterator[Any]:
    try:
        from nfstream import NFStreamer
    except ImportError:
        raise MissingLibraryError("nfstream", "live") from None
    try:
        yield from NFStreamer(source=source, accounting_mode=_IP_BYTES, n_meters=1)
    except (OSError, ValueError) as error:
        raise DataFormatError(source, f"it holds no packets that can be read ({error})") from None


def _batch(
    file: str, flows: Sequence[Any], start: int, columns: Columns, malformed: MalformedLines
) -> Batch:
    import pyarrow as pa

    asked = [name for name in flows[0].keys() if name in columns.mapping.fields]  # noqa: SIM118
    texts = {
        name: pa.array([str(getattr(flow, name)).encode() for flow in flows], pa.binary())
        for name in asked
    }
    made, problems = columns.make(texts, len(flows))
    rows = np.arange(start + 1, start + 1 + len(flows))
    found = [(int(row), text) for row, text in zip(rows, problems, strict=True) if text]
    malformed.add(file, [Malformed(row, row - 1, text) for row, text in found])
    return Batch(file, made, rows).where(good_rows(problems))

"""Packets through real tools: the flows that come out are those that were put in."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from marl_stl_env.data.ingest.sources.apply import Columns
from marl_stl_env.data.ingest.sources.catalogue import FLOW, built_in_mapping, source_named
from marl_stl_env.data.ingest.sources.files import MalformedLines, as_frame, line_batches
from marl_stl_env.data.ingest.sources.lines import LineReader
from marl_stl_env.data.ingest.sources.nfstream import flow_batches
from marl_stl_env.errors import DataFileNotFoundError
from tests.data.sources.test_lines import NUMBERS

#: What the packets below make: source port, packets and bytes of IP of each direction, seconds.
FLOWS = {4000: (5, 500, 4, 1160, 0.13), 4001: (7, 780, 7, 2780, 0.23), 5000: (1, 58, 0, 0, 0.0)}


@pytest.fixture(scope="module")
def packets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two TCP connections and a lone UDP packet."""
    scapy = pytest.importorskip("scapy.all", reason="scapy is not installed")
    here, there, found, clock = "10.0.0.1", "10.0.0.2", list[Any](), 1.7e9

    def add(seconds: float, source: str, target: str, above: Any) -> None:
        nonlocal clock
        packet = scapy.Ether() / scapy.IP(src=source, dst=target) / above
        clock += seconds
        packet.time = clock
        found.append(packet)

    for port, to, n, back in ((4000, 80, 3, 2), (4001, 443, 5, 5)):
        out, home = {"sport": port, "dport": to}, {"sport": to, "dport": port}
        add(0.01, here, there, scapy.TCP(flags="S", **out))
        add(0.01, there, here, scapy.TCP(flags="SA", **home))
        for _ in range(n):
            add(0.02, here, there, scapy.TCP(flags="PA", **out) / (b"x" * 100))
        for _ in range(back):
            add(0.02, there, here, scapy.TCP(flags="PA", **home) / (b"y" * 500))
        add(0.01, here, there, scapy.TCP(flags="FA", **out))
        add(0.01, there, here, scapy.TCP(flags="FA", **home))
    add(0.5, here, "10.0.0.9", scapy.UDP(sport=5000, dport=53) / (b"q" * 30))
    path = tmp_path_factory.mktemp("packets") / "flows.pcap"
    scapy.wrpcap(str(path), found)
    return path


def check(frame: Any, columns: tuple[str, ...]) -> None:
    names = ("src_packets", "src_bytes", "dst_packets", "dst_bytes", "duration")
    assert sorted(frame["src_port"]) == sorted(FLOWS)
    for _, row in frame.iterrows():
        wanted = dict(zip(names, FLOWS[int(row["src_port"])], strict=True))
        assert {n: row[n] for n in columns} == pytest.approx({n: wanted[n] for n in columns})
        assert row["entity"] == "10.0.0.1"
        assert row["proto"] == ("udp" if row["src_port"] == 5000 else "tcp")


def test_nfstream(packets: Path, tmp_path: Path) -> None:
    pytest.importorskip("nfstream", reason="nfstream is not installed (extra live)")
    columns = Columns(built_in_mapping("nfstream", FLOW), NUMBERS, {}, ["time"])
    frame = as_frame(flow_batches(packets, columns, MalformedLines()))
    check(frame, ("src_packets", "src_bytes", "dst_packets", "dst_bytes", "duration"))
    assert frame["time"].is_monotonic_increasing
    with pytest.raises(DataFileNotFoundError):
        flow_batches(tmp_path / "none.pcap", columns, MalformedLines())


@pytest.mark.parametrize("written", ["csv", "json"])
def test_softflowd_and_nfdump(packets: Path, written: str, tmp_path: Path) -> None:
    found = [shutil.which(tool) for tool in ("softflowd", "nfcapd", "nfdump")]
    softflowd, nfcapd, nfdump = (path or "" for path in found)
    if not all(found):
        pytest.skip("softflowd and nfdump are not installed (Debian packages of these names)")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stored = tmp_path / "stored"
    stored.mkdir()
    capture = subprocess.Popen(
        [nfcapd, "-b", "127.0.0.1", "-p", str(port), "-w", str(stored)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(1)
    try:
        subprocess.run(
            [softflowd, "-r", str(packets), "-n", f"127.0.0.1:{port}", "-v", "9"],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        time.sleep(1)
    finally:
        capture.terminate()
        capture.wait(30)
    done = subprocess.run(
        [nfdump, "-R", str(stored), "-B", "-o", written], check=True, capture_output=True
    )
    path = tmp_path / f"flows.{written}"
    path.write_bytes(done.stdout)
    kind = source_named("nfdump")
    columns = Columns(built_in_mapping("nfdump", FLOW), NUMBERS, kind.times, ["time"])
    reader = LineReader(str(path), kind, columns)
    frame = as_frame(line_batches(path, reader, MalformedLines()))
    back = ("dst_packets", "dst_bytes") if written == "csv" else ()  # its JSON lacks them
    check(frame, ("src_packets", "src_bytes", "duration", *back))

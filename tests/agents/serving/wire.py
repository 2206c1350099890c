"""Packets on a wire, and the sensors that make flows of them."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

#: The hosts that scan.
SCANNERS = tuple(f"10.0.0.{number}" for number in range(200, 204))
_START = 1_700_000_000.0


def write_packets(path: Path, sessions: int, seed: int = 0) -> None:
    """A capture: web and name requests of 39 hosts, and port scans of four others."""
    inet, l2, utils = (pytest.importorskip(f"scapy.{name}") for name in _SCAPY)
    rng, packets = random.Random(seed), list[Any]()
    for number in range(sessions):
        scans = rng.random() < 0.3
        host = rng.choice(SCANNERS) if scans else f"10.0.0.{rng.randrange(1, 40)}"
        ends, port = (host, f"10.1.0.{rng.randrange(1, 20)}"), rng.randrange(20_000, 60_000)
        for at, back, layer in _session(inet, rng, scans, port):
            source, target = ends[::-1] if back else ends
            packet = l2.Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
            packet = packet / inet.IP(src=source, dst=target) / layer
            packet.time = _START + number / 2 + at
            packets.append(packet)
    utils.wrpcap(str(path), sorted(packets, key=lambda packet: packet.time))


_SCAPY = ("layers.inet", "layers.l2", "utils")


def _session(
    inet: Any, rng: random.Random, scans: bool, port: int
) -> list[tuple[float, bool, Any]]:
    """The packets of a connection: seconds from its beginning, whether it comes back, payload."""
    if scans:
        target = rng.randrange(1, 1024)
        refused = inet.TCP(sport=target, dport=port, flags="RA")
        return [(0.0, False, inet.TCP(sport=port, dport=target, flags="S")), (0.001, True, refused)]
    if rng.random() < 0.5:
        query = inet.UDP(sport=port, dport=53) / (b"q" * rng.randrange(20, 60))
        answer = inet.UDP(sport=53, dport=port) / (b"a" * rng.randrange(60, 300))
        return [(0.0, False, query), (rng.randrange(1, 90) / 1000, True, answer)]
    found = []
    for number in range(rng.randrange(3, 9)):
        sent, got = b"x" * rng.randrange(50, 900), b"y" * rng.randrange(50, 1200)
        there, back = (inet.TCP(sport=a, dport=b, flags="A") for a, b in ((port, 80), (80, port)))
        found += [(number / 100, False, there / sent), (number / 100 + 0.005, True, back / got)]
    return found


def netflow_csv(capture: Path, folder: Path) -> Path:
    """The flows of a capture by softflowd (IPFIX), nfcapd and nfdump."""
    for name in ("softflowd", "nfcapd", "nfdump"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed (Debian: softflowd, nfdump)")
    flows, csv = folder / "nfcapd", folder / "flows.csv"
    flows.mkdir()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "nfcapd.log"
    with log.open("wb") as out:
        collector = subprocess.Popen(
            ["nfcapd", "-l", flows, "-p", str(port), "-b", "127.0.0.1"],  # noqa: S607
            stdout=out, stderr=out,
        )  # fmt: skip
        try:
            _wait_until_bound(port)
            run(
                "softflowd",
                "-r",
                capture,
                "-n",
                f"127.0.0.1:{port}",
                "-v",
                "10",
                "-A",
                "milli",
                "-d",
            )
            _wait_until_quiet(flows)
        finally:
            collector.terminate()
            collector.wait(30)
    csv.write_bytes(run("nfdump", "-R", flows, "-B", "-O", "tstart", "-o", "csv"))
    return csv


def run(*line: str | Path) -> bytes:
    """What a program prints, its clock in UTC."""
    return subprocess.run(
        line, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60,
        env={**os.environ, "TZ": "UTC"},
    ).stdout  # fmt: skip


def _wait_until_bound(port: int) -> None:
    """Wait until somebody listens on a port of UDP on loopback."""
    for _ in range(300):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            try:
                other.bind(("127.0.0.1", port))
            except OSError:
                return
        time.sleep(0.1)
    raise TimeoutError(f"nothing listens on port {port}")


def _wait_until_quiet(folder: Path) -> None:
    """Datagrams that were sent are read within a second, also on a busy machine."""
    del folder
    time.sleep(2)

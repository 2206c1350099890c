"""The command itself, stopped and killed by signals."""

from __future__ import annotations

import json
import multiprocessing
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from marl_stl_agents.command_line import parse_config
from marl_stl_agents.config import ServeConfig
from marl_stl_agents.serving.serve import serve
from marl_stl_agents.serving.server import DECISIONS

from marl_stl_env.errors import LockedError, ServingError
from marl_stl_env.files import locked
from tests.agents.serving.conftest import Served


def command(served: Served, folder: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "marl_stl_agents.commands.serve", str(served.team.run),
        "--follow", str(folder / "flows.csv"), "--folder", str(folder / "out"), "--key", "flow_id",
        "--snapshot-seconds", "0.05", "--poll-seconds", "0.01", "--block-bytes", "1024",
        "--reason-columns", "0", "--port", "0", "--device", "cpu", *more,
    ]  # fmt: skip


def test_serving_to_the_end(served: Served, uninterrupted: bytes, tmp_path: Path) -> None:
    (tmp_path / "flows.csv").write_bytes(b"".join(served.lines))
    said: list[str] = []
    status = serve(served.settings(tmp_path, port=0), said.append)
    assert status.counts["events"] == len(served.frame)
    assert said[0].startswith("metrics and health: http://127.0.0.1:")
    assert (tmp_path / "out" / DECISIONS).read_bytes() == uninterrupted


def test_one_server_in_a_folder(served: Served, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "out"), pytest.raises(LockedError):
        serve(served.settings(tmp_path))
    with pytest.raises(ServingError, match="in the folder that the server writes into"):
        serve(served.settings(tmp_path, follow=tmp_path / "out" / "flows.csv"))


def test_the_command_line_is_the_configuration(served: Served, tmp_path: Path) -> None:
    line = command(served, tmp_path)[3:]
    found = parse_config(ServeConfig, line, "")
    assert (found.key, found.block_bytes, found.host) == ("flow_id", 1024, "127.0.0.1")


@pytest.mark.slow
def test_twenty_kills(served: Served, tmp_path: Path) -> None:
    """Killed 20 times while a log grows: the decisions of a server that nothing disturbed."""
    rng = np.random.default_rng(0)
    header, rows = served.lines[0], served.lines[1:]
    many = list(rows) * 6
    (tmp_path / "calm").mkdir()
    (tmp_path / "calm" / "flows.csv").write_bytes(header + b"".join(many))
    expected = served.served(tmp_path / "calm", block_bytes=1 << 20)
    log = tmp_path / "flows.csv"
    log.write_bytes(header)
    content, out = b"".join(many), tmp_path / "out" / DECISIONS
    part, written = len(content) // 21, 0
    fork = multiprocessing.get_context("fork")  # a start of Python takes longer than the rest
    settings = served.settings(tmp_path, until_end=False, snapshot_seconds=0.05, port=0)
    for _ in range(20):
        process = fork.Process(target=serve, args=(settings,))
        process.start()
        before = out.stat().st_size if out.exists() else 0
        with log.open("ab") as handle:
            handle.write(content[written : written + part])
        written += part
        while not out.exists() or out.stat().st_size <= before:
            assert process.is_alive()
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.3))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    with log.open("ab") as handle:
        handle.write(content[written:])
    command_line = subprocess.Popen(command(served, tmp_path), stdout=subprocess.PIPE)
    while out.stat().st_size < len(expected):
        assert command_line.poll() is None
        time.sleep(0.05)
    command_line.send_signal(signal.SIGTERM)
    said, _ = command_line.communicate()
    assert command_line.returncode == 0
    assert said.startswith(b"metrics and health: http://127.0.0.1:")
    assert out.read_bytes() == expected
    events = [json.loads(line)["event"] for line in expected.splitlines()]
    assert events == list(range(len(many)))

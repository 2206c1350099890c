"""Training from outside a cluster, by Ray's client server: ``--address ray://HOST:PORT``."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from marl_stl_agents.checkpoints.store import list_checkpoints
from marl_stl_agents.config import EvaluateConfig
from marl_stl_agents.evaluation.evaluate import evaluate
from marl_stl_agents.evaluation.result import as_json
from marl_stl_agents.run_directory import read_config

from tests.compat.common import COMPAT

pytestmark = COMPAT
ROOT = Path(__file__).parents[2]
LANES, STEPS, SENSORS = 8, 32, 4


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def address() -> Iterator[str]:
    """The client server of a cluster in processes of its own, on loopback."""
    pytest.importorskip("ray", reason="ray is not here: pip install -e '.[rllib]'")
    port = free_port()
    # Ray's sockets need a short path.
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        flags = [
            "--head", "--block", "--num-cpus=2", "--object-store-memory=300000000",
            "--node-ip-address=127.0.0.1", f"--port={free_port()}", "--include-dashboard=false",
            f"--ray-client-server-port={port}", f"--temp-dir={folder}", "--disable-usage-stats",
        ]  # fmt: skip
        command = [str(Path(sys.executable).with_name("ray")), "start", *flags]
        environment = os.environ | {"RAY_worker_niceness": "0"}
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as head:
            try:
                deadline = time.monotonic() + 60
                while not answers(port):
                    assert head.poll() is None, "the cluster did not start"
                    assert time.monotonic() < deadline, "the client server does not answer"
                    time.sleep(0.5)
                yield f"ray://127.0.0.1:{port}"
            finally:
                head.terminate()  # with --block it ends its processes with itself
                head.wait(timeout=60)


def test_a_training_from_outside_is_one_of_the_cluster(address: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    flags = (
        f"--backend rllib --address {address} --runners 2 --lanes {LANES} --n-steps {STEPS} "
        "--width 16 --batch-size 256 --iterations 4 --evaluate-every 2 --no-preflight --no-progress"
    )
    command = [sys.executable, str(ROOT / "train.py"), *flags.split(), "--run-dir", str(run)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_config(run).cluster.address == address
    rollout = STEPS * LANES * SENSORS
    assert [each.timesteps for each in list_checkpoints(run)] == [2 * rollout, 4 * rollout]
    result = as_json(evaluate(EvaluateConfig(run=run)).result)
    assert (result["split"], result["events"]) == ("test", 30_000)

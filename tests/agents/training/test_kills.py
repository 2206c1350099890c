"""Real kills, at random moments, of what writes files besides a training."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from marl_stl_agents.run_directory import read_json

from tests.agents.training.test_resume import fresh
from tests.documents import ROOT
from tests.programs import run_program

_PREPARE = """
import sys
from marl_stl_env.config import DataConfig, EnvConfig
from marl_stl_env.data.prepare import prepare
data = DataConfig(dataset="custom", dataset_options=("path=" + sys.argv[1], "label=y"))
print(prepare(EnvConfig(data=data)).raw.features.sum(dtype=float))
"""


def kill_at(line: list[str], seconds: float) -> None:
    with subprocess.Popen(line, stdout=subprocess.DEVNULL) as process:
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)


def duration_of(line: list[str]) -> tuple[float, str]:
    """Seconds of a command that is not killed, and what it printed."""
    start = time.monotonic()
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    return time.monotonic() - start, done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_preparations_leave_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, path = random.Random(0), tmp_path / "flows.csv"
    rows = (f"{draw.random():.4f},{draw.random():.4f},{i % 3 == 0:d}\n" for i in range(50_000))
    path.write_text("a,b,y\n" + "".join(rows))
    line = [sys.executable, "-c", _PREPARE, str(path)]
    monkeypatch.setenv("MARL_STL_CACHE_DIR", str(tmp_path / "whole"))
    seconds, told = duration_of(line)
    monkeypatch.setenv("MARL_STL_CACHE_DIR", str(tmp_path / "killed"))
    for _ in range(6):
        kill_at(line, draw.uniform(0.3, 1.0) * seconds)
    time.sleep(11.0)  # what a process left before it had a lock is kept so long
    assert duration_of(line)[1] == told
    assert list((tmp_path / "killed").glob("*/.*.tmp")) == []
    entries = [
        sorted(p.name for p in (tmp_path / c / "tables").iterdir()) for c in ("whole", "killed")
    ]
    assert entries[0] == entries[1]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_evaluations_leave_the_one_before(tmp_path: Path) -> None:
    run, draw = tmp_path / "run", random.Random(1)
    assert run_program("train.py", *fresh(run, "native", 2)) == 0
    line = [sys.executable, str(ROOT / "evaluate.py"), str(run), "--report"]
    seconds, _ = duration_of(line)
    result, page = read_json(run / "evaluation.json"), (run / "report.html").read_bytes()
    for _ in range(5):
        kill_at(line, draw.uniform(0.3, 1.0) * seconds)
        assert read_json(run / "evaluation.json") == result
        assert len((run / "report.html").read_bytes()) == pytest.approx(len(page), rel=0.01)
    assert run_program("train.py", "--resume", run) == 0

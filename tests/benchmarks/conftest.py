"""Runs of a toy track, trained once for all tests of the leaderboard."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.benchmarks.leaderboard_runs import train


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    return [train(folder / str(seed), seed) for seed in range(3)]


@pytest.fixture
def run(runs: list[Path], tmp_path: Path) -> Path:
    """A copy of the first run, to be tampered with."""
    return shutil.copytree(runs[0], tmp_path / "run")

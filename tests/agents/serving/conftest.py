"""One small team that remembers, and the log that it decides on."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from marl_stl_agents.config import PPOConfig, ServeConfig
from marl_stl_agents.evaluation.new_traffic import Team, load_team
from marl_stl_agents.evaluation.new_traffic.kept import keep_reference
from marl_stl_agents.serving.server import DECISIONS, Server

from marl_stl_env.config import DataConfig, EnvConfig, ResponseConfig, StlConfig
from marl_stl_env.data import prepare
from tests.agents.evaluation.random_runs import make_run

ENV = EnvConfig(
    agents=4,
    views="groups",
    dynamics="response",
    episode_length=10_000,
    response=ResponseConfig(
        quarantine_length=6, alert_budget=5, alert_window=40, alert_delay=2, verdict_length=60
    ),
    stl=StlConfig(monitor=True),
    data=DataConfig(dataset_options=("rows=1600",)),
)


@dataclass(frozen=True)
class Served:
    """A team and its traffic.

    Attributes:
        team: The team.
        frame: The events.
        lines: The events as lines of CSV, the header first.
    """

    team: Team
    frame: pd.DataFrame
    lines: tuple[bytes, ...]

    def settings(self, folder: Path, **changed: Any) -> ServeConfig:
        """A server on a log in a folder."""
        fast = ServeConfig(
            folder / "flows.csv", self.team.run, folder / "out", snapshot_seconds=0.0,
            poll_seconds=0.001, block_bytes=8192, port=None, until_end=True, key="flow_id",
            reason_columns=0, device="cpu",
        )  # fmt: skip
        return replace(fast, **changed)

    def server(self, folder: Path, **changed: Any) -> Server:
        """A server on that log."""
        settings = self.settings(folder, **changed)
        assert settings.folder is not None
        settings.folder.mkdir(exist_ok=True)
        return Server(self.team, settings, settings.folder)

    def served(self, folder: Path, **changed: Any) -> bytes:
        """Serve to the end of the log; returns the file of decisions."""
        server = self.server(folder, **changed)
        server.run(until_end=True)
        server.close()
        return (folder / "out" / DECISIONS).read_bytes()


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test looks at what a power cut leaves, and waiting takes most of the time."""
    monkeypatch.setattr("os.fsync", lambda _: None)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    from tests.agents.evaluation.team_lanes import new_traffic

    folder = tmp_path_factory.mktemp("served")
    run = make_run(folder / "run", ENV, PPOConfig(width=8, bins=0), bias=0.0, seed=1)
    assert keep_reference(run, prepare(ENV), "cpu") is not None
    frame = new_traffic(ENV).reset_index(drop=True)
    frame.to_csv(folder / "flows.csv", index=False)
    lines = tuple((folder / "flows.csv").read_bytes().splitlines(keepends=True))
    return Served(load_team(run, device="cpu"), frame, lines)


@pytest.fixture(scope="session")
def uninterrupted(served: Served, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The decisions of a server that nothing disturbed."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    (folder / "flows.csv").write_bytes(b"".join(served.lines))
    return served.served(folder)


def records(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines()]


def write(folder: Path, content: bytes) -> Path:
    path = folder / "flows.csv"
    path.write_bytes(content)
    return path

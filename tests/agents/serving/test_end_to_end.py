"""From packets and from Zeek's logs to decisions: real sensors, training and server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from marl_stl_agents import TrainConfig, load_team, train
from marl_stl_agents.config import DecideConfig, PPOConfig, ServeConfig
from marl_stl_agents.evaluation.new_traffic import Team, decide
from marl_stl_agents.serving.serve import serve
from marl_stl_agents.serving.server import DECISIONS

from marl_stl_env.config import DataConfig, EnvConfig, StlConfig
from marl_stl_env.data import read_flows
from marl_stl_env.types import THREAT_VOTE, Action
from tests.agents.serving.wire import SCANNERS, netflow_csv, write_packets

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.filterwarnings("default")]


@dataclass(frozen=True)
class Wire:
    """A capture, its flows by nfdump, and a team that was trained on flows of another capture.

    Attributes:
        capture: The packets.
        csv: Their flows.
        run: The run.
    """

    capture: Path
    csv: Path
    run: Path


def trained(data: DataConfig, folder: Path, **settings: Any) -> Path:
    env = EnvConfig(
        agents=3, views="full", dynamics="response", episode_length=100, data=data,
        stl=StlConfig(monitor=True, shield=True),
    )  # fmt: skip
    config = TrainConfig(
        env=env, ppo=PPOConfig(width=32), backend="native", lanes=16, run_dir=folder,
        preflight=False, progress=False, device="cpu", **settings,
    )  # fmt: skip
    return train(config).path


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Wire:
    folder = tmp_path_factory.mktemp("wire")
    for name, sessions, seed in (("old", 1500, 1), ("new", 400, 2)):
        (folder / name).mkdir()
        write_packets(folder / name / "capture.pcap", sessions, seed)
    csv = [netflow_csv(folder / name / "capture.pcap", folder / name) for name in ("old", "new")]
    flows = read_flows(csv[0], "nfdump")
    flows["label"] = flows["entity"].isin(SCANNERS)
    flows.to_parquet(folder / "flows.parquet")
    options: Any = {
        "path": str(folder / "flows.parquet"), "label": "label", "entity": "entity",
        "time": "time", "drop": "src_port",
    }  # fmt: skip
    data = DataConfig(dataset="custom", dataset_options=options)
    return Wire(
        folder / "new" / "capture.pcap", csv[1], trained(data, folder / "run", iterations=8)
    )


def served(run: Path, log: Path, folder: Path, source: str, key: str | None = None) -> pd.DataFrame:
    settings = ServeConfig(
        log, run, folder, source=source, key=key, until_end=True, port=None, device="cpu",
        reason_columns=0,
    )  # fmt: skip
    serve(settings)
    lines = (folder / DECISIONS).read_text().splitlines()
    return pd.DataFrame([json.loads(line) for line in lines])


def test_from_packets_to_decisions(wire: Wire, tmp_path: Path) -> None:
    found = served(wire.run, wire.csv, tmp_path / "out", "nfdump")
    assert len(found) == 400
    threats = THREAT_VOTE[[Action[name] for name in found["decision"]]]
    right = found["entity"].isin(SCANNERS)
    assert (threats == right).mean() > 0.95
    listed = json.loads((tmp_path / "out" / "contained.json").read_text())["entities"]
    assert {one["entity"] for one in listed} <= set(SCANNERS)
    path = tmp_path / "decided.ndjson"
    _, summary = decide(
        DecideConfig(wire.csv, wire.run, path, source="nfdump", reason_columns=0, device="cpu")
    )
    assert summary["drift"]["certificates_cover"] is True
    decided = pd.read_json(path, lines=True)
    assert decided["decision"].tolist() == found["decision"].tolist()


def test_two_sensors_on_the_same_packets(wire: Wire) -> None:
    """nfstream sees the flows of softflowd and nfdump; the team decides alike."""
    pytest.importorskip("nfstream")
    team: Team = load_team(wire.run, device="cpu")
    frames = [team.read(wire.csv, "nfdump"), team.read(wire.capture, "nfstream")]
    order = [frame.sort_values("src_port").index for frame in map(_flows, (wire.csv, wire.capture))]
    numbers = ["duration", "src_packets", "dst_packets", "src_bytes", "dst_bytes", "dst_port"]
    first, second = (f.loc[o, numbers].to_numpy(float) for f, o in zip(frames, order, strict=True))
    np.testing.assert_allclose(first, second, atol=1e-3)
    decisions = [team.decide(frame)["decision"].tolist() for frame in frames]
    assert decisions[0] == decisions[1]


def _flows(path: Path) -> pd.DataFrame:
    return read_flows(path, "nfdump" if path.suffix == ".csv" else "nfstream")


@pytest.mark.data
def test_zeek_logs(data_dir: Path, tmp_path: Path) -> None:
    """Train on the Zeek logs of the data folder, serve a part of one, compare with decide."""
    logs = sorted((data_dir / "zeek").glob("*conn.log*"))
    if not logs:
        pytest.skip(f"no conn.log in {data_dir / 'zeek'}")
    data = DataConfig(dataset="zeek", data_dir=data_dir)
    run, log = trained(data, tmp_path / "run", iterations=2), logs[-1]
    lines = log.read_bytes().splitlines(keepends=True)
    header = [line for line in lines[:20] if line.startswith(b"#")]
    rows = sorted(lines[len(header) : 1500], key=lambda row: float(row.split(b"\t")[0]))
    (tmp_path / "conn.log").write_bytes(b"".join([*header, *rows]))
    found = served(run, tmp_path / "conn.log", tmp_path / "out", "zeek", key="uid")
    assert found["key"].tolist() == [row.split(b"\t")[1].decode() for row in rows]
    path = tmp_path / "decided.ndjson"
    settings = DecideConfig(
        tmp_path / "conn.log", run, path, source="zeek", keep=("uid",), reason_columns=0,
        device="cpu",
    )  # fmt: skip
    decide(settings)
    decided = pd.read_json(path, lines=True)
    assert decided["decision"].tolist() == found["decision"].tolist()
    assert decided["uid"].tolist() == found["key"].tolist()

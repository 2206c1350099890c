"""Decisions on what sensors of the network write: the same as on the same columns by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from marl_stl_agents.config import DecideConfig
from marl_stl_agents.evaluation.new_traffic import Team, decide, load_team

from marl_stl_env.config import DataConfig, EnvConfig
from marl_stl_env.data.ingest.incoming import Wanted
from marl_stl_env.data.ingest.sources.adapter import SourceOptions
from marl_stl_env.errors import (
    ConfigError,
    DataFileNotFoundError,
    DataFormatError,
    MappingError,
    MissingColumnError,
    MissingLibraryError,
)
from marl_stl_env.types import Action
from tests.agents.evaluation.random_runs import make_run
from tests.data.samples import SAMPLES
from tests.data.sources import written
from tests.data.sources.written import FORMATS, write

VIEWS = {
    "what": ("proto", "service", "dst_port"),
    "sent": ("duration", "src_packets", "src_bytes"),
    "received": ("dst_packets", "dst_bytes"),
}


def own_flows(rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    threat = rng.random(rows) < 0.3
    return pd.DataFrame(
        {
            "when": 1.6e9 + np.arange(rows),
            "host": [f"10.0.0.{n}" for n in rng.integers(0, 9, rows)],
            "proto": rng.choice(["tcp", "udp"], rows),
            "service": rng.choice(["http", "dns", ""], rows),
            "dst_port": rng.choice([22, 53, 80], rows),
            "duration": rng.exponential(1.0 + threat),
            "src_packets": rng.integers(1, 9, rows),
            "src_bytes": rng.integers(40, 900, rows),
            "dst_packets": rng.integers(0, 9, rows),
            "dst_bytes": rng.integers(0, 2000, rows),
            "label": np.where(threat, "attack", "normal"),
        }
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A response team on flows of one's own, whose time and host have names of their own."""
    folder = tmp_path_factory.mktemp("runs")
    own_flows().to_csv(folder / "own.csv", index=False)
    options: Any = {"path": str(folder / "own.csv"), "label": "label", "entity": "host",
                    "time": "when", "views": VIEWS}  # fmt: skip
    data = DataConfig(dataset="custom", dataset_options=options)
    env = EnvConfig(data=data, agents=3, dynamics="response", episode_length=50)
    return make_run(folder / "run", env, bias=0.0)


@pytest.fixture(scope="module")
def team(run: Path) -> Team:
    return load_team(run, device="cpu")


def by_hand(name: str) -> pd.DataFrame:
    """The three flows with the columns of the run, for the formats that count IP bytes."""
    frame = pd.DataFrame(
        {
            "when": written.TIMES,
            "host": ["10.0.0.1", "10.0.0.3", "10.0.0.1"],
            "proto": ["tcp", "udp", "tcp"],
            "service": ["http", "dns", None],
            "dst_port": [80, 53, 22],
            "duration": [1.5, 0.25, 0.0],
            "src_packets": [6, 1, 1],
            "src_bytes": [420, 68, 60],
            "dst_packets": [5, 1, 0],
            "dst_bytes": [1180, 108, 0],
        }
    )
    if name.startswith("zeek"):
        frame.loc[2, "duration"] = np.nan
    if name == "suricata":
        frame[["src_bytes", "dst_bytes"]] = [[504, 1250], [82, 122], [74, 0]]
    return frame.drop(columns=["service"] if name.startswith("nfdump") else [])


@pytest.mark.parametrize("name", ["zeek", "zeek-json", "suricata", "nfdump-csv"])
def test_decisions_are_those_on_the_columns_by_hand(
    run: Path, team: Team, name: str, tmp_path: Path
) -> None:
    source, text, _ = FORMATS[name]
    path = write(tmp_path, "flows.log", text)
    out, summary = decide(DecideConfig(path, run, tmp_path / "out.parquet", source=source))  # type: ignore[arg-type]
    found = pd.read_parquet(out)
    wanted = team.decide(by_hand(name))
    for column in ("decision", "threat_score", "reason", "entity", "sensor_0"):
        assert found[column].tolist() == wanted[column].tolist(), column
    np.testing.assert_allclose(found["time"], written.TIMES, atol=1e-6)
    missing = ["service"] if name == "nfdump-csv" else []
    assert summary["not_as_in_training"]["missing"] == missing
    again = team.decide(team.read(path, source))
    pd.testing.assert_frame_equal(again, found, check_dtype=False, check_categorical=False)


def test_a_log_is_written_as_the_training_files_were(tmp_path: Path) -> None:
    """Separator, marks for "no value" and names with the separator in them hold in a log too."""
    flows = own_flows().rename(columns={"duration": "seconds; all"}).drop(columns="service")
    text = flows.astype(object)
    text.loc[::5, "seconds; all"] = "nil"
    text.to_csv(tmp_path / "own.csv", index=False, sep=";")
    options: Any = {"path": str(tmp_path / "own.csv"), "label": "label", "entity": "host",
                    "time": "when", "sep": "semicolon", "missing": "nil"}  # fmt: skip
    env = EnvConfig(
        DataConfig(dataset="custom", dataset_options=options), agents=3, episode_length=50
    )
    team = load_team(make_run(tmp_path / "run", env, bias=0.0), device="cpu")
    path = tmp_path / "new.csv"
    text.drop(columns="label").head(60).to_csv(path, index=False, sep=";")
    file, _ = decide(DecideConfig(path, team.run, tmp_path / "out.parquet"))
    wanted = pd.read_parquet(file)["threat_score"].tolist()
    reader = team.line_reader(str(path), SourceOptions())
    assert reader.parse(path.read_bytes()).malformed == ()
    assert team.decide(team.read(path))["threat_score"].tolist() == wanted
    log = tmp_path / "new.ndjson"
    text.drop(columns="label").head(60).to_json(log, orient="records", lines=True)
    assert team.decide(team.read(log))["threat_score"].tolist() == wanted
    with pytest.raises(DataFormatError, match=r"JSON lines, not CSV.*--source table"):
        decide(DecideConfig(log, team.run, tmp_path / "other.parquet"))


def test_lines_one_after_the_other_as_a_feed_brings_them(team: Team) -> None:
    """What ``marl-stl-serve`` does: the rows of each piece go on in one stream."""
    content = written.suricata_json().encode()
    reader = team.line_reader("eve.json", SourceOptions("suricata"), ("flow_id",))
    stream, incoming, rest = team.stream(), None, b""
    decided = list[int]()
    for line in content.splitlines(keepends=True):
        rest += line
        parsed = reader.parse(rest)
        rest = rest[parsed.used :]
        if not len(parsed.batch):
            continue
        if incoming is None:
            incoming = team.open(reader.batches(parsed.fields), Wanted(("flow_id",)))
        chunk = incoming.chunk(parsed.batch)
        assert chunk is not None
        assert chunk.events.tolist() == [len(decided)]
        assert chunk.carried["flow_id"].to_pylist() == ["1"]
        rollout, _ = stream.decide_chunk(chunk)
        decided += rollout.decisions.tolist()
    wanted = team.decide(by_hand("suricata"))["decision"]
    assert [Action(one).name for one in decided] == wanted.tolist()


def test_a_mapping_of_ones_own(run: Path, tmp_path: Path) -> None:
    names = {"when": "t", "host": "h", "proto": "p", "service": "s", "dst_port": "port",
             "duration": {"field": "ms", "scale": 0.001}, "src_packets": "n", "src_bytes": "b",
             "dst_packets": {"constant": 0}, "dst_bytes": {"sum": {"all": 1, "b": -1}}}  # fmt: skip
    mapping = write(tmp_path, "m.json", json.dumps({"columns": names}))
    frame = pd.DataFrame({"t": [1.0, 2.0], "h": "a", "p": "tcp", "s": "dns", "port": 53, "ms": 250,
                          "n": 3, "b": 100, "all": 150, "uid": ["u1", "u2"]})  # fmt: skip
    frame.to_csv(tmp_path / "f.csv", index=False)
    frame.to_parquet(tmp_path / "f.parquet")
    frame.to_json(tmp_path / "f.ndjson", orient="records", lines=True)
    team, found = load_team(run, device="cpu"), []
    for ending in ("csv", "parquet", "ndjson"):
        path = tmp_path / f"f.{ending}"
        read = team.read(path, mapping=mapping, keep=("uid",))
        assert read["duration"].tolist() == [0.25, 0.25]
        assert read["dst_bytes"].tolist() == [50, 50]
        settings = DecideConfig(
            path, run, tmp_path / f"{ending}.parquet", mapping=mapping, keep=("uid",)
        )
        decisions, _ = decide(settings)
        found.append(pd.read_parquet(decisions))
        assert found[-1]["uid"].tolist() == ["u1", "u2"]
        pd.testing.assert_frame_equal(found[-1], found[0])
    names["dst_bits"] = "b"
    write(tmp_path, "m.json", json.dumps({"columns": names}))
    with pytest.raises(MappingError, match="gives dst_bits, which the run does not have"):
        team.read(tmp_path / "f.csv", mapping=mapping)


def test_malformed_lines_are_refused_or_skipped(run: Path, tmp_path: Path, capsys: Any) -> None:
    from marl_stl_agents.commands.decide import main

    lines = written.suricata_json().splitlines()
    path = write(tmp_path, "eve.json", "\n".join([*lines[:2], "{", lines[2]]))
    with pytest.raises(DataFormatError, match=r"eve.json, row 3: it is no JSON .*--malformed skip"):
        decide(DecideConfig(path, run, tmp_path / "out.csv", source="suricata"))
    path = write(tmp_path, "eve.json", "\n".join([*lines[:2], '{"cut', lines[2]]))
    out = str(tmp_path / "out.csv")
    arguments = [str(run), "--input", str(path), "--decisions", out, "--source", "suricata"]
    assert main([*arguments, "--malformed", "skip"]) == 0
    assert "1 lines are no records and were skipped; the first is line 3" in " ".join(
        capsys.readouterr().out.split()
    )
    told = json.loads((tmp_path / "out.json").read_text())
    assert told["events"] == 2
    assert told["malformed"]["count"] == 1
    (one,) = told["malformed"]["first"]
    assert one["line"] == 3
    assert path.read_bytes()[one["offset"] :].startswith(b'{"cut')


def test_missing_columns_are_named_and_beyond_a_share_refused(run: Path, tmp_path: Path) -> None:
    path = write(tmp_path, "f.binetflow", written.argus_csv())
    with pytest.raises(
        MissingColumnError, match=r"1 of the 3 columns .*'what' .*at most 20%.*servi"
    ):
        decide(DecideConfig(path, run, tmp_path / "out.csv", source="argus", max_missing=0.2))
    _, summary = decide(DecideConfig(path, run, tmp_path / "out.csv", source="argus"))
    missing = summary["not_as_in_training"]["missing"]
    assert sorted(missing) == ["dst_packets", "service", "src_packets"]


def test_what_cannot_be_asked(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "eve.json", written.suricata_json())
    with pytest.raises(ConfigError, match="leave them out"):
        DecideConfig(path, run, source="suricata", input_options=("sep=tab",))
    with pytest.raises(ConfigError, match="--malformed skip needs --source"):
        DecideConfig(path, run, malformed="skip")
    with pytest.raises(ConfigError, match="max_missing"):
        DecideConfig(path, run, max_missing=1.5)
    mapping = write(tmp_path, "m.json", '{"source": "zeek", "columns": {"proto": "proto"}}')
    team = load_team(run, device="cpu")
    with pytest.raises(MappingError, match="for the source zeek, not suricata"):
        team.read(path, "suricata", mapping=mapping)
    with pytest.raises(DataFileNotFoundError):
        team.read(tmp_path / "none", "suricata")
    monkeypatch.setitem(__import__("sys").modules, "nfstream", None)
    with pytest.raises(MissingLibraryError, match=r"marl-stl-env\[live\]"):
        team.read(path, "nfstream")


def test_a_run_on_a_published_set(tmp_path: Path) -> None:
    """A run on Zeek logs decides on them as on its own files; other sensors lack too much."""
    SAMPLES["zeek"](tmp_path)
    env = EnvConfig(data=DataConfig(dataset="zeek", data_dir=tmp_path), agents=4, views="groups")
    run = make_run(tmp_path / "run", env)
    (log, *_) = sorted(tmp_path.glob("*conn.log*"))
    found = []
    for source in (None, "zeek"):
        settings = DecideConfig(log, run, tmp_path / f"{source}.parquet", source=source)
        out, summary = decide(settings)
        found.append((pd.read_parquet(out).drop(columns="time"), summary["decision"]))
    pd.testing.assert_frame_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]
    path = write(tmp_path, "eve.json", written.suricata_json())
    settings = DecideConfig(path, run, tmp_path / "s.parquet", source="suricata")
    with pytest.raises(MissingColumnError, match="2 of the 3 columns of view 'state'"):
        decide(settings)
    with pytest.raises(MappingError, match="leads from nfdump to the columns of zeek"):
        load_team(run, device="cpu").read(path, "nfdump")

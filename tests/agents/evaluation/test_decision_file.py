"""The file of decisions: nothing is ever lost for it, and every format holds the same rows."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from marl_stl_agents.commands.decide import main
from marl_stl_agents.config import DecideConfig, PPOConfig
from marl_stl_agents.evaluation.new_traffic import decide
from marl_stl_agents.evaluation.new_traffic.decision_file import ENDINGS, decision_writer

from marl_stl_env.config import DataConfig, EnvConfig
from marl_stl_env.errors import ConfigError, DecidingError, MissingColumnError, OutputError
from tests.agents.evaluation.random_runs import make_run
from tests.data.samples import CUSTOM_COLUMNS, CUSTOM_OPTIONS, custom_rows, write_csv

# By name: the package has a function that is called like its module.
deciding = import_module("marl_stl_agents.evaluation.new_traffic.decide")

ROWS = custom_rows(seed=3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a table with hosts and times, and its input."""
    folder = tmp_path_factory.mktemp("trained")
    write_csv(folder / "flows.csv", ROWS, CUSTOM_COLUMNS)
    options: Any = {"path": str(folder / "flows.csv"), **CUSTOM_OPTIONS}
    make_run(
        folder / "run",
        EnvConfig(agents=2, data=DataConfig(dataset="custom", dataset_options=options)),
        PPOConfig(width=8),
    )
    return folder


@pytest.fixture
def place(trained: Path, tmp_path: Path) -> Path:
    """A copy of both, to be written into."""
    folder = tmp_path / "place"
    shutil.copytree(trained, folder)
    return folder


def contents(folder: Path) -> dict[str, str]:
    """Digest of every file below a folder; links are named, not followed."""
    return {
        str(path.relative_to(folder)): "link"
        if path.is_symlink()
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


@pytest.mark.parametrize(
    ("source", "target", "problem"),
    [
        ("flows.csv", "flows.csv", "the decisions cannot be written to their input"),
        ("flows.json", "flows.parquet", "the summary beside them cannot be written to their input"),
        ("flows.csv", "run/../flows.csv", "the decisions cannot be written to their input"),
        ("flows.csv", "run/config.parquet", "the summary beside them would replace"),
        ("flows.csv", "run/data.csv", "the summary beside them would replace"),
        ("flows.csv", "run/evaluation.parquet", "can only be called decisions"),
        ("flows.csv", "run/checkpoints/decisions.csv", "can only be called decisions"),
        ("flows.csv", "taken.csv", "which exists; remove it, or choose another --decisions"),
        ("flows.csv", "nowhere.csv", "which exists; remove it, or choose another --decisions"),
        ("flows.csv", "folder.csv", "which exists; remove it, or choose another --decisions"),
        ("flows.csv", "new.json", r"end in \.csv, \.parquet or \.ndjson"),
        ("flows.csv", "new", r"end in \.csv, \.parquet or \.ndjson"),
        ("flows.csv", "new.csv.gz", r"end in \.csv, \.parquet or \.ndjson"),
        ("flows.csv", ".csv", r"end in \.csv, \.parquet or \.ndjson"),
        ("flows.csv", "loop.csv", "which exists; remove it, or choose another --decisions"),
        ("flows.csv", "loop.csv/new.csv", "cannot be written"),
        ("flows.csv", "hard.csv", "the decisions cannot be written to their input"),
        ("flows.csv", "linked/config.csv", "the summary beside them would replace"),
        ("flows.csv", "linked/new.csv", "can only be called decisions"),
        ("flows.csv", "taken.csv/new.csv", "cannot be written"),
        ("flows.csv", f"{'x' * 300}.csv", "cannot be written"),
    ],
)
def test_nothing_is_written_over(place: Path, source: str, target: str, problem: str) -> None:
    shutil.copy(place / "flows.csv", place / "flows.json")
    (place / "taken.csv").write_text("precious")
    (place / "nowhere.csv").symlink_to(place / "not there")
    (place / "folder.csv").mkdir()
    (place / "loop.csv").symlink_to(place / "loop.csv")
    (place / "linked").symlink_to(place / "run")
    (place / "hard.csv").hardlink_to(place / source)
    before = contents(place)
    with pytest.raises((DecidingError, OutputError), match=problem):
        decide(DecideConfig(place / source, place / "run", decisions=place / target))
    assert contents(place) == before


def test_a_file_that_comes_up_meanwhile_stays(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = decision_writer

    def slow(draft: Path, schema: Any, ending: str) -> Any:
        (place / "out.csv").write_text("precious")
        return real(draft, schema, ending)

    monkeypatch.setattr(deciding, "decision_writer", slow)
    with pytest.raises(DecidingError, match="which exists"):
        decide(DecideConfig(place / "flows.csv", place / "run", decisions=place / "out.csv"))
    assert (place / "out.csv").read_text() == "precious"
    assert not [path for path in place.iterdir() if path.suffix == ".tmp"]


def test_a_full_disk_is_one_line(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(deciding, "decision_writer", full)
    line = [str(place / "run"), "--input", str(place / "flows.csv")]
    assert main(line) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert not (place / "run" / "decisions.parquet").exists()


def read(path: Path) -> pd.DataFrame:
    if path.suffix == ".csv":
        return pd.read_csv(path)
    if path.suffix == ".ndjson":
        lines = path.read_text(encoding="utf-8").splitlines()
        return pd.DataFrame([json.loads(line) for line in lines])
    frame = pd.read_parquet(path)
    texts = [name for name in frame.columns if frame[name].dtype == "category"]
    return frame.astype(dict.fromkeys(texts, str))


def test_every_format_holds_key_time_host_and_kept_columns(place: Path) -> None:
    """By name: the rows of the input itself are the reference."""
    rows = pd.DataFrame(ROWS)
    frames = []
    for ending in (".csv", ".PARQUET", ".ndjson"):
        target = place / f"out{ending}"
        decide(
            DecideConfig(
                place / "flows.csv", place / "run", decisions=target, keep=("kind", "when", "bytes")
            )
        )
        frames.append(read(target.rename(place / f"read{ending.lower()}")))
        (place / "out.json").unlink()
    for frame in frames:
        assert list(frame.columns) == [
            "event", "time", "entity", "kind", "when", "bytes", "decision", "threat_score",
            "sensor_0", "sensor_1", "reason",
        ]  # fmt: skip
        assert frame["event"].tolist() == list(range(len(rows)))
        assert frame["entity"].tolist() == rows["host"].tolist()
        assert frame["kind"].tolist() == rows["kind"].tolist()
        assert frame["time"].astype(str).tolist() == rows["when"].tolist()
        assert frame["when"].astype(str).tolist() == rows["when"].tolist()
        np.testing.assert_allclose(frame["bytes"].astype(float), rows["bytes"].astype(float))
        assert frame["decision"].tolist() == frames[0]["decision"].tolist()
        assert frame["reason"].tolist() == frames[0]["reason"].tolist()
        np.testing.assert_allclose(frame["threat_score"], frames[0]["threat_score"], rtol=1e-6)


def test_unknown_hosts_and_odd_values(place: Path) -> None:
    """An unknown host is null, bytes that are no UTF-8 are replaced, NaN is null in JSON."""
    frame = pd.DataFrame(ROWS)[:4].astype({"bytes": float, "packets": float, "rate": float})
    frame["host"] = ["h0", "-", "", "n/a"]
    frame["note"] = [b"caf\xe9", b"plain", b'"quoted", with commas', None]
    frame["seen"] = pd.Series([pd.Timestamp("2024-01-02 03:04:05")])  # null elsewhere
    frame["spread"] = [1.5, np.nan, np.inf, 2.0]
    frame.to_parquet(place / "odd.parquet")
    keep = ("note", "seen", "spread")
    target = place / "odd-decisions.ndjson"
    decide(DecideConfig(place / "odd.parquet", place / "run", decisions=target, keep=keep))
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert [row["entity"] for row in rows] == ["h0", None, None, None]
    assert [row["note"] for row in rows] == ["caf�", "plain", '"quoted", with commas', None]
    assert [row["spread"] for row in rows] == [1.5, None, None, 2.0]
    assert [row["seen"] for row in rows] == ["2024-01-02 03:04:05", None, None, None]
    target = place / "odd-decisions.csv"
    (place / "odd-decisions.json").unlink()
    decide(DecideConfig(place / "odd.parquet", place / "run", decisions=target, keep=keep))
    assert pd.read_csv(target)["note"].tolist()[:3] == ["caf�", "plain", '"quoted", with commas']


@pytest.mark.parametrize(
    ("keep", "error"),
    [
        (("nothing",), MissingColumnError),
        (("decision",), DecidingError),
        (("sensor_1",), DecidingError),
        (("entity",), ConfigError),
    ],
)
def test_columns_that_cannot_be_kept(
    place: Path, keep: tuple[str, ...], error: type[Exception]
) -> None:
    frame = pd.DataFrame(ROWS).assign(decision="x", sensor_1="y", entity="z")
    frame.to_csv(place / "more.csv", index=False)
    with pytest.raises(error, match=keep[0]):
        decide(DecideConfig(place / "more.csv", place / "run", place / "o.csv", keep=keep))
    assert not (place / "o.csv").exists()


@pytest.mark.long
def test_killed_while_it_decides(place: Path) -> None:
    """Nothing of its name is left, and the same command works afterwards."""
    rows = (place / "flows.csv").read_text().splitlines(keepends=True)
    (place / "many.csv").write_text("".join([rows[0], *rows[1:] * 2_000]))
    line = ["-m", "marl_stl_agents.commands.decide", str(place / "run")]
    line += ["--input", str(place / "many.csv"), "--decisions", str(place / "out.csv")]
    before = contents(place)
    with subprocess.Popen([sys.executable, *line], stdout=subprocess.DEVNULL) as program:
        while not list(place.glob(".out.csv.*/out.csv")):
            assert program.poll() is None
            time.sleep(0.01)
        program.kill()
    assert before.items() <= contents(place).items()
    assert not (place / "out.csv").exists()
    (place / "many.csv").write_text("".join(rows))
    assert main(line[2:]) == 0
    assert len(read(place / "out.csv")) == len(rows) - 1


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_folder_called_tilde_is_no_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~").mkdir()
    with decision_writer(Path("~") / f"x{ending}", pa.schema([("event", pa.int64())]), ending):
        pass
    assert (tmp_path / "~" / f"x{ending}").exists()


def test_an_input_that_is_written_in_another_way(trained: Path, tmp_path: Path) -> None:
    text = (trained / "flows.csv").read_text(encoding="utf-8")
    path = tmp_path / "new.csv"
    path.write_bytes(text.replace(",", ";").encode("utf-16"))
    plain, other = tmp_path / "plain.csv", tmp_path / "other.csv"
    decide(DecideConfig(trained / "flows.csv", trained / "run", plain))
    options = ["--input-options", "sep=semicolon", "encoding=utf-16"]
    command = [str(trained / "run"), "--input", str(path), "--decisions", str(other)]
    assert main(command) == 2
    assert main([*command, *options]) == 0
    assert other.read_text() == plain.read_text()
    assert main([*command[:-1], str(tmp_path / "c.csv"), "--input-options", "label=x"]) == 2

"""Decisions on new traffic: the same as those of the evaluation, whatever is missing."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from marl_stl_agents.checkpoints.policy import saved_policy
from marl_stl_agents.checkpoints.store import best_checkpoint
from marl_stl_agents.config import DecideConfig, EvaluateConfig, PPOConfig
from marl_stl_agents.evaluation.evaluate import evaluate
from marl_stl_agents.evaluation.new_traffic import decide
from marl_stl_agents.evaluation.result import as_json
from marl_stl_agents.evaluation.rollouts import Rollout, collect_rollout, greedy
from marl_stl_agents.run_directory import read_json

from marl_stl_env.config import DataConfig, EnvConfig, FaultConfig, StlConfig
from marl_stl_env.data import prepare
from marl_stl_env.data.datasets import nsl_kdd
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.spaces import observation_space
from marl_stl_env.errors import (
    DataFormatError,
    DecidingError,
    LabelError,
    MissingColumnError,
)
from marl_stl_env.types import Action
from tests.agents.evaluation.random_runs import make_run
from tests.conftest import FOUR
from tests.data.samples import (
    CUSTOM_COLUMNS,
    SAMPLES,
    custom_rows,
    write_csv,
)

CPU = torch.device("cpu")
SYNTHETIC = EnvConfig(data=DataConfig(dataset_options=("rows=4000",)), **FOUR)


def evaluated(run: Path, env: EnvConfig) -> Rollout:
    """What the evaluation says of the test split."""
    table = prepare(env).tables["test"]
    space = observation_space(Engine(env, table, lanes=1))
    policy = saved_policy(best_checkpoint(run), space, CPU)
    return collect_rollout(replace(env, faults=FaultConfig()), table, greedy(policy))


def raw_rows(prepared: PreparedData, split: str) -> pd.DataFrame:
    """The rows of a split as a file of the data set would have them, labels included."""
    raw, rows = prepared.raw, prepared.rows[split]  # type: ignore[index]
    frame = pd.DataFrame(np.array(raw.features[rows]), columns=list(raw.feature_names))
    for name, names in raw.categories.items():
        frame[name] = [names[int(code)] for code in frame[name]]
    frame["kind"] = [raw.family_names[code] for code in raw.families[rows]]
    return frame


def decisions(path: Path) -> pd.DataFrame:
    frame = pd.read_parquet(path)
    for name in frame.columns:
        if name == "decision" or name.startswith("sensor"):
            frame[name] = [Action[action] for action in frame[name]]
    return frame


def same(found: pd.DataFrame, rollout: Rollout) -> None:
    np.testing.assert_array_equal(found["decision"], rollout.decisions)
    sensors = [name for name in found.columns if name.startswith("sensor")]
    np.testing.assert_array_equal(found[sensors], rollout.actions)
    np.testing.assert_allclose(found["threat_score"], rollout.scores, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "run", SYNTHETIC)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return raw_rows(prepare(SYNTHETIC), "test")


def ask(run: Path, path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    target, summary = decide(DecideConfig(path, run, decisions=path.with_suffix(".out.parquet")))
    assert summary == read_json(target.with_suffix(".json"))
    return decisions(target), summary


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_the_test_split_again(run: Path, rows: pd.DataFrame, tmp_path: Path, suffix: str) -> None:
    """With labels the figures are those of evaluation.json."""
    path = tmp_path / f"flows{suffix}"
    rows.to_parquet(path) if suffix == ".parquet" else rows.to_csv(path, index=False)
    found, summary = ask(run, path)
    same(found, evaluated(run, SYNTHETIC))
    assert found["event"].tolist() == list(range(len(rows)))
    assert len(found["decision"].unique()) > 1
    result = evaluate(EvaluateConfig(run)).result
    evaluation = as_json(result)
    assert summary["decision"] == evaluation["decision"]
    assert summary["agents"] == {name: one.as_dict() for name, one in result.agents.items()}
    assert summary["baselines"]["oracle"] == result.baselines["oracle"].as_dict()
    assert summary["decisions"]["BLOCK"] == int((found["decision"] == Action.BLOCK).sum())
    assert summary["not_as_in_training"] == {"missing": [], "absent": {}, "unknown": {}}


def test_unlabelled_in_any_order_of_columns(run: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "flows.csv"
    rows.drop(columns="kind").iloc[:, ::-1].to_csv(path, index=False)
    found, summary = ask(run, path)
    same(found, evaluated(run, SYNTHETIC))
    assert "decision" not in summary
    assert "threat_rate" not in summary


def test_missing_columns_are_the_training_median(
    run: Path, rows: pd.DataFrame, tmp_path: Path
) -> None:
    raw, train = prepare(SYNTHETIC).raw, prepare(SYNTHETIC).rows["train"]
    column = raw.feature_names.index("entropy")
    by_hand = rows.assign(
        entropy=float(np.median(raw.features[train, column].astype(np.float64))), service="strange"
    )
    by_hand.loc[3, "entropy"] = np.nan
    for name, frame in (("short", rows.drop(columns=["entropy", "service"])), ("hand", by_hand)):
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    short, told = ask(run, tmp_path / "short.csv")
    hand, counted = ask(run, tmp_path / "hand.csv")
    pd.testing.assert_frame_equal(short, hand)
    assert told["not_as_in_training"] == {
        "missing": ["service", "entropy"], "absent": {}, "unknown": {},
    }  # fmt: skip
    assert counted["not_as_in_training"] == {
        "missing": [], "absent": {"entropy": 1}, "unknown": {"service": len(rows)},
    }  # fmt: skip


def test_too_many_missing_columns(run: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    content = ["service", "entropy", "header_fields", "failed_logins", "signed"]
    path = tmp_path / "flows.csv"
    rows.drop(columns=content[:2]).to_csv(path, index=False)
    ask(run, path)
    rows.drop(columns=content[:3]).to_csv(path, index=False)
    with pytest.raises(MissingColumnError, match="3 of the 5 columns of view 'content'"):
        decide(DecideConfig(path, run, decisions=tmp_path / "out.csv"))
    assert not (tmp_path / "out.csv").exists()


def test_a_bad_field_leaves_no_file(run: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "flows.csv"
    rows.astype({"entropy": object}).assign(entropy="x").to_csv(path, index=False)
    with pytest.raises(DataFormatError, match=r"row 2, column 'entropy': 'x' is not a number"):
        decide(DecideConfig(path, run, decisions=tmp_path / "out.csv"))
    rows.assign(kind="surprise").to_csv(path, index=False)
    with pytest.raises(LabelError, match="'surprise' is no kind of synthetic event"):
        decide(DecideConfig(path, run, decisions=tmp_path / "out.csv"))
    rows[:0].to_csv(path, index=False)
    with pytest.raises(DecidingError, match="no event"):
        decide(DecideConfig(path, run, decisions=tmp_path / "out.csv"))
    assert [one.name for one in tmp_path.iterdir()] == ["flows.csv"]


def test_chunks_join_without_a_seam(
    run: Path, rows: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "flows.csv"
    rows.to_csv(path, index=False)
    monkeypatch.setattr("marl_stl_env.data.ingest.readers.csv_rows.BLOCK_BYTES", 20_000)
    found, _ = ask(run, path)
    same(found, evaluated(run, SYNTHETIC))
    assert found["event"].tolist() == list(range(len(rows)))


@pytest.mark.parametrize(
    "env",
    [
        replace(SYNTHETIC, deliberation=1),
        replace(SYNTHETIC, faults=FaultConfig(1), stl=StlConfig(monitor=True)),
        replace(SYNTHETIC, data=replace(SYNTHETIC.data, threat_rate=0.3), agents=7, views="full"),
    ],
)
def test_teams_of_all_kinds(env: EnvConfig, tmp_path: Path) -> None:
    """Deliberation has its two rounds, and sensors trained among faulty ones are honest."""
    run = make_run(tmp_path / "run", env, PPOConfig(width=8, bins=0))
    raw_rows(prepare(env), "test").to_csv(tmp_path / "flows.csv", index=False)
    found, _ = ask(run, tmp_path / "flows.csv")
    same(found, evaluated(run, env))


def test_as_the_loaders_read(tmp_path: Path) -> None:
    """Files without a header line, with the loader's labels, and a table of one's own."""
    SAMPLES["nsl-kdd"](tmp_path)
    env = EnvConfig(data=DataConfig(dataset="nsl-kdd", data_dir=tmp_path))
    run = make_run(tmp_path / "kdd", env)
    found, summary = ask(run, tmp_path / "KDDTest+.txt")
    same(found, evaluated(run, env))
    assert summary["threat_rate"] == 0.5
    lines = (tmp_path / "KDDTest+.txt").read_text().splitlines()
    (tmp_path / "bare.csv").write_text("\n".join(line.rsplit(",", 2)[0] for line in lines) + "\n")
    bare, summary = ask(run, tmp_path / "bare.csv")
    pd.testing.assert_frame_equal(bare, found)
    assert "decision" not in summary
    named = pd.read_csv(tmp_path / "KDDTest+.txt", names=list(nsl_kdd.COLUMNS)).iloc[:, ::-1]
    named.to_csv(tmp_path / "named.csv", index=False, quoting=csv.QUOTE_ALL)
    quoted, summary = ask(run, tmp_path / "named.csv")
    pd.testing.assert_frame_equal(quoted, found)
    assert summary["threat_rate"] == 0.5

    write_csv(tmp_path / "own.csv", custom_rows(), CUSTOM_COLUMNS)
    options: Any = {
        "path": str(tmp_path / "own.csv"),
        "label": "is_attack",
        "drop": "when,kind,host",
    }
    run = make_run(
        tmp_path / "own", EnvConfig(data=DataConfig(dataset="custom", dataset_options=options))
    )
    shutil.copy(tmp_path / "own.csv", tmp_path / "new.csv")
    (tmp_path / "own.csv").unlink()  # the data of the training may be gone
    _, summary = ask(run, tmp_path / "new.csv")
    assert summary["events"] == 240
    assert summary["threat_rate"] == pytest.approx(1 / 3)


def test_rows_that_are_no_events(tmp_path: Path) -> None:
    """Repeated headers and empty rows have no decision; the others keep their places."""
    SAMPLES["cic-ids2017"](tmp_path)
    run = make_run(
        tmp_path / "run", EnvConfig(data=DataConfig(dataset="cic-ids2017", data_dir=tmp_path))
    )
    found, summary = ask(run, tmp_path / "Monday.csv")
    assert summary["events"] == 240
    assert found["event"].tolist() == [*range(100), *range(102, 242)]
    assert summary["not_as_in_training"]["absent"] == {"Flow Bytes/s": 10}


def test_command_line(run: Path, rows: pd.DataFrame, tmp_path: Path, capsys: Any) -> None:
    from marl_stl_agents.commands.decide import main

    path = tmp_path / "flows.csv"
    rows.drop(columns="entropy").to_csv(path, index=False)
    assert main([str(run), "--input", str(path)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"{len(rows)} events of" in told
    assert "columns that are missing and were filled in: entropy" in told
    assert "always_block" in told
    assert (run / "decisions.parquet").is_file()

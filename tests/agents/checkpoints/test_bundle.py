"""A bundle decides on raw columns as the team does; the example runs on onnxruntime alone."""

from __future__ import annotations

import json
import runpy
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from marl_stl_agents.commands import bundle
from marl_stl_agents.commands.bundle import raw_columns
from marl_stl_agents.commands.export import ExportConfig, export
from marl_stl_agents.config import PPOConfig
from marl_stl_agents.evaluation import rollouts
from marl_stl_agents.evaluation.new_traffic import load_team

from marl_stl_env.config import ConsensusConfig, DataConfig, EnvConfig, StlConfig
from marl_stl_env.data.prepare import prepare
from marl_stl_env.errors import ExportError
from tests.agents.evaluation.random_runs import make_run
from tests.agents.evaluation.test_new_traffic import raw_rows
from tests.conftest import FOUR
from tests.documents import ROOT

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra export)")
ENV = EnvConfig(data=DataConfig(dataset_options=("rows=2000",)), deliberation=1, **FOUR)
RESPONSE = replace(
    ENV, dynamics="response", episode_length=50, stl=StlConfig(monitor=True, shield=True)
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "run", ENV, seed=3)


@pytest.fixture(scope="module")
def exported(run: Path) -> Path:
    return export(ExportConfig(run, "bundle", run.parent / "team.onnx"))


def test_every_event_of_a_split(run: Path, exported: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    prepared = prepare(ENV)
    decision, score, votes = session.run(None, raw_columns(prepared, prepared.rows["test"]))
    wanted = load_team(run, device="cpu").decide(raw_rows(prepared, "test"), reason_columns=0)
    meta = session.get_modelmeta().custom_metadata_map
    facts = {name: json.loads(value) for name, value in meta.items()}
    names = np.array(facts["actions"])
    assert len(set(decision.tolist())) > 1
    assert names[decision].tolist() == wanted["decision"].tolist()
    np.testing.assert_allclose(score, wanted["threat_score"], atol=1e-5)
    sensors = [f"sensor_{i}" for i in range(4)]
    np.testing.assert_array_equal(names[votes], wanted[sensors].to_numpy())
    assert facts["shared"] == []
    assert facts["vote"] == {
        "rule": "threshold", "max_faulty": 1, "threshold": 2, "deliberation": 1, "shield": False,
    }  # fmt: skip
    assert [column["name"] for column in facts["columns"]] == [
        one.name for one in session.get_inputs()
    ]


def test_what_is_missing_or_unknown(run: Path, exported: Path) -> None:
    """NaN, infinities, strange and empty categories: as the team fills them in."""
    import onnxruntime

    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    prepared = prepare(ENV)
    frame = raw_rows(prepared, "test")[:60].reset_index(drop=True)
    feed = raw_columns(prepared, prepared.rows["test"][:60])
    for place, name in enumerate(feed):
        bad: Any = "strange" if feed[name].dtype == object else (np.nan, np.inf, -np.inf)[place % 3]
        feed[name][place] = bad
        frame.loc[place, name] = bad
    decision = session.run(["decision"], feed)[0]
    wanted = load_team(run, device="cpu").decide(frame)["decision"]
    codes = np.array([["ALLOW", "BLOCK", "QUARANTINE", "ALERT"].index(one) for one in wanted])
    np.testing.assert_array_equal(decision, codes)


def test_the_example(
    run: Path, exported: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(ENV)
    frame = raw_rows(prepared, "test")
    frame.add_prefix(" ").to_csv(tmp_path / "flows.csv", index=False)
    path = ROOT / "examples" / "onnx_decide.py"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 35
    monkeypatch.setattr("sys.argv", ["onnx_decide.py", str(exported), str(tmp_path / "flows.csv")])
    runpy.run_path(str(path), run_name="__main__")
    told = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    team = load_team(run, device="cpu")
    assert told == team.decide(pd.read_csv(tmp_path / "flows.csv"))["decision"].tolist()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "ppo"),
    [
        (RESPONSE, PPOConfig(width=8)),
        (replace(RESPONSE, agents=7, views="overlap"), PPOConfig(width=8, bins=0)),
        (replace(ENV, deliberation=0), PPOConfig(width=8, sharing="independent")),
        (replace(ENV, agents=7, views="overlap", second_opinions=2), PPOConfig(width=8)),
    ],
)
def test_teams_of_all_kinds(env: EnvConfig, ppo: PPOConfig, tmp_path: Path) -> None:
    """The check on every event of the validation split is part of the export."""
    run = make_run(tmp_path / "run", env, ppo, bias=0.0)
    out = export(ExportConfig(run, "bundle", tmp_path / "team.onnx"))
    assert out.stat().st_size > 1000


def test_a_bundle_that_decides_otherwise_is_not_left(
    run: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph is written as before, but the votes of the team it is compared with are turned."""
    del exported

    def copied(graph: Any, facts: Any, path: Path) -> None:
        shutil.copy(run.parent / "team.onnx", path)

    monkeypatch.setattr(bundle, "write_bundle", copied)
    right = rollouts.collect_rollout

    def turned(*given: Any) -> Any:
        rollout = right(*given)
        rollout.actions[5, 0] ^= 1
        return rollout

    monkeypatch.setattr(bundle, "collect_rollout", turned)
    with pytest.raises(ExportError, match=r"on 1 of .* nothing is written"):
        export(ExportConfig(run, "bundle", tmp_path / "team.onnx"))
    assert list(tmp_path.iterdir()) == []


def test_teams_that_do_not_fit(tmp_path: Path) -> None:
    weighted = replace(ENV, deliberation=0, consensus=ConsensusConfig(weights="reliability"))
    memory = replace(ENV, deliberation=0)
    for name, env, policy in (("weights", weighted, "mlp"), ("lstm", memory, "lstm")):
        run = make_run(tmp_path / name, env, PPOConfig(width=8, policy=policy))  # type: ignore[arg-type]
        with pytest.raises(ExportError, match="--format onnx"):
            export(ExportConfig(run, "bundle", tmp_path / "team.onnx"))

"""The command lines, end to end on real runs, and what they refuse."""

import json
import signal
import subprocess
import sys
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from marl_stl_agents.evaluation.byzantine import AWAKE_FAULTS
from marl_stl_agents.run_directory import find_run, read_config, read_json
from safetensors.torch import load_file

from marl_stl_env.config import DataConfig, EnvConfig, RewardConfig
from marl_stl_env.errors import RunError
from tests.documents import ROOT
from tests.programs import run_program

ROWS = "rows=6000"
FLAGS = "--backend native --lanes 32 --width 16 --iterations 4 --evaluate-every 2 --no-progress"
TEAM = "--agents 4 --views groups --stl off"
TRAIN = ["train.py", *f"{FLAGS} {TEAM}".split(" "), "--dataset-options", ROWS]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short real run, trained and evaluated through the command lines."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as printed:
        patch.chdir(folder)
        assert run_program(*TRAIN, "--team-share", "0.5") == 0
        assert "verdict:" in printed.getvalue()
        assert run_program("evaluate.py") == 0
    return find_run(next((folder / "runs").iterdir()))


def test_a_run_directory_is_complete(finished: Path) -> None:
    names = {path.name.split(".out.")[0] for path in finished.iterdir()}
    assert names == {
        "config.json",
        "data.json",
        "drift.npz",
        "progress.csv",
        "checklist.json",
        "events",
        "checkpoints",
        "validation.json",
        "evaluation.json",
        "curves.png",
    }
    assert (finished / "curves.png").read_bytes().startswith(b"\x89PNG")
    header = (finished / "progress.csv").read_text().splitlines()[0].split(",")
    for column in (
        "train/value_loss",
        "train/value_loss_reward_units",
        "train/explained_variance",
        "validation/f1",
    ):
        assert column in header


def test_the_configuration_comes_back(finished: Path) -> None:
    config = read_config(finished)
    assert config.env == EnvConfig(
        agents=4,
        views="groups",
        data=DataConfig(dataset_options=(ROWS,)),
        reward=RewardConfig(team_share=0.5),
    )
    assert (config.backend, config.lanes, config.iterations) == ("native", 32, 4)


def test_the_evaluation_is_consistent(finished: Path) -> None:
    result = read_json(finished / "evaluation.json")
    assert (result["schema"], result["dataset"], result["split"]) == (2, "synthetic", "test")
    assert result["events"] == 900
    assert result["stl"] == {}
    evaluated = {"decision": result["decision"], **result["agents"], **result["baselines"]}
    for name, figures in evaluated.items():
        tp, tn, fp, fn = (figures[count] for count in ("tp", "tn", "fp", "fn"))
        assert tp + tn + fp + fn == result["events"], name
        assert tp + fn == round(result["events"] * result["threat_rate"]), name
        earned = 10 * tp + tn - 8 * fp - 10 * fn
        assert figures["reward_per_event"] == pytest.approx(earned / result["events"], abs=1e-5)
    assert list(result["agents"]) == [f"sensor_{i}" for i in range(4)]
    assert sum(result["action_shares"].values()) == pytest.approx(1.0)
    assert result["baselines"]["oracle"]["f1"] == 1.0
    assert result["baselines"]["always_block"]["recall"] == 1.0
    reward, constant, oracle, ceiling = (
        figures["reward_per_event"]
        for figures in (
            result["decision"],
            result["baselines"]["always_allow"],
            result["baselines"]["oracle"],
            result["baselines"]["supervised"],
        )
    )
    assert result["normalized_score"] == pytest.approx((reward - constant) / (oracle - constant))
    assert result["ceiling_ratio"] == pytest.approx((reward - constant) / (ceiling - constant))
    assert sum(family["events"] for family in result["families"].values()) == round(
        900 * result["threat_rate"]
    )
    assert [(e["faulty"], e["fault"]) for e in result["byzantine"]] == [
        (1, fault) for fault in AWAKE_FAULTS
    ]
    # Against the worst fault nothing is gained; a team that lets all pass has nothing to lose.
    assert min(entry["reward_per_event"] for entry in result["byzantine"]) <= reward
    alone = [figures["reward_per_event"] for figures in result["agents"].values()]
    assert result["replicated"]["reward_per_event"] == max(alone)
    # Bayes' rule is the best there is, and no view suffices.
    bayes = result["baselines"]["bayes"]["reward_per_event"]
    assert bayes > result["baselines"]["supervised"]["reward_per_event"]
    assert bayes > result["baselines"]["bayes_vote"]["reward_per_event"] + 0.3


def test_evaluation_again_gives_the_same(finished: Path) -> None:
    before = (finished / "evaluation.json").read_text()
    assert run_program("evaluate.py", finished) == 0
    assert (finished / "evaluation.json").read_text() == before


def test_a_run_is_not_overwritten(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program(*TRAIN, "--no-preflight", "--run-dir", finished) == 2
    assert "already holds a run" in capsys.readouterr().err


def test_changed_data_is_noticed(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = read_json(finished / "data.json")
    data["splits"]["train"]["threats"] += 1
    copy = tmp_path / "run"
    copy.mkdir()
    (copy / "config.json").write_text((finished / "config.json").read_text())
    (copy / "data.json").write_text(json.dumps(data))
    assert run_program("evaluate.py", copy) == 2
    assert "differs from what" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--dataset no-such-set", "synthetic"),
        ("--lanes 0", "lanes"),
        ("--agents 0", "agents"),
        ("--agents 4 --threshold 4", r"outside [2, 3]"),
        ("--split test", "Unrecognized options"),
        ("--dataset nsl-kdd --data-dir /no/such/folder", "KDDTrain+.txt"),
        pytest.param(
            "--device cuda",
            "--device cpu",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is there"),
        ),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    arguments: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_program("train.py", *arguments.split()) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert message in error
    assert "Traceback" not in error
    assert not list(tmp_path.rglob("config.json"))


@pytest.mark.parametrize("arguments", ["", "no/such/run"])
def test_a_missing_run_is_named(
    arguments: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_program("evaluate.py", *arguments.split()) == 2
    assert "run" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{", '{"lanes": 0}', '{"env": {"agents": "many"}}'])
def test_a_damaged_configuration_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(RunError, match=r"config\.json"):
        read_config(tmp_path)


@pytest.mark.long  # tests/agents/training/test_interrupted.py stops before every single write
@pytest.mark.parametrize("delay", [0.0, 0.4, 1.1])
def test_a_killed_run_leaves_whole_files(delay: float, tmp_path: Path) -> None:
    flags = [*TRAIN[1:], "--no-preflight", "--run-dir", str(tmp_path / "run")]
    flags[flags.index("--evaluate-every") + 1] = "1"
    flags[flags.index("--iterations") + 1] = "500"
    command = [sys.executable, str(ROOT / "train.py"), *flags]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while not list(tmp_path.glob("run/checkpoints/*/checkpoint.json")):
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
    run = tmp_path / "run"
    read_config(run)
    for path in run.rglob("*.json"):
        json.loads(path.read_text())
    checkpoints = [path.parent for path in run.glob("checkpoints/*/checkpoint.json")]
    assert checkpoints
    for checkpoint in checkpoints:
        facts: dict[str, Any] = read_json(checkpoint / "checkpoint.json")
        assert facts["timesteps"] == int(checkpoint.name)
        assert load_file(checkpoint / "policy.safetensors")

"""Several seeds with one command: each an ordinary run, all of them together in one folder."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from marl_stl_agents.checkpoints.store import list_checkpoints
from marl_stl_agents.commands.options import TrainCommand
from marl_stl_agents.commands.seeds import evaluate_seeds
from marl_stl_agents.commands.train import act
from marl_stl_agents.config import EvaluateConfig
from marl_stl_agents.evaluation.result import write_result
from marl_stl_agents.evaluation.seeds.folder import is_seeds, new_seeds, open_seeds
from marl_stl_agents.run_directory import find_run, read_config, read_json
from marl_stl_agents.training import run as training
from marl_stl_agents.training import seeds
from marl_stl_agents.training.seeds import resume_seeds, train_seeds

from marl_stl_env.errors import ConfigError, DivergedError, RunError
from tests.agents.evaluation.results import make_result, metrics
from tests.agents.training.small_runs import small, weights_of, without_evaluation


def rewards_by_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every training ends with a result made by hand, in which the reward is the seed."""
    without_evaluation(monkeypatch)

    def evaluated(run: Path, config: Any, *_: Any) -> Any:
        del run
        return SimpleNamespace(result=make_result(decision=metrics(float(config.seed))))

    monkeypatch.setattr(training, "evaluate_run", evaluated)


def test_every_seed_is_a_run_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rewards_by_seed(monkeypatch)
    folder = tmp_path / "several"
    assert train_seeds(small(folder, iterations=2), (4, 1, 0)) == folder
    alone = replace(small(tmp_path / "alone", iterations=2), seed=1)
    training.train(alone)
    assert weights_of(folder / "seed_1") == weights_of(tmp_path / "alone")
    assert weights_of(folder / "seed_1") != weights_of(folder / "seed_4")
    assert read_config(folder / "seed_1") == replace(alone, run_dir=folder / "seed_1")
    content = read_json(folder / "seeds.json")
    assert (content["seeds"], content["schema"]) == ([4, 1, 0], 1)
    found = content["estimates"]["validation"]["reward_per_event"]
    assert (found["values"], found["mean"]) == ([4.0, 1.0, 0.0], pytest.approx(5 / 3))
    assert (found["low"], found["high"]) == (0.0, 4.0)
    shown = capsys.readouterr().out
    assert "3 seeds (4, 1, 0), validation split" in shown
    assert "1.667" in shown
    with pytest.raises(RunError, match=r"seed_0.*another run"):
        train_seeds(small(folder), (7, 8))
    with pytest.raises(RunError, match=r"a run for every seed.*seed_"):
        find_run(folder)


def test_the_data_is_checked_before_the_first_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[int, bool]] = []

    def pretended(config: Any) -> Path:
        begun.append((config.seed, config.preflight))
        config.run_dir.mkdir()
        write_result(config.run_dir / "validation.json", make_result())
        return Path(config.run_dir)

    monkeypatch.setattr(seeds, "train", pretended)
    train_seeds(replace(small(tmp_path / "several"), preflight=True), (3, 1, 2))
    assert begun == [(3, True), (1, False), (2, False)]


def test_what_was_interrupted_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewards_by_seed(monkeypatch)
    begun: list[int] = []

    def killed(config: Any) -> Path:
        begun.append(config.seed)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return training.train(config)

    monkeypatch.setattr(seeds, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        train_seeds(small(tmp_path, iterations=2), (0, 1, 2))
    assert open_seeds(tmp_path)[0].unfinished == (1, 2)
    before = (tmp_path / "seed_0" / "validation.json").stat().st_mtime_ns
    act(TrainCommand(resume=tmp_path))
    assert begun == [0, 1, 1, 2]
    assert (tmp_path / "seed_0" / "validation.json").stat().st_mtime_ns == before
    assert open_seeds(tmp_path)[0].unfinished == ()
    assert "validation" in read_json(tmp_path / "seeds.json")["estimates"]


def test_a_training_that_was_stopped_ends_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rewards_by_seed(monkeypatch)
    learn = training.learn
    monkeypatch.setattr(training, "learn", lambda *given: learn(*given) and False)
    train_seeds(small(tmp_path, iterations=2), (0, 1))
    assert f"stopped; continue with: marl-stl-train --resume {tmp_path}" in (
        capsys.readouterr().out.replace("\n", "")
    )
    assert not (tmp_path / "seed_1").exists()
    monkeypatch.setattr(training, "learn", learn)
    resume_seeds(tmp_path)
    assert open_seeds(tmp_path)[0].unfinished == ()


def test_all_are_prolonged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewards_by_seed(monkeypatch)
    train_seeds(small(tmp_path, iterations=1), (0, 1))
    resume_seeds(tmp_path, 2)
    for run in open_seeds(tmp_path)[0].runs:
        assert read_config(run).iterations == 2
        assert len(list_checkpoints(run)) == 2
    assert open_seeds(tmp_path)[1].iterations == 2
    with pytest.raises(ConfigError, match="begun with 2"):
        resume_seeds(tmp_path, 1)


def test_plugins_are_those_of_all_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewards_by_seed(monkeypatch)
    own = tmp_path / "own_for_seeds.py"
    own.write_text('"""A plugin that registers nothing."""\n')
    folder = tmp_path / "several"
    config = small(folder, iterations=1)
    train_seeds(replace(config, env=replace(config.env, plugins=(str(own),))), (0, 1))
    assert (folder / "plugins.json").read_text() == (folder / "seed_1/plugins.json").read_text()
    (folder / "seed_1" / "validation.json").unlink()
    resume_seeds(folder)
    known = (folder / "plugins.json").read_text()
    other = json.loads(known)
    other["plugins"][0]["sha256"] = "0" * 64  # as if another file had been trained with
    (folder / "plugins.json").write_text(json.dumps(other))
    with pytest.raises(RunError, match=r"plugin .* is not the one"):
        resume_seeds(folder)
    resume_seeds(folder, plugins=(str(own),))
    assert (folder / "plugins.json").read_text() == known


def test_one_that_diverges_does_not_end_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewards_by_seed(monkeypatch)

    def train(config: Any) -> Path:
        if config.seed == 0:
            raise DivergedError("NaN")
        return training.train(config)

    monkeypatch.setattr(seeds, "train", train)
    with pytest.raises(DivergedError, match=r"seed 0 of .* failed.*nothing is estimated.*NaN"):
        train_seeds(small(tmp_path, iterations=1), (0, 1))
    assert open_seeds(tmp_path)[0].unfinished == (0,)
    assert read_json(tmp_path / "seeds.json")["estimates"] == {}


@pytest.mark.parametrize("status", [0, 1])
def test_several_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """Processes that copy a finished evaluation in place of a training: never more than two.

    A module in the working directory does not stand in for one of Python's.
    """
    (tmp_path / "shutil.py").write_text("raise SystemExit('that of the working directory')")
    monkeypatch.chdir(tmp_path)
    result = tmp_path / "result.json"
    write_result(result, make_result())
    running: list[subprocess.Popen[bytes]] = []
    most = 0
    real = subprocess.Popen

    def start(command: list[str], **more: Any) -> subprocess.Popen[bytes]:
        nonlocal most
        run = Path(command[command.index("--resume") + 1])
        flags, module = command[1 : command.index("-m")], command[command.index("-m") + 1]
        assert module == "marl_stl_agents.commands.train"
        ending = f"; raise SystemExit({status})" if run.name == "seed_2" else ""
        copying = f"import shutil; shutil.copy({str(result)!r}, {str(run / 'validation.json')!r})"
        running.append(real([sys.executable, *flags, "-c", copying + ending], **more))
        most = max(most, sum(one.poll() is None for one in running))
        return running[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    folder = tmp_path / "several"
    config = small(folder)
    if status:
        with pytest.raises(RunError, match=r"seed 2 of .* failed.*see .*seed_2\.log"):
            train_seeds(config, (0, 1, 2, 3), at_once=2)
    else:
        train_seeds(config, (0, 1, 2, 3), at_once=2)
        assert len(read_json(folder / "seeds.json")["estimates"]["validation"]["f1"]["values"]) == 4
    assert len(running) == 4
    assert most <= 2
    assert [read_config(folder / f"seed_{seed}").seed for seed in range(4)] == [0, 1, 2, 3]


@pytest.mark.long
def test_trainings_in_processes_of_their_own(tmp_path: Path) -> None:
    train_seeds(small(tmp_path / "two", iterations=1), (0, 1), at_once=2)
    train_seeds(small(tmp_path / "one", iterations=1), (0, 1))
    for name in ("seed_0", "seed_1"):
        assert weights_of(tmp_path / "two" / name) == weights_of(tmp_path / "one" / name)


@pytest.mark.long
def test_evaluation_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewards_by_seed(monkeypatch)
    train_seeds(small(tmp_path, iterations=1), (2, 3))

    def evaluate_one(settings: EvaluateConfig) -> None:
        assert settings.run is not None
        reward = float(read_config(settings.run).seed) + 10
        result = make_result(decision=metrics(reward))
        write_result(settings.run / "evaluation.json", result)

    settings = EvaluateConfig(tmp_path)
    evaluate_seeds(settings, evaluate_one)
    found = read_json(tmp_path / "seeds.json")["estimates"]
    assert found["test"]["reward_per_event"]["values"] == [12.0, 13.0]
    assert found["validation"]["reward_per_event"]["values"] == [2.0, 3.0]
    (tmp_path / "seed_3" / "validation.json").unlink()
    with pytest.raises(RunError, match=r"seeds 3 is not finished.*--resume"):
        evaluate_seeds(settings, evaluate_one)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"seeds": ["x"]}, "seeds"),
        ({"schema": 2}, "schema"),
        ({"config": {}}, "lacks the setting"),
        ({"more": 1}, "more"),
    ],
)
def test_a_damaged_file(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    new_seeds(tmp_path, small(tmp_path), (0, 1))
    assert is_seeds(tmp_path)
    content = json.loads((tmp_path / "seeds.json").read_text())
    (tmp_path / "seeds.json").write_text(json.dumps(content | change))
    with pytest.raises(RunError, match=problem):
        open_seeds(tmp_path)


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ({"seed": 0, "seeds": (0, 1)}, r"--seed 0 and --seeds exclude each other"),
        ({"seeds": (1,)}, "at least two different ones"),
        ({"seeds": (1, 1)}, "at least two different ones"),
        ({"seeds": (1, -1)}, "seeds=-1"),
        ({"seeds": (0, 1), "sweep": Path("x")}, "leave --seeds out"),
        ({"seeds": (0, 1), "resume": Path("x")}, "no other flag"),
        ({"at_once": 2}, "add --seeds"),
        ({"at_once": 0, "seeds": (0, 1)}, "at_once=0"),
    ],
)
def test_flags_that_do_not_go_together(flags: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        TrainCommand(**flags)


def test_the_seed_that_was_not_given_is_the_usual_one() -> None:
    assert TrainCommand().settings().seed == 0
    assert TrainCommand(seed=3).settings().seed == 3

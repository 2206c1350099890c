"""``--resume`` with more iterations, and a log that has every step once."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from marl_stl_agents.commands.options import TrainCommand
from marl_stl_agents.commands.train import main
from marl_stl_agents.config import TrainConfig
from marl_stl_agents.console.tables import read_progress
from marl_stl_agents.diagnostics.log import ProgressWriter, cut_events, open_log
from marl_stl_agents.run_directory import read_config, read_json, write_config, write_json
from marl_stl_agents.training import resume as resume_module
from marl_stl_agents.training.progress import ProgressCallback
from marl_stl_agents.training.resume import restart, resume
from marl_stl_agents.training.run import train
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from marl_stl_env.errors import ConfigError, RunError
from tests.agents.training.small_runs import logged_steps, small, weights_of, without_evaluation

STEP = 2 * 4 * 8


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    without_evaluation(monkeypatch)


def shown_steps(run: Path) -> dict[str, list[int]]:
    """Every curve of TensorBoard, by its name: the steps that its files hold, in their order."""
    steps: dict[str, list[int]] = {}
    for path in sorted(run.glob("events.out.tfevents.*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                steps.setdefault(value.tag, []).append(event.step)
    return steps


def test_more_iterations_are_those_of_a_longer_run(tmp_path: Path) -> None:
    whole = train(small(tmp_path / "whole", iterations=4, schedule="constant"))
    part = train(small(tmp_path / "part", iterations=2, schedule="constant"))
    assert main(["--resume", str(part), "--iterations", "4"]) == 0
    assert weights_of(part) == weights_of(whole)
    assert logged_steps(part) == logged_steps(whole) == [STEP, 2 * STEP, 3 * STEP, 4 * STEP]
    assert read_config(part).iterations == 4
    assert shown_steps(part)["validation/f1"] == logged_steps(part)


def test_a_falling_learning_rate_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(small(tmp_path / "run", iterations=1))
    assert "schedule" not in capsys.readouterr().out
    resume(run, 3)
    told = " ".join(capsys.readouterr().out.split())
    assert "reaches its last value at iteration 3, and the weights differ" in told
    rates = read_progress(run)["train/learning_rate"]
    assert rates.tolist() == pytest.approx([0.0, 3e-3 / 3, 0.0])


def test_fewer_iterations_are_refused(tmp_path: Path) -> None:
    run = train(small(tmp_path / "run", iterations=2))
    with pytest.raises(ConfigError, match="iterations=1 with --resume: the run was begun with 2"):
        resume(run, 1)
    assert read_config(run).iterations == 2
    assert resume(run, 2) == run
    assert logged_steps(run) == [STEP, 2 * STEP]


def test_the_command_tells_given_iterations_from_the_default() -> None:
    assert TrainCommand().settings().iterations == 30
    assert TrainCommand(iterations=60, resume=Path("x")).iterations == 60
    assert TrainCommand(resume=Path("x")).iterations is None
    assert TrainCommand(restart=Path("x"), iterations=3).iterations == 3


def test_a_restart_may_be_shorter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the message says that refuses a shorter continuation."""
    write_config(tmp_path, TrainConfig(iterations=40, lanes=3))
    begun: list[TrainConfig] = []
    monkeypatch.setattr(resume_module, "train", begun.append)
    restart(tmp_path, Path("new"), iterations=7)
    restart(tmp_path, Path("new"))
    assert [(one.iterations, one.lanes) for one in begun] == [(7, 3), (40, 3)]


def test_a_training_in_turns_is_not_continued_as_a_training(tmp_path: Path) -> None:
    write_config(tmp_path, TrainConfig())
    write_json(tmp_path / "redteam.json", {})
    with pytest.raises(RunError, match="marl-stl-adversarial command that began it"):
        resume(tmp_path)


def test_a_run_of_an_older_version_can_be_trained_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the message says that refuses to continue it."""
    write_config(tmp_path, TrainConfig(lanes=3))
    content = read_json(tmp_path / "config.json")
    del content["ppo"]["width"], content["warm_start"]
    write_json(tmp_path / "config.json", content)
    with pytest.raises(RunError, match=f"lacks the setting .*--restart {tmp_path}$"):
        resume(tmp_path)
    begun: list[TrainConfig] = []
    monkeypatch.setattr(resume_module, "train", begun.append)
    restart(tmp_path, Path("new"))
    assert begun == [TrainConfig(lanes=3, run_dir=Path("new"))]
    told = " ".join(capsys.readouterr().out.split())
    assert "older version: warm_start, ppo.width take this version's defaults" in told
    write_json(tmp_path / "config.json", content | {"lannes": 3})
    with pytest.raises(RunError, match="unknown setting 'lannes'"):
        restart(tmp_path)


def test_a_resumed_run_is_silent_where_it_is_asked_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars: list[int] = []

    class Counted(ProgressCallback):
        def __init__(self, total: int) -> None:
            bars.append(total)
            super().__init__(total)

    monkeypatch.setattr("marl_stl_agents.training.run.ProgressCallback", Counted)
    run = train(small(tmp_path / "run", iterations=1, schedule="constant"))
    assert main(["--resume", str(run), "--iterations", "2", "--no-progress"]) == 0
    assert bars == []
    assert main(["--resume", str(run), "--iterations", "3"]) == 0
    assert bars == [3 * STEP]
    assert read_config(run).progress is False  # a bar is the terminal's, not the run's


def test_every_step_is_shown_once_after_a_resume(tmp_path: Path) -> None:
    run = train(small(tmp_path / "run", iterations=4))
    before = shown_steps(run)
    shutil.rmtree(run / "checkpoints" / f"{4 * STEP:012d}")  # as if killed before it
    shutil.rmtree(run / "checkpoints" / f"{3 * STEP:012d}")
    resume(run)
    assert shown_steps(run) == before
    assert before["rollout/reward_per_event"] == [STEP, 2 * STEP, 3 * STEP, 4 * STEP]
    for name, steps in before.items():
        assert len(steps) == len(set(steps)), name
    assert logged_steps(run) == before["train/loss"]
    events = EventAccumulator(str(run))
    events.Reload()
    assert [one.step for one in events.Scalars("train/value_loss")] == logged_steps(run)


def test_a_resume_without_a_checkpoint_begins_the_log_anew(tmp_path: Path) -> None:
    run = train(small(tmp_path / "run", iterations=2))
    shutil.rmtree(run / "checkpoints")
    resume(run)
    assert logged_steps(run) == shown_steps(run)["train/loss"] == [STEP, 2 * STEP]


def test_the_log_grows_by_columns_and_drops_a_half_row(tmp_path: Path) -> None:
    path = tmp_path / "progress.csv"
    log = ProgressWriter(path, 0)
    nothing: dict[str, tuple[str, ...]] = {"a": (), "b": (), "hidden": ("csv",)}
    log.write({"b": 1.5}, nothing, 10)
    log.write({"a": np.float32(0.25), "b": 2.5, "hidden": 1}, nothing, 20)
    log.write({"a": 0.5}, nothing, 30)
    log.close()
    assert path.read_text() == ("b,time/total_timesteps,a\n1.5,10,\n2.5,20,0.25\n,30,0.5\n")
    path.write_text(path.read_text() + "9.5,4")  # killed while it was written
    ProgressWriter(path, 20).close()
    assert path.read_text() == "b,time/total_timesteps,a\n1.5,10,\n2.5,20,0.25\n"


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a,b\n1,2\n", b"time/total_timesteps\nx\n"])
def test_a_damaged_log_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "progress.csv").write_bytes(content + b"\n")
    with pytest.raises(RunError, match=r"progress\.csv is damaged .*remove it"):
        open_log(tmp_path, 0)


def test_a_half_event_is_dropped(tmp_path: Path) -> None:
    run = train(small(tmp_path / "run", iterations=2))
    (path,) = run.glob("events.out.tfevents.*")
    whole = path.read_bytes()
    cut_events(path, 2 * STEP)
    assert path.read_bytes() == whole
    path.write_bytes(whole[:-7])
    cut_events(path, 2 * STEP)
    assert whole.startswith(path.read_bytes())
    assert len(path.read_bytes()) < len(whole) - 7
    path.write_bytes(b"\xff" * 100)
    cut_events(path, 2 * STEP)
    assert not path.exists()

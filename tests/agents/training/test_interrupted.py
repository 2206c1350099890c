"""A training that ends between any two of its writes leaves a folder that can be gone on with."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from marl_stl_agents.checkpoints import store
from marl_stl_agents.diagnostics.log import ProgressWriter
from marl_stl_agents.run_directory import read_json
from marl_stl_agents.training.resume import resume
from marl_stl_agents.training.run import train

from marl_stl_env.errors import RunError
from tests.agents.training.small_runs import logged_steps, small, weights_of, without_evaluation


class Killed(BaseException):
    """The process ends here."""


def killed_before(write: int, patch: pytest.MonkeyPatch) -> list[str]:
    """Let the process end before a write, counted from 0; returns the names of those before."""
    done: list[str] = []

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*arguments: Any) -> Any:
            if len(done) == write:
                raise Killed
            target = arguments[-1] if name == "replace" else arguments[0]
            done.append(f"{name} {Path(target).name}" if name != "log" else name)
            return call(*arguments)

        return instead

    patch.setattr(os, "replace", counted("replace", os.replace))
    patch.setattr(Path, "rename", counted("rename", Path.rename))
    patch.setattr(ProgressWriter, "write", counted("log", ProgressWriter.write))
    return done


def train_until_killed(run: Path, write: int) -> list[str] | None:
    """A training that is killed before a write; None where it ended before."""
    with pytest.MonkeyPatch.context() as patch:
        without_evaluation(patch)
        done = killed_before(write, patch)
        try:
            train(small(run, iterations=3))
        except Killed:
            return done
    return None


def files_of(run: Path) -> list[str]:
    """The names in a run directory; those of TensorBoard's files hold the time."""
    return sorted(path.name for path in run.iterdir() if "tfevents" not in path.name)


@pytest.mark.long
def test_a_kill_between_any_two_writes_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_evaluation(monkeypatch)
    monkeypatch.setattr(store, "_KEEP_NEWEST", 1)
    whole = train(small(tmp_path / "whole", iterations=3))
    places: list[str] = []
    writes = 0
    while (done := train_until_killed(tmp_path / str(writes), writes)) is not None:
        run = tmp_path / str(writes)
        places.append(done[-1] if done else "")
        if (run / "config.json").exists():
            with pytest.raises(RunError, match=f"continue it with --resume {run}"):
                train(small(run))
            resume(run)
        else:
            train(small(run, iterations=3))
        assert weights_of(run) == weights_of(whole), done
        assert logged_steps(run) == logged_steps(whole), done
        assert files_of(run) == files_of(whole), done
        for name in ("data.json", "validation.json", "checklist.json"):
            assert read_json(run / name) == read_json(whole / name), done
        writes += 1
    assert {"log", "rename 000000000128", "replace config.json", "replace data.json"} <= set(places)
    assert {"replace checklist.json", "replace progress.csv", "replace curves.png"} <= set(places)
    assert len(places) > 15


@pytest.mark.parametrize("left", ["checkpoints", "progress.csv", "evaluation.json", "report.html"])
def test_leftovers_are_never_taken_for_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    without_evaluation(monkeypatch)
    run = tmp_path / "run"
    if left == "checkpoints":
        (run / left / "000000000064").mkdir(parents=True)
        (run / left / "000000000064" / "precious").write_text("mine")
    else:
        run.mkdir()
        (run / left).write_text("mine")
    with pytest.raises(RunError, match=rf"holds {left}, left by another run; choose another"):
        train(small(run))
    (kept,) = [path for path in run.rglob("*") if path.is_file()]
    assert kept.read_text() == "mine"
    assert [path.name for path in run.iterdir()] == [left]


def test_files_of_other_names_are_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_evaluation(monkeypatch)
    (tmp_path / "notes.txt").write_text("mine")
    train(replace(small(tmp_path, iterations=1)))
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_two_runs_of_one_second_have_two_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_evaluation(monkeypatch)
    monkeypatch.chdir(tmp_path)
    runs = [train(replace(small(tmp_path, iterations=1), run_dir=None)) for _ in range(3)]
    assert len(set(runs)) == 3

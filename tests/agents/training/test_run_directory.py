"""What is refused of a run directory: another's lock, links, strange settings, wild numbers."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from marl_stl_agents.checkpoints.policy import saved_policy
from marl_stl_agents.checkpoints.store import best_checkpoint, list_checkpoints
from marl_stl_agents.config import EvaluateConfig
from marl_stl_agents.evaluation.evaluate import evaluate
from marl_stl_agents.run_directory import (
    find_run,
    new_run,
    read_config,
    read_json,
    saved_preprocessor,
    write_config,
    write_json,
)
from marl_stl_agents.training.resume import resume
from marl_stl_agents.training.run import train
from safetensors.numpy import load_file, save_file

from marl_stl_env.errors import RunError, RunLockedError
from tests.agents.training.small_runs import small, weights_of, without_evaluation

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A short run that is finished."""
    with pytest.MonkeyPatch.context() as patch:
        without_evaluation(patch)
        yield train(small(tmp_path_factory.mktemp("runs") / "run", iterations=2))


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which two more iterations are wanted of."""
    without_evaluation(monkeypatch)
    shutil.copytree(trained, tmp_path / "run")
    change(tmp_path / "run" / "config.json", lambda config: config.update(iterations=4))
    return tmp_path / "run"


def change(path: Path, how: Change) -> None:
    content = read_json(path)
    how(content)
    path.write_text(json.dumps(content))


_TRAIN = """
import sys
from pathlib import Path
from marl_stl_agents.training import resume
resume.prepare_again = lambda *given: print("held", flush=True) or sys.stdin.read()
resume.resume(Path(sys.argv[1]))
"""


def test_a_run_is_trained_by_one_process(run: Path) -> None:
    before = set(run.rglob("*"))
    line = [sys.executable, "-c", _TRAIN, str(run)]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        told = f"the run {run} is being trained by process {other.pid} on"
        with pytest.raises(RunLockedError, match=told):
            resume(run)
        assert read_config(find_run(run)).iterations == 4  # readers are not kept out
        other.send_signal(signal.SIGKILL)
    resume(run)
    assert len(list_checkpoints(run)) == 4
    assert set(run.rglob("*")) >= before  # nothing was lost, and the lock is gone
    assert not (run / ".lock").exists()


def test_a_new_run_is_kept_out_of_a_folder_that_is_trained_in(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from marl_stl_agents.run_directory import locked_run\n"
        "with locked_run(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    line = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(RunLockedError, match=str(tmp_path)):
            train(small(tmp_path))
        other.kill()
    assert not (tmp_path / "config.json").exists()


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (lambda c: c.clear(), "lacks the setting 'env'"),
        (lambda c: c.update(lannes=5), r"unknown setting 'lannes' \(.* is 'lanes'\)"),
        (lambda c: c["ppo"].update(learning_rat=1), "'ppo.learning_rat'.*'ppo.learning_rate'"),
        (lambda c: c["env"]["data"].update(x=1), r"'env\.data\.x'"),
        (lambda c: c["ppo"].pop("width"), r"lacks the setting 'ppo\.width'"),
        (lambda c: c["env"]["reward"].pop("team_share"), r"lacks .*'env\.reward\.team_share'"),
        (lambda c: c.update(ppo=3), "ppo. holds no settings"),
        (lambda c: c.update(lanes="4"), "lanes: .* integer"),
        (lambda c: c.update(lanes=True), "lanes: .* integer"),
        (lambda c: c.update(lanes=10**400), "lanes"),
        (lambda c: c.update(threads=10**6), r"threads=1000000 is outside \[1, 1024\]"),
        (lambda c: c["ppo"].update(width=10**9), "width=1000000000 is outside"),
        (lambda c: c.update(seed=None), "seed: .* integer"),
        (lambda c: c.update(backend="other"), "backend"),
    ],
)
def test_settings_are_exactly_those_of_this_version(run: Path, how: Change, told: str) -> None:
    change(run / "config.json", how)
    with pytest.raises(RunError, match=rf"config\.json.*{told}"):
        read_config(run)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "3", "[" * 10**5, '{"a": 1, "a": 2}', '{"a": 1e999}', '{"a": NaN}', "\ud800"],
)
def test_strange_json_is_damaged(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(RunError, match=r"config\.json"):
        read_config(tmp_path)


def test_the_configuration_is_the_same_when_read(tmp_path: Path) -> None:
    config = small(tmp_path / "a")
    run = new_run(config)
    assert read_config(run) == config
    write_config(run, read_config(run))
    assert read_config(run) == config


@pytest.mark.parametrize("name", ["checkpoints", "config.json", "data.json", "progress.csv"])
@pytest.mark.parametrize("to", ["elsewhere", "nothing", "itself"])
def test_links_out_of_a_run_are_not_followed(run: Path, name: str, to: str) -> None:
    path, away = run / name, run.parent / "away"
    path.rename(away)
    target = {"elsewhere": away, "nothing": run.parent / "planted", "itself": path}[to]
    path.symlink_to(target)
    before = sorted(str(one) for one in run.parent.rglob("*"))
    for act in (resume, lambda run: evaluate(EvaluateConfig(run=run))):
        with pytest.raises(RunError, match=f"{name} is a link to"):
            act(run)
    assert sorted(str(one) for one in run.parent.rglob("*")) == before


def test_a_link_in_a_checkpoint_is_not_followed(run: Path) -> None:
    path = list_checkpoints(run)[-1].path / "policy.safetensors"
    path.rename(run.parent / "weights")
    path.symlink_to(run.parent / "weights")
    with pytest.raises(RunError, match=r"policy\.safetensors is a link to"):
        find_run(run)


def test_a_link_to_a_run_is_no_link_out_of_it(run: Path) -> None:
    (run.parent / "latest").symlink_to(run)
    assert resume(run.parent / "latest") == run.parent / "latest"


def test_a_pipe_is_not_waited_for(run: Path) -> None:
    (run / "data.json").unlink()
    os.mkfifo(run / "data.json")
    with pytest.raises(RunError, match="neither a file nor a folder"):
        resume(run)


def facts_of(run: Path) -> Path:
    return list_checkpoints(run)[-1].path / "checkpoint.json"


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (lambda c: c.update(timesteps=7), "timesteps is '7'"),
        (lambda c: c.update(timesteps="128"), "timesteps"),
        (lambda c: c["validation"].update(reward_per_event=True), "reward_per_event"),
        (lambda c: c["validation"].update(reward_per_event=1e300), "reward_per_event"),
        (lambda c: c["trainer"].update(timesteps=-1), "timesteps is '-1'"),
        (lambda c: c["trainer"].update(timesteps=1.5), "timesteps is '1.5'"),
        (lambda c: c["trainer"].update(updates=2**60), "updates"),
        (lambda c: c["trainer"].update(numpy=["MT19937", 10**9, 0, 0.0]), "numpy's position"),
        (lambda c: c["trainer"].update(numpy=["MT19937", -1, 0, 0.0]), "numpy's position"),
        (lambda c: c["trainer"].update(numpy=["PCG64", 0, 0, 0.0]), "numpy's generator"),
        (lambda c: c["trainer"].update(numpy=[]), "not of this configuration"),
        (lambda c: c["trainer"].update(episodes=[{"r": "x"}]), "statistics of an episode"),
        (lambda c: c["trainer"].update(episodes=3), "not of this configuration"),
        (lambda c: c.update(trainer=3), "does not hold a trainer's state"),
        (lambda c: c["architecture"].update(hidden_width=2**14, depth=64), "not"),
    ],
)
def test_wild_facts_of_a_checkpoint_are_refused(run: Path, how: Change, told: str) -> None:
    change(facts_of(run), how)
    with pytest.raises(RunError, match=told):
        resume(run)


def test_a_stated_policy_larger_than_its_file_is_never_built(run: Path) -> None:
    checkpoint = list_checkpoints(run)[-1]
    stated = read_json(facts_of(run))["architecture"]
    space = spaces.Box(-5, 5, (stated["observation_width"],), dtype=np.float32)
    for size in ({"hidden_width": 2**14, "depth": 64},):
        write_json(facts_of(run), read_json(facts_of(run)) | {"architecture": stated | size})
        with pytest.raises(RunError, match=r"takes more than .* the checkpoint is damaged"):
            saved_policy(checkpoint, space, torch.device("cpu"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rng.numpy", np.zeros(3, np.uint32)),
        ("rng.torch", np.zeros(16, np.uint8)),
        ("rng.torch", np.full(5056, 255, np.uint8)),
        ("normalizer.moments", np.array([0.0, -1.0, 3.0])),
        ("normalizer.moments", np.array([0.0, np.nan, 3.0])),
        ("normalizer.returns", np.zeros(3)),
        ("monitor.lengths", np.full(8, -1, np.int32)),
        ("optimizer.0.step", np.float32(-1.0)),
        ("model.last_obs", np.zeros((8, 3), np.float32)),
        ("lanes.positions", np.full(2, 10**9)),
    ],
)
def test_wild_arrays_of_a_trainer_are_refused(run: Path, name: str, value: Any) -> None:
    path = list_checkpoints(run)[-1].path / "trainer.safetensors"
    arrays = load_file(path)
    assert name in arrays
    save_file(arrays | {name: np.asarray(value)}, path)
    with pytest.raises(RunError, match="not of this configuration"):
        resume(run)


def numeric(preprocessor: dict[str, Any]) -> dict[str, Any]:
    """The first column that is scaled."""
    found: dict[str, Any] = next(one for one in preprocessor["columns"] if "scale" in one)
    return found


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (lambda p: numeric(p).update(scale=0.0), "scale > 0"),
        (lambda p: numeric(p).update(mean="3"), "no finite number"),
        (lambda p: numeric(p).update(minimum=9e9, maximum=-9e9), "minimum <= median"),
        (lambda p: numeric(p).update(symlog=3), "symlog"),
        (lambda p: numeric(p).update(name="other"), "one of the inputs"),
        (lambda p: numeric(p).update(more=1), "more"),
        (lambda p: p["columns"].append(numeric(p)), "each of them once"),
        (lambda p: p.update(columns=[]), "each of them once"),
        (lambda p: p.update(columns=3), "does not describe"),
        (lambda p: p.update(views={}), "has views"),
        (lambda p: p.update(views={"a": ["nowhere"]}), "nowhere"),
        (lambda p: p.update(views={"a": "duration"}), "not a list of different names"),
        (lambda p: p.update(inputs=[1, 2]), "not a list of different names"),
    ],
)
def test_a_wild_scaling_is_refused(run: Path, how: Change, told: str) -> None:
    assert saved_preprocessor(run).feature_names
    change(run / "data.json", lambda data: how(data["preprocessor"]))
    with pytest.raises(RunError, match=rf"data\.json.*{told}"):
        saved_preprocessor(run)


def test_an_unfinished_folder_among_the_checkpoints_is_named(run: Path) -> None:
    (run / "checkpoints" / "000000009999").mkdir()
    with pytest.raises(RunError, match=r"000000009999/checkpoint\.json .*remove its folder"):
        best_checkpoint(run)
    (run / "checkpoints" / "000000009999").rename(run / "checkpoints" / "mine")
    resume(run)
    assert (run / "checkpoints" / "mine").is_dir()


def test_resuming_leaves_nothing_in_the_temporary_folder(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    resume(run)
    assert list((tmp_path / "temporary").iterdir()) == []
    assert weights_of(run)

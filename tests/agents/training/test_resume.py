"""A training that was stopped or killed ends with the weights of one that was not."""

import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from marl_stl_agents.algorithms.ppo import make_trainer
from marl_stl_agents.checkpoints.store import list_checkpoints, load_trainer
from marl_stl_agents.checkpoints.trainer_state import TrainerState, capture, restore
from marl_stl_agents.commands.options import TrainCommand
from marl_stl_agents.config import (
    Backend,
    PPOConfig,
    TrainConfig,
)
from marl_stl_agents.console.tables import read_progress
from marl_stl_agents.diagnostics.checklist import read_checklist
from marl_stl_agents.training.callbacks import ViolationRatesCallback
from safetensors.numpy import load_file

from marl_stl_env.config import EnvConfig, StlConfig
from marl_stl_env.envs.base import team_env
from marl_stl_env.errors import ConfigError, RunError
from tests.conftest import FOUR, make_table
from tests.documents import ROOT
from tests.programs import run_program

CPU, TABLE = torch.device("cpu"), make_table()
CONFIG = TrainConfig(
    env=EnvConfig(episode_length=21, **FOUR),
    ppo=PPOConfig(n_steps=16, batch_size=64, n_epochs=2, width=16, discount=0.9),
    lanes=4,
    seed=3,
    stl="off",
)
ITERATION = 16 * 16
LSTM, INDEPENDENT = {"policy": "lstm"}, {"sharing": "independent"}
BATCH, NONE = ({"return_normalization": name} for name in ("batch", "none"))


def build(backend: Backend, stl: Any = "off", **settings: Any) -> Any:
    config = replace(CONFIG, backend=backend, ppo=replace(CONFIG.ppo, **settings), stl=stl)
    if stl != "off":
        specs = StlConfig(specs=("quiet=G (alerts_4 <= 2)", "open=G (denied_8 <= 0.6)"))
        config = replace(config, env=replace(config.env, stl=specs))
    return make_trainer(config, TABLE, CPU)


def learn(model: Any, iterations: int, again: bool = False) -> None:
    """Train under a schedule of four iterations, whatever part of it this is."""
    model.lr_schedule = lambda _: 1e-3
    task = team_env(model.env).engines[0].config
    watched = replace(CONFIG, env=task, stl="monitor" if task.stl.monitor else "off")
    rates = ViolationRatesCallback(watched, TABLE)
    model.learn(iterations * ITERATION, callback=rates, reset_num_timesteps=not again)


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.policy.state_dict().items()}


@pytest.mark.parametrize(
    ("before", "after", "settings"),
    [
        *product(["native", "supersuit"], ["native", "supersuit"], [{}]),
        ("native", "native", BATCH),
        ("torch", "torch", NONE),
        *(
            pytest.param(backend, backend, settings, marks=pytest.mark.long)
            for backend, settings in (("native", NONE), ("torch", {}), ("torch", BATCH))
        ),
        *product(["native"], ["native"], [LSTM, INDEPENDENT]),
        pytest.param("supersuit", "supersuit", LSTM, marks=pytest.mark.long),
        ("supersuit", "supersuit", INDEPENDENT),
        *product(["native"], ["supersuit"], [{"stl": "shape"}, {"stl": "lagrangian"}]),
        *product(["torch"], ["torch"], [{"stl": "shape"}, {"stl": "lagrangian"}]),
        pytest.param("native", "native", LSTM | {"stl": "shape"}, marks=pytest.mark.long),
    ],
)
def test_continuing_equals_never_having_stopped(
    before: Backend, after: Backend, settings: dict[str, Any]
) -> None:
    # Building a model seeds the generators that it then uses.
    whole = build(before, **settings)
    learn(whole, 4)
    part = build(before, **settings)
    learn(part, 2)
    saved = capture(part)
    other = build(after, **settings)
    kept = {name: array.copy() for name, array in saved.arrays.items()}
    np.random.seed(99)
    torch.manual_seed(99)
    other.policy.load_state_dict(weights(part))
    restore(other, saved)
    learn(other, 2, again=True)
    assert other.num_timesteps == whole.num_timesteps == 4 * ITERATION
    for name, value in weights(whole).items():
        torch.testing.assert_close(weights(other)[name], value, rtol=0, atol=0)
    if settings.get("stl") == "lagrangian":
        assert other.multipliers.values.tolist() == whole.multipliers.values.tolist()
        assert whole.multipliers.values.max() > 0
    episodes = [[one["r"] for one in model.ep_info_buffer] for model in (whole, other)]
    assert episodes[0] == pytest.approx(episodes[1])
    for name, array in kept.items():  # what was saved is not written to later
        np.testing.assert_array_equal(saved.arrays[name], array)


@pytest.mark.parametrize(
    "lost",
    [
        "rng.torch",
        "rng.numpy",
        "normalizer.moments",
        "normalizer.returns",
        "monitor.returns",
        "lanes.positions",
        "optimizer.0.exp_avg",
        "model.last_obs",
        "memory.2",
    ],
)
def test_an_incomplete_state_is_refused(lost: str) -> None:
    model = build("native", **LSTM)
    learn(model, 1)
    state = capture(model)
    arrays = {name: array for name, array in state.arrays.items() if name != lost}
    assert len(arrays) == len(state.arrays) - 1
    with pytest.raises(RunError, match="not of this configuration"):
        restore(build("native", **LSTM), TrainerState(arrays, state.facts))


def fresh(run: Path, backend: str, iterations: int) -> list[str]:
    """The flags of a new small run."""
    flags = "--lanes 16 --width 16 --evaluate-every 1 --no-progress --no-preflight"
    sizes = ["--dataset-options", "rows=10000", "--iterations", str(iterations)]
    return [*flags.split(" "), *sizes, "--backend", backend, "--run-dir", str(run)]


def training(flags: list[str]) -> list[str]:
    """The command of a training in a process of its own, which can be killed."""
    return [sys.executable, str(ROOT / "train.py"), *flags]


def final_weights(run: Path) -> dict[str, Any]:
    """The saved tensors, as lists of numbers."""
    content = load_file(list_checkpoints(run)[-1].path / "policy.safetensors")
    return {name: array.tolist() for name, array in content.items()}


def progress_of(run: Path) -> int:
    """The agent-steps of the newest checkpoint, also while old ones are being removed."""
    found = run.glob("checkpoints/*/checkpoint.json")
    return max((int(facts.parent.name) for facts in found), default=0)


def kill_at_random(run: Path, backend: str, iterations: int, draw: random.Random) -> None:
    """Begin or continue a run, and kill it at a random moment of one of its next iterations."""
    begun = (run / "config.json").exists()
    line = training(["--resume", str(run)] if begun else fresh(run, backend, iterations))
    wanted = progress_of(run) + draw.randrange(0 if begun else 1, 3) * 16 * 4 * 64
    with subprocess.Popen(line, stdout=subprocess.DEVNULL) as process:
        while progress_of(run) < wanted and process.poll() is None:
            time.sleep(0.01)
        time.sleep(draw.random() * 0.5)
        process.kill()
    assert process.returncode == -signal.SIGKILL, "the run ended before it was killed"


def assert_killed_run_ends_the_same(backend: str, kills: int, folder: Path) -> None:
    whole, killed, iterations = folder / "whole", folder / "killed", 4 * kills + 6
    assert run_program("train.py", *fresh(whole, backend, iterations)) == 0
    draw = random.Random(0)
    for _ in range(kills):
        kill_at_random(killed, backend, iterations, draw)
    assert 0 < progress_of(killed) < progress_of(whole)
    assert run_program("train.py", "--resume", killed) == 0
    assert final_weights(killed) == final_weights(whole)
    assert progress_of(killed) == progress_of(whole)
    assert read_checklist(killed) == read_checklist(whole)
    assert len(read_checklist(whole).history) == iterations
    logs = [read_progress(run) for run in (whole, killed)]
    for name in ("steps", "train/value_loss", "validation/f1"):
        assert logs[1][name].tolist() == logs[0][name].tolist()


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    assert_killed_run_ends_the_same("native", 1, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("backend", ["native", "supersuit", "torch"])
def test_a_run_killed_ten_times_ends_with_the_same_weights(backend: str, tmp_path: Path) -> None:
    assert_killed_run_ends_the_same(backend, 10, tmp_path)


@pytest.mark.long
def test_a_signal_saves_and_stops(tmp_path: Path) -> None:
    run = tmp_path / "run"
    line = training(fresh(run, "native", iterations=400))
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for said in process.stdout:
            if "validation" in said and "agent-steps" in said:
                break
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
    assert process.returncode == 0
    assert "--resume" in rest
    state = load_trainer(list_checkpoints(run)[-1])
    assert state.facts["timesteps"] == list_checkpoints(run)[-1].timesteps
    assert not (run / "validation.json").exists()


def test_resume_takes_no_other_settings() -> None:
    assert TrainCommand(resume=Path("x")).resume == Path("x")
    assert TrainCommand(restart=Path("x"), run_dir=Path("y")).run_dir == Path("y")
    for wrong in (
        {"resume": Path("x"), "lanes": 3},
        {"resume": Path("x"), "restart": Path("y")},
        {"resume": Path("x"), "run_dir": Path("y")},
        {"restart": Path("x"), "seed": 3},
    ):
        with pytest.raises(ConfigError, match="--resume"):
            TrainCommand(**wrong)

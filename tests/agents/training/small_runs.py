"""Trainings of a moment, with what is slow and beside the point left out."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from marl_stl_agents.checkpoints.store import list_checkpoints
from marl_stl_agents.config import PPOConfig, TrainConfig
from marl_stl_agents.console.tables import read_progress
from marl_stl_agents.training import run as training
from safetensors.numpy import load_file

from marl_stl_env.config import DataConfig, EnvConfig
from marl_stl_env.files import write_text
from tests.agents.evaluation.results import make_result
from tests.conftest import FOUR


def small(run: Path, iterations: int = 3, **settings: Any) -> TrainConfig:
    """A training of some 200 agent-steps."""
    return TrainConfig(
        env=EnvConfig(data=DataConfig(dataset_options=("rows=2000",)), episode_length=50, **FOUR),
        ppo=PPOConfig(n_steps=8, batch_size=32, n_epochs=1, width=8, **settings),
        backend="native",
        lanes=2,
        iterations=iterations,
        evaluate_every=1,
        run_dir=run,
        progress=False,
        preflight=False,
        stl="off",
    )


def without_evaluation(patch: pytest.MonkeyPatch) -> None:
    """Let a training end with a result made by hand, and without a picture."""
    result = SimpleNamespace(result=make_result())
    patch.setattr(training, "evaluate_run", lambda *_: result)
    patch.setattr(training, "save_curves", lambda run: write_text(run / "curves.png", "png"))


def weights_of(run: Path) -> dict[str, Any]:
    """The tensors of the newest checkpoint, as lists of numbers."""
    content = load_file(list_checkpoints(run)[-1].path / "policy.safetensors")
    return {name: array.tolist() for name, array in content.items()}


def logged_steps(run: Path) -> list[int]:
    """The agent-steps of the rows in the log."""
    return [int(step) for step in read_progress(run)["time/total_timesteps"]]

"""A trained policy for other programs: ``python -m marl_stl_agents.commands.export --help``."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
import tyro
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from marl_stl_agents.algorithms.ppo import make_trainer
from marl_stl_agents.checkpoints.onnx import save_onnx
from marl_stl_agents.checkpoints.policy import load_weights
from marl_stl_agents.checkpoints.store import best_checkpoint, load_trainer
from marl_stl_agents.checkpoints.trainer_state import restore
from marl_stl_agents.command_line import run_command
from marl_stl_agents.commands.bundle import save_bundle
from marl_stl_agents.config import TrainConfig
from marl_stl_agents.console.output import say
from marl_stl_agents.run_data import config_at, prepare_again
from marl_stl_agents.run_directory import check_output, find_run
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.engine.engine import Engine
from marl_stl_env.files import atomic_path
from marl_stl_env.types import Float32Array
from marl_stl_env.validation import check_types

#: Lanes whose observations the ONNX file is checked on.
_CHECKED_LANES = 256


@dataclass(frozen=True)
class ExportConfig:
    """One export of a run's best checkpoint.

    Attributes:
        run: The run directory; None takes the newest under ``runs``.
        format: "sb3" is a zip file for Stable-Baselines3's ``PPO.load``. "onnx" maps "observation"
            (batch, width) to "probabilities" (batch, actions) and "value" (batch,), all float32.
            "bundle" is an ONNX file of the whole team: raw columns in, votes and decision out.
        out: The file to write; an old one is replaced. None takes ``policy.zip`` for "sb3",
            ``policy.onnx`` for "onnx" and ``team.onnx`` for "bundle".
        data_dir: Folder with the data files, where it has moved since the training.
        plugins: Modules of your own to import beside those of the run, or in place of one of the
            same name that has moved or changed. Their code is run.
    """

    run: tyro.conf.Positional[Path | None] = None
    format: Literal["sb3", "onnx", "bundle"] = "sb3"
    out: Path | None = None
    data_dir: Path | None = None
    plugins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_types(self)

    @property
    def file(self) -> Path:
        """The file to write."""
        names = {"sb3": "policy.zip", "onnx": "policy.onnx", "bundle": "team.onnx"}
        return self.out or Path(names[self.format])


def export(settings: ExportConfig) -> Path:
    """Write a run's best checkpoint for other programs.

    Returns:
        The file.

    Raises:
        RunError: If there is no such run, it is damaged, or its data has changed.
        DataError: If the data cannot be read.
        ExportError: If a library is missing, or the file would not say what the policy says.
    """
    run = find_run(settings.run)
    check_output(run, settings.file)
    config = config_at(run, settings.data_dir, settings.plugins)
    prepared = prepare_again(run, config)
    if settings.format == "bundle":
        save_bundle(run, config, prepared, settings.file)
        return settings.file
    model = load_best(run, config, prepared)
    if settings.format == "sb3":
        save_sb3(model, settings.file)
    else:
        save_onnx(model.policy, some_observations(config, prepared), settings.file)
    return settings.file


def load_best(run: Path, config: TrainConfig, prepared: PreparedData) -> OnPolicyAlgorithm:
    """The trainer at the best checkpoint of a run, on the CPU and the native path."""
    cpu, checkpoint = torch.device("cpu"), best_checkpoint(run)
    native = replace(config, backend="native", device="cpu")
    model = make_trainer(native, prepared, cpu)
    load_weights(checkpoint, model.policy)
    restore(model, load_trainer(checkpoint))
    model.policy.set_training_mode(False)
    return model


def some_observations(config: TrainConfig, prepared: PreparedData) -> Float32Array:
    """What the sensors see of events of the validation split.  # (events, width) float32."""
    engine = Engine(config.task, prepared.tables["validation"], _CHECKED_LANES, seeds=0)
    engine.reset()
    observations = engine.observe()
    return observations.reshape(-1, observations.shape[2])


def save_sb3(model: OnPolicyAlgorithm, out: Path) -> None:
    """Write the zip file of ``PPO.load`` (``RecurrentPPO.load`` for a policy with memory)."""
    with atomic_path(out) as draft, draft.open("wb") as handle:
        model.save(handle)


def main(settings: ExportConfig) -> None:
    """Export a run and say where it is."""
    say(f"written to {export(settings)}")


if __name__ == "__main__":
    sys.exit(run_command(ExportConfig, main, "Write a trained policy for other programs."))

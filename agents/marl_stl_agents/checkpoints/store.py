"""Checkpoints: arrays as safetensors, everything else as JSON, never a pickle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_model
from stable_baselines3.common.policies import ActorCriticPolicy

from marl_stl_agents.checkpoints.trainer_state import TrainerState
from marl_stl_agents.metric_names import EXCESS, REWARD
from marl_stl_agents.policies.architecture import architecture_of
from marl_stl_agents.printable import command_line
from marl_stl_agents.run_directory import CHECKPOINTS, read_json, write_json
from marl_stl_env.errors import OutputError, RunError
from marl_stl_env.files import atomic_path, remove_folder

FACTS, WEIGHTS = "checkpoint.json", "policy.safetensors"
_TRAINER = "trainer.safetensors"
_KEEP_NEWEST = 3


@dataclass(frozen=True)
class Checkpoint:
    """A saved policy and how it did.

    Attributes:
        path: Its folder.
        timesteps: Agent-steps it was trained for.
        validation: Its figures on the validation split.
    """

    path: Path
    timesteps: int
    validation: dict[str, Any]

    @property
    def reward(self) -> float:
        """Mean decision reward per validation event."""
        return float(self.validation[REWARD])

    @property
    def merit(self) -> tuple[float, float]:
        """By what checkpoints are chosen.

        Where training enforces specifications, first by how little the worst kept one exceeds its
        budget on the validation split; then, and else alone, by :attr:`reward`.
        """
        excess = float(self.validation.get(EXCESS, 0.0))
        return -excess, self.reward


def save_checkpoint(
    run: Path,
    policy: ActorCriticPolicy,
    timesteps: int,
    validation: dict[str, Any],
    trainer: TrainerState,
) -> None:
    """Write a checkpoint whole, then drop all but the best and the newest three."""
    folder = run / CHECKPOINTS / f"{timesteps:012d}"
    if (folder / FACTS).exists():
        return
    with safetensor_errors(folder), atomic_path(folder) as draft:
        draft.mkdir()
        save_model(policy, str(draft / WEIGHTS))
        save_file(trainer.arrays, draft / _TRAINER)
        facts = {
            "timesteps": timesteps,
            "validation": validation,
            "architecture": asdict(architecture_of(policy)),
            "trainer": trainer.facts,
        }
        write_json(draft / FACTS, facts)
    kept = list_checkpoints(run)
    best = max(kept, key=lambda checkpoint: checkpoint.merit)
    for checkpoint in kept[:-_KEEP_NEWEST]:
        if checkpoint.path != best.path:
            remove_folder(checkpoint.path)


@contextmanager
def safetensor_errors(path: Path) -> Iterator[None]:
    """Say which checkpoint could not be written, also where safetensors did not write it.

    Raises:
        OutputError: In place of the library's own error.
    """
    try:
        yield
    except SafetensorError as error:
        raise OutputError(path, OSError(str(error))) from error


def list_checkpoints(run: Path) -> list[Checkpoint]:
    """All checkpoints of a run, oldest first.

    Raises:
        RunError: If one of them is damaged.
    """
    found = [path for path in (run / CHECKPOINTS).glob("*") if path.name.isdecimal()]
    return [one for path in sorted(found) if (one := _describe(path)) is not None]


def _describe(path: Path) -> Checkpoint | None:
    """What a folder says of its checkpoint; None where a training removed it just now.

    Raises:
        RunError: If it does not describe one.
    """
    facts = path / FACTS
    try:
        content = read_json(facts)
        figures = {**content["validation"]}
        _check_number("timesteps", content["timesteps"], int(path.name), int(path.name))
        _check_number(REWARD, figures[REWARD])
        _check_number(EXCESS, figures.get(EXCESS, 0.0))
        return Checkpoint(path, content["timesteps"], figures)
    except (KeyError, TypeError, ValueError, RunError) as error:
        if not path.is_dir():
            return None
        raise RunError(
            f"{facts} does not describe a checkpoint ({error}); remove its folder to go on "
            "without it"
        ) from None


def _check_number(name: str, value: Any, low: float = -1e12, high: float = 1e12) -> None:
    """Refuse what is no number between the bounds.

    Raises:
        ValueError: If it is something else.
    """
    if type(value) not in (int, float) or not low <= value <= high:
        raise ValueError(f"{name} is {str(value)[:40]!r}, not a number in [{low:g}, {high:g}]")


def newest_checkpoint(run: Path) -> Checkpoint | None:
    """The checkpoint with which a training goes on, if there is one."""
    checkpoints = list_checkpoints(run)
    return checkpoints[-1] if checkpoints else None


def best_checkpoint(run: Path) -> Checkpoint:
    """The checkpoint that did best on the validation split, see :attr:`Checkpoint.merit`.

    Raises:
        RunError: If there is none.
    """
    checkpoints = list_checkpoints(run)
    if not checkpoints:
        raise RunError(
            f"{run} has no checkpoint: the training stopped before its first evaluation; go on "
            f"with: {command_line('train', '--resume', run)}"
        )
    return max(checkpoints, key=lambda checkpoint: checkpoint.merit)


def load_trainer(checkpoint: Checkpoint) -> TrainerState:
    """What the trainer remembered at a checkpoint.

    Raises:
        RunError: If the file is damaged.
    """
    path = checkpoint.path / _TRAINER
    try:
        facts = read_json(checkpoint.path / FACTS)["trainer"]
        return TrainerState(load_file(path), {**facts})
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{path} does not hold a trainer's state: {error!r}") from None

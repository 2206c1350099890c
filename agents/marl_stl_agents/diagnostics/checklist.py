"""The record of a run and what its checklist said: ``checklist.json``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from marl_stl_agents.config import TrainConfig
from marl_stl_agents.diagnostics.checks import Check
from marl_stl_agents.diagnostics.record import Fault, Iteration, Setting
from marl_stl_agents.evaluation.baselines import simple_baselines
from marl_stl_agents.evaluation.metrics import reward_per_event
from marl_stl_agents.run_directory import CHECKLIST, read_json, write_json
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.errors import RunError

SCHEMA = 1


@dataclass(frozen=True)
class Checked:
    """One going through the checklist.

    Attributes:
        iteration: After which iteration.
        timesteps: Agent-steps then.
        diagnosis: Name of the first failed line, the likely cause of the others; None if none.
        checks: All lines.
        fault: The NaN or inf that ended the training here.
    """

    iteration: int
    timesteps: int
    diagnosis: str | None
    checks: list[Check]
    fault: Fault | None = None


@dataclass
class Checklist:
    """The content of ``checklist.json``.

    Attributes:
        history: The record of the iterations.
        checked: Each going through the checklist.
        schema: Version of this layout.
    """

    history: list[Iteration] = field(default_factory=list)
    checked: list[Checked] = field(default_factory=list)
    schema: int = SCHEMA

    def forget_after(self, timesteps: int) -> None:
        """Drop what lies behind the checkpoint with which a training goes on."""
        self.history = [one for one in self.history if one.timesteps <= timesteps]
        self.checked = [
            one for one in self.checked if one.timesteps <= timesteps and one.fault is None
        ]


_ADAPTER = TypeAdapter(Checklist)


def read_checklist(run: Path) -> Checklist:
    """The checklist of a run, empty where there is none yet.

    Raises:
        RunError: If the file is damaged.
    """
    path = run / CHECKLIST
    if not path.exists():
        return Checklist()
    try:
        return _ADAPTER.validate_python(read_json(path))
    except ValidationError as error:
        raise RunError(f"{path} is not a checklist of this version: {error}") from None


def write_checklist(run: Path, content: Checklist) -> None:
    """Write the checklist of a run, whole or not at all."""
    write_json(run / CHECKLIST, _ADAPTER.dump_python(content, mode="json"))


def setting_of(config: TrainConfig, prepared: PreparedData) -> Setting:
    """What the record of this run is compared with."""
    labels = prepared.tables["validation"].labels
    rate = float(labels.mean())
    constants = simple_baselines(config.task, labels)
    return Setting(
        threat_rate=prepared.training.threat_rate,
        constant_reward=max(
            reward_per_event(labels, constants[name].decisions, config.task.reward)
            for name in ("always_allow", "always_block")
        ),
        constant_f1=2.0 * rate / (1.0 + rate),
        learning_rate=config.ppo.learning_rate,
        entropy_coefficient=config.ppo.entropy_coefficient,
        discount=config.ppo.discount,
        replay=config.task.dynamics == "replay",
    )

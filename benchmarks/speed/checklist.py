"""Cost of the training checklist: iterations with and without it, in turns.

``python -m benchmarks.speed.checklist`` prints for every backend the CPU time of an iteration, of
an iteration with the checklist (statistics, finite checks, gradient norms), and of the search for
the label in the observations of one rollout.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
import tyro
from marl_stl_agents.algorithms.ppo import make_trainer
from marl_stl_agents.config import Backend, PPOConfig, TrainConfig
from marl_stl_agents.diagnostics.checklist import setting_of
from marl_stl_agents.diagnostics.rollout import RolloutFacts
from marl_stl_agents.training.callbacks import RewardCallback, ValueLossCallback
from marl_stl_agents.training.checklist import ChecklistCallback
from stable_baselines3.common.callbacks import BaseCallback

from benchmarks.common.measure import show, write_result
from benchmarks.common.partial import PARTIAL
from marl_stl_env.config import DataConfig
from marl_stl_env.data.prepare import PreparedData, prepare

PATHS: tuple[Backend, ...] = ("native", "supersuit", "torch")
CPU, NEVER = torch.device("cpu"), 10**9


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes:
        quick: Tiny trainings, once.
        iterations: Iterations of each training; the first is not counted.
        repeats: Trainings of each kind.
        out: JSON file to write.
    """

    quick: bool = False
    iterations: int = 8
    repeats: int = 3
    out: Path | None = None


class Clock(BaseCallback):
    """CPU time of iterations, other callbacks included."""

    def __init__(self) -> None:
        super().__init__()
        self._times: list[float] = []

    @property
    def seconds(self) -> list[float]:
        """CPU seconds of each iteration except the first."""
        return [end - begun for begun, end in zip(self._times[1:], self._times[2:], strict=False)]

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        self._times.append(time.process_time())

    def _on_training_end(self) -> None:
        self._on_rollout_start()


class Probe(BaseCallback):
    """CPU seconds of the search for the label in the first rollout."""

    seconds = 0.0

    def _on_training_start(self) -> None:
        self._facts = RolloutFacts(self.model)  # type: ignore[arg-type] # this is PPO

    def _on_step(self) -> bool:
        self._facts.step()
        return True

    def _on_rollout_end(self) -> None:
        self._facts.signal()  # imports its library
        begun = time.process_time()
        self._facts.signal()
        self.seconds = time.process_time() - begun


def learn(config: TrainConfig, prepared: PreparedData, callbacks: list[BaseCallback]) -> None:
    """Train without run directory, evaluations and checkpoints."""
    model = make_trainer(config, prepared, CPU)
    model.learn(config.iterations * config.ppo.n_steps * model.n_envs, callback=callbacks)


def iteration_seconds(config: TrainConfig, prepared: PreparedData, run: Path | None) -> list[float]:
    """CPU seconds of the iterations of a training, with the checklist if there is a run."""
    callbacks: list[BaseCallback] = [RewardCallback(), ValueLossCallback()]
    if run is not None:
        callbacks.append(ChecklistCallback(run, setting_of(config, prepared), NEVER))
    clock = Clock()
    learn(config, prepared, [*callbacks, clock])
    return clock.seconds


def measure(config: TrainConfig, prepared: PreparedData, repeats: int) -> dict[str, Any]:
    """One backend with and without the checklist, in turns."""
    plain, watched, probe = [], [], Probe()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(repeats):
            plain += iteration_seconds(config, prepared, None)
            watched += iteration_seconds(config, prepared, Path(folder))
    learn(replace(config, iterations=1), prepared, [probe])
    return {
        "path": config.backend,
        "plain": median(plain),
        "watched": median(watched),
        "overhead": median(watched) / median(plain) - 1.0,
        "one look for the label": probe.seconds,
    }


def main(settings: Settings) -> None:
    """Measure, print and write."""
    torch.set_num_threads(1)
    config, repeats = (
        TrainConfig(PARTIAL, stl="off", iterations=settings.iterations),
        settings.repeats,
    )
    if settings.quick:
        env, repeats = replace(PARTIAL, data=DataConfig(dataset_options=("rows=5000",))), 1
        small = PPOConfig(n_steps=8, batch_size=64, width=8)
        config = TrainConfig(env=env, ppo=small, stl="off", lanes=8, iterations=3)
    prepared = prepare(config.env)
    rows = [measure(replace(config, backend=backend), prepared, repeats) for backend in PATHS]
    show("CPU seconds of an iteration", list(rows[0]), [list(row.values()) for row in rows])
    write_result(settings.out, {"paths": rows})


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))

"""The options of the training command."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from marl_stl_agents.config import TrainConfig
from marl_stl_agents.config.ppo import MAX_THREADS
from marl_stl_env.config import EnvConfig
from marl_stl_env.errors import ConfigError
from marl_stl_env.validation import check_range, check_types

Preset = Literal["fast", "seed", "unseen", "response", "certified"]

#: Settings for Python alone: their defaults are rarely changed, and each flag costs a reader.
PYTHON_ONLY = frozenset(
    {"split", "download", "order", "depth", "shared_trunk", "monitor", "observe", "learners"}
    | {"allow_cost", "block_cost", "quarantine_cost", "alert_cost", "proposal_weight"}
    | {"alert_window", "alert_delay", "verdict_length", "posture_window", "sleeper_start"}
    | {"max_multiplier", "bonus", "potential", "value_coefficient", "max_grad_norm"}
    | {"feedback_share", "proportional", "integral", "derivative", "rates", "measure_episodes"}
    | {"measure_every", "cost_discount", "final_entropy_coefficient", "clip_range", "gae_lambda"}
)


def _usual(usual: int) -> Any:
    """A flag that is None where it was not given; its help shows the usual value."""
    return tyro.conf.arg(
        help_behavior_hint=lambda default: f"(default: {usual if default == 'None' else default})"
    )


@dataclass(frozen=True, repr=False)
class TrainCommand(TrainConfig):
    """A new run, or the continuation of an old one.

    Attributes:
        iterations: Rollouts, each followed by an update; with --resume as many in all, where
            they shall be more than those of the run; with --restart in place of those of the run.
        seeds: Train one run for each of these seeds, in folders ``seed_<seed>`` of ``--run-dir``;
            mean, interquartile mean and interval of every metric go into ``seeds.json`` there.
        at_once: With --seeds, trainings at the same time, each in a process of its own.
        resume: Continue this run from its newest checkpoint, with its own settings; or the runs of
            several seeds that are not finished.
        restart: Begin anew with the settings of this run, in a new run directory.
        preset: Other defaults, which flags override. "fast": one network with two heads and three
            epochs, half the seconds of learning. "seed": 3 sensors with full views on one
            lane, as published. "unseen": 7 sensors that see second opinions, for attacks that
            training has not seen. "response": foresight, with credit by entities and a discount of
            0.8. "certified": "response" with seven sensors that keep their specifications with two
            faulty ones.
        sweep: Search for good settings with Ray Tune; trials go into ``--run-dir``, and the same
            command goes on with a search that stopped. The JSON file has "trials" (how many),
            "seed" and "ppo" (settings of the trainer, each with a list of values or a range), such
            as ``{"trials": 8, "ppo": {"width": [64, 128], "learning_rate": {"low": 1e-4, "high":
            1e-2, "log": true}}}``.
    """

    iterations: Annotated[int | None, _usual(TrainConfig.iterations)] = None  # type: ignore[assignment] # None tells that it was not given
    seed: Annotated[int | None, _usual(TrainConfig.seed)] = None  # type: ignore[assignment]
    seeds: tuple[int, ...] | None = None
    at_once: int = 1
    resume: Path | None = None
    restart: Path | None = None
    preset: Preset | None = None
    sweep: Path | None = None

    def __post_init__(self) -> None:
        check_types(self)
        settings = self.settings()
        self._check_seeds()
        if self.resume is None and self.restart is None:
            return
        allowed = TrainConfig(
            env=EnvConfig(plugins=settings.env.plugins),
            progress=self.progress,
            run_dir=self.run_dir if self.resume is None else None,
            iterations=settings.iterations,
        )
        several = sum(path is not None for path in (self.resume, self.restart, self.sweep)) > 1
        if settings != allowed or several or self.seeds is not None:
            raise ConfigError(
                "--resume and --restart take the settings of the run they name: give one of them, "
                "and no other flag (but --progress and --no-progress, --plugin, --iterations, "
                "--at-once with --resume of several seeds, and --run-dir with --restart)"
            )

    def _check_seeds(self) -> None:
        check_range("at_once", self.at_once, 1, MAX_THREADS)
        if self.seeds is None:
            if self.at_once > 1 and self.resume is None:
                raise ConfigError(f"at_once={self.at_once} is for several trainings; add --seeds")
            return
        if self.seed is not None:
            raise ConfigError(
                f"--seed {self.seed} and --seeds exclude each other: one training, or one for each "
                "of several seeds"
            )
        if self.sweep is not None:
            raise ConfigError("--sweep trains with one seed; leave --seeds out")
        if len(self.seeds) < 2 or len(set(self.seeds)) < len(self.seeds):
            raise ConfigError(
                f"seeds={self.seeds} must be at least two different ones; use --seed for one"
            )
        for seed in self.seeds:
            check_range("seeds", seed, 0, 2**32 - 1)

    def settings(self) -> TrainConfig:
        """The settings of a new run."""
        given = {item.name: getattr(self, item.name) for item in fields(TrainConfig)}
        for name in ("iterations", "seed"):
            if given[name] is None:
                del given[name]
        return TrainConfig(**given)

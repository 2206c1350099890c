"""From ``python train.py`` to the verdict: where the time goes, and the score it buys.

    python -m benchmarks.speed.training --backend native --out training.json

Seconds of the parts are those of the processor, over all threads, so that other jobs on the
machine count little. The preflight is a process beside the training, which costs no time where a
core is free; "on the clock" is what a user waits. The probe of the labels is the checklist's: after
iteration 10 a small forest looks whether observations predict the labels, which imports
scikit-learn. It counts neither as rollouts nor as learning.
"Fresh" empties the classifiers' scores and the preflight from the cache first, as on a new machine.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

from marl_stl_agents.command_line import run_command
from marl_stl_agents.config import Backend, EvaluateConfig, PPOConfig, TrainConfig

from benchmarks.common.measure import show, write_result
from marl_stl_env.config import EnvConfig
from marl_stl_env.data.ingest.cache import cache_dir


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes:
        backend: How the environment is stepped.
        seeds: One training each.
        iterations: Rollouts of each.
        evaluate_every: Rollouts between two evaluations on validation.
        env: The environment.
        ppo: The trainer.
        fresh: Fit the reference classifiers, as the first run on a machine does.
        test: Also evaluate on the test split, as ``evaluate.py`` does.
        out: JSON file to write.
    """

    backend: Backend = "native"
    seeds: tuple[int, ...] = (0,)
    iterations: int = 30
    evaluate_every: int = 10
    env: EnvConfig = field(default_factory=EnvConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)
    fresh: bool = True
    test: bool = False
    out: Path | None = None


class Clock:
    """Processor time of functions, without that of other measured functions inside them."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner = [0.0]

    @contextmanager
    def part(self, name: str) -> Any:
        """Measure a block."""
        self._inner.append(0.0)
        began = time.process_time()
        try:
            yield
        finally:
            took = time.process_time() - began
            self.seconds[name] = self.seconds.get(name, 0.0) + took - self._inner.pop()
            self._inner[-1] += took

    def watched(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        """The function, measured."""

        @wraps(call)
        def timed(*args: Any, **settings: Any) -> Any:
            with self.part(name):
                return call(*args, **settings)

        return timed


def measured(settings: Settings, seed: int, folder: Path) -> dict[str, Any]:
    """One training: seconds by part, and the score at every checkpoint."""
    clock, began, clock_began = Clock(), time.process_time(), time.monotonic()
    children = _of_children()
    curve: list[dict[str, float]] = []
    with clock.part("other"):
        with clock.part("imports"):
            import marl_stl_agents.training.run as module
            from marl_stl_agents.diagnostics.rollout import RolloutFacts
            from marl_stl_agents.training.callbacks import CheckpointCallback
            from stable_baselines3 import PPO
        run = folder / f"seed_{seed}"
        config = TrainConfig(
            settings.env, settings.ppo, backend=settings.backend, seed=seed, run_dir=run,
            iterations=settings.iterations, evaluate_every=settings.evaluate_every, progress=False,
        )  # fmt: skip
        learning = [0.0]

        def shown(timesteps: int, metrics: dict[str, Any]) -> None:
            learning[0] = clock.seconds.get("rollouts", 0) + clock.seconds.get("updates", 0)
            figures = {"reward": metrics["reward_per_event"], "f1": metrics["f1"]}
            curve.append({"agent_steps": timesteps, "seconds": learning[0], **figures})

        watched = [
            (module, "prepare_passed", "data"),
            (PPO, "collect_rollouts", "rollouts"),
            (PPO, "train", "updates"),
            (RolloutFacts, "signal", "probe of the labels"),
            (CheckpointCallback, "_close_iteration", "checkpoints"),
            (module, "save_curves", "curves"),
            (module, "evaluate_run", "final evaluation"),
        ]
        with ExitStack() as stack:
            for owner, name, part in watched:
                timed = clock.watched(getattr(owner, name), part)
                stack.enter_context(patch.object(owner, name, timed))
            stack.enter_context(patch.object(module, "show_progress", shown))
            module.train(config)
        waited = {"train": time.monotonic() - clock_began}
        if settings.test:
            from marl_stl_agents.evaluation.evaluate import evaluate

            with clock.part("test evaluation"):
                evaluate(EvaluateConfig(run=run))
            waited["test"] = time.monotonic() - clock_began
    parts = clock.seconds | {"preflight": _of_children() - children}
    total = time.process_time() - began + parts["preflight"]
    return {"seed": seed, "total": total, "parts": parts, "waited": waited, "curve": curve}


def _of_children() -> float:
    """Processor time of the processes that this one began and that have ended."""
    used = os.times()
    return used.children_user + used.children_system


def time_to(curve: list[dict[str, float]], share: float = 0.95) -> float:
    """Seconds of rollouts and updates until this share of the final reward is reached for good."""
    final = curve[-1]["reward"]
    wanted = final - (1 - share) * abs(final)
    below = [i for i, point in enumerate(curve) if point["reward"] < wanted]
    return curve[below[-1] + 1 if below else 0]["seconds"]


def main(settings: Settings) -> None:
    """Measure, print and write."""
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in settings.seeds:
            for kind in ("classifiers", "preflight") if settings.fresh else ():
                shutil.rmtree(cache_dir() / kind, ignore_errors=True)
            runs.append(measured(settings, seed, Path(folder)))
    names = sorted({name for run in runs for name in run["parts"]})
    columns = ("seconds of the processor", *(f"seed {run['seed']}" for run in runs))
    rows = [[name, *(run["parts"].get(name, 0.0) for run in runs)] for name in names]
    rows.append(["total", *(run["total"] for run in runs)])
    rows.append(["learning to 95 % of the final reward", *(time_to(r["curve"]) for r in runs)])
    rows += [[f"on the clock: {n}", *(r["waited"][n] for r in runs)] for n in runs[0]["waited"]]
    show(f"train.py --backend {settings.backend}", columns, rows)
    points = [list(point.values()) for run in runs for point in run["curve"]]
    show("validation", ("agent-steps", "seconds of learning", "reward", "F1"), points)
    if settings.out is not None:
        plain = replace(settings, out=None)
        write_result(settings.out, {"settings": repr(plain), "runs": runs})


if __name__ == "__main__":
    sys.exit(run_command(Settings, main, __doc__))

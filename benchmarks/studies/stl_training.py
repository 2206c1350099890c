"""The cost of specifications: reward against satisfaction for three ways of training.

``python -m benchmarks.studies.stl_training study --folder DIR`` trains every setting with every
seed, evaluates the final greedy team on fresh episodes of the test split, and writes one JSON file
per run, so a stopped study continues where it was. ``table`` prints the results in the folder and
draws ``docs/images/specifications.png``.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
from marl_stl_agents.algorithms.constraints import LagrangianPPO
from marl_stl_agents.algorithms.ppo import make_trainer, resolve_device
from marl_stl_agents.config import ConstraintConfig, PPOConfig, TrainConfig
from marl_stl_agents.evaluation.rollouts import greedy
from marl_stl_agents.evaluation.stl import watch
from marl_stl_agents.run_directory import read_json, write_json
from marl_stl_agents.training.callbacks import training_callbacks
from stable_baselines3.common.callbacks import BaseCallback

from benchmarks.common.measure import show
from marl_stl_env.config import EnvConfig
from marl_stl_env.data.prepare import prepare
from marl_stl_env.files import atomic_path
from marl_stl_env.stl.specs import CONJUNCTION

IMAGE = Path(__file__).parents[2] / "docs" / "images" / "specifications.png"
#: Four sensors with partial views. The vote of four Bayes' rules on these views satisfies all
#: specifications in about a third of the validation episodes; one rule on all columns in 99 %.
BASE = TrainConfig(
    env=EnvConfig(dynamics="response", agents=4, views="groups", episode_length=256),
    ppo=PPOConfig(
        learning_rate=1e-3, n_steps=256, batch_size=2048, n_epochs=4, discount=0.97, width=64
    ),
    backend="native",
    lanes=32,
    iterations=100,
)
SETTINGS: dict[str, TrainConfig] = {
    "off": replace(BASE, stl="monitor"),  # watching changes nothing
    "shape": replace(BASE, stl="shape"),
    **{
        f"lagrangian {budget}": replace(
            BASE, stl="lagrangian", constraints=ConstraintConfig(budget=budget)
        )
        for budget in (0.01, 0.05, 0.2)
    },
}


@dataclass(frozen=True)
class Settings:
    """Settings of the study.

    Attributes:
        what: "study" trains and evaluates; "table" shows what it found.
        folder: Folder of the runs' JSON files.
        seeds: Seeds of every setting.
        only: Settings to train, by name; none means all.
        episodes: Episodes of the test split on which every team is evaluated.
        quick: Two iterations of two lanes and 20 episodes, to see it work.
        image: Figure that "table" draws.
    """

    what: tyro.conf.Positional[Literal["study", "table"]]
    folder: Path = Path("stl_training")
    seeds: tuple[int, ...] = (0, 1, 2)
    only: tuple[str, ...] = ()
    episodes: int = 1000
    quick: bool = False
    image: Path = IMAGE


class Trace(BaseCallback):
    """Records reward, satisfaction and multipliers of every iteration."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, Any]] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        logged = self.logger.name_to_value
        row: dict[str, Any] = {
            "reward_per_event": logged["rollout/reward_per_event"],
            "satisfied": logged.get(f"stl/satisfied/{CONJUNCTION}"),
        }
        if isinstance(self.model, LagrangianPPO):
            # The multipliers of the rollout before; this one has not updated them yet.
            row["multipliers"] = self.model.multipliers.values.tolist()
        self.rows.append(row)


def run(name: str, seed: int, settings: Settings) -> dict[str, Any]:
    """Train once, and evaluate the final greedy team on fresh episodes."""
    config = replace(SETTINGS[name], seed=seed)
    if settings.quick:
        config = replace(config, lanes=2, iterations=2)
    prepared, device = prepare(config.task), resolve_device("cpu", 1)
    model = make_trainer(config, prepared, device)
    started, trace = time.process_time(), Trace()
    steps = config.iterations * model.n_steps * model.n_envs
    model.learn(steps, callback=[*training_callbacks(config, prepared.tables["train"]), trace])
    seconds = time.process_time() - started
    model.policy.set_training_mode(False)
    episodes = 20 if settings.quick else settings.episodes
    watched = watch(config.task, prepared.tables["test"], greedy(model.policy), episodes)
    return {
        "setting": name,
        "seed": seed,
        "episodes": episodes,
        "satisfied": {n: float(truth.mean()) for n, (truth, _) in watched.by_name().items()},
        "reward_per_event": float(watched.rewards.mean()),
        "cpu_seconds": seconds,
        "trace": trace.rows,
    }


def study(settings: Settings) -> None:
    """Train and evaluate settings and seeds that are not in the folder yet."""
    for seed in settings.seeds:
        for name in settings.only or SETTINGS:
            path = settings.folder / f"{name.replace(' ', '_')}-{seed}.json"
            if not path.exists():
                write_json(path, run(name, seed, settings))


def collected(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """All results of a folder by setting."""
    found = defaultdict(list)
    for path in sorted(folder.glob("*.json")):
        result = read_json(path)
        found[result["setting"]].append(result)
    return {name: found[name] for name in SETTINGS if name in found}


def table(settings: Settings) -> None:
    """Print the means over the seeds, and draw."""
    results = collected(settings.folder)
    names = list(next(iter(results.values()))[0]["satisfied"])
    rows = []
    for setting, runs in results.items():
        satisfied = [np.mean([one["satisfied"][name] for one in runs]) for name in names]
        rewards = [one["reward_per_event"] for one in runs]
        together = [one["satisfied"][CONJUNCTION] for one in runs]
        rows.append(
            [
                setting,
                len(runs),
                f"{np.mean(rewards):.3f} ({min(rewards):.3f} to {max(rewards):.3f})",
                *(f"{share:.3f}" for share in satisfied[:-1]),
                f"{satisfied[-1]:.3f} ({min(together):.3f} to {max(together):.3f})",
                f"{np.mean([one['cpu_seconds'] for one in runs]):.0f}",
            ]
        )
    title = "satisfied on the test split: mean over seeds (least to most)"
    show(title, ["training", "seeds", "reward per event", *names, "CPU seconds"], rows)
    draw(results, settings.image)


def draw(results: dict[str, list[dict[str, Any]]], image: Path) -> None:
    """Draw the frontier, satisfaction over training, and the multipliers of one run."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4), layout="constrained")
    frontier, growth, prices = figure.subplots(1, 3)
    for setting, runs in results.items():
        satisfied = [one["satisfied"][CONJUNCTION] for one in runs]
        frontier.scatter(satisfied, [one["reward_per_event"] for one in runs], label=setting)
        sampled = [[row["satisfied"] for row in one["trace"]] for one in runs]
        if None not in sampled[0]:
            growth.plot(np.mean(sampled, axis=0), label=setting)
    priced = results.get("lagrangian 0.05")
    if priced:
        names = [name for name in priced[0]["satisfied"] if name != CONJUNCTION]
        traces = np.array([row["multipliers"] for row in priced[0]["trace"]])
        for name, trace in zip(names, traces.T, strict=True):
            prices.plot(trace, label=name)
    for axis, title, across in (
        (frontier, "reward per event, greedy, test", "episodes that satisfy all specifications"),
        (growth, "episodes that satisfy all specifications, sampling", "iteration"),
        (prices, "multipliers at a budget of 0.05, first seed", "iteration"),
    ):
        axis.set(title=title, xlabel=across)
        axis.grid(alpha=0.3)
        if axis.has_data():
            axis.legend(fontsize="small")
    with atomic_path(image) as draft:
        figure.savefig(draft, dpi=120, format="png")


def main(settings: Settings) -> None:
    """Run the study, or print and draw its results."""
    if settings.what == "study":
        study(settings)
    else:
        table(settings)


if __name__ == "__main__":
    main(tyro.cli(Settings))

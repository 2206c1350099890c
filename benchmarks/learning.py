"""How well teams learn, over seeds.

``python -m benchmarks.learning headline --out headline.json`` trains every setting of the results
table and judges it on the test split. ``python -m benchmarks.learning choices --out choices.json``
varies one default at a time and judges on the validation split alone: this is where the defaults
come from.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from agents.config import EvaluateConfig, PPOConfig, TrainConfig
from agents.evaluation import describe_data, evaluate
from agents.ppo import resolve_device
from agents.runs import DATA, new_run, write_json
from agents.training import learn
from marl_stl_env.config import ConsensusConfig, EnvConfig, RewardConfig
from marl_stl_env.data.prepare import prepare

OWN = RewardConfig(team_share=0.0)
NSL = EnvConfig(dataset="nsl-kdd")
STRATIFIED = replace(NSL, split_method="stratified")
FULL: dict[str, Any] = {"views": "full", "reward": OWN}
RARE = replace(STRATIFIED, threat_rate=0.109)

HEADLINE = {
    "synthetic": (EnvConfig(), 60),
    "synthetic, full views": (EnvConfig(**FULL), 90),
    "nsl-kdd stratified": (STRATIFIED, 60),
    "nsl-kdd stratified, full views": (replace(STRATIFIED, **FULL), 60),
    "nsl-kdd stratified at 10.9 %": (RARE, 60),
    "nsl-kdd stratified at 10.9 %, full views": (replace(RARE, **FULL), 60),
    "nsl-kdd official": (NSL, 60),
    "nsl-kdd official, full views": (replace(NSL, **FULL), 60),
}
_THREE_VOTES = EnvConfig(consensus=ConsensusConfig(threshold=3))
CHOICES: dict[str, tuple[EnvConfig, PPOConfig]] = {
    "defaults": (EnvConfig(), PPOConfig()),
    "team_share 0.5": (EnvConfig(reward=RewardConfig(team_share=0.5)), PPOConfig()),
    "team_share 0": (EnvConfig(reward=OWN), PPOConfig()),
    "threshold 3": (_THREE_VOTES, PPOConfig()),
    "discount 0.5": (EnvConfig(), PPOConfig(discount=0.5)),
    "discount 0.99": (EnvConfig(), PPOConfig(discount=0.99)),
    "width 64": (EnvConfig(), PPOConfig(width=64)),
    "width 256": (EnvConfig(), PPOConfig(width=256)),
    "no encoding": (EnvConfig(), PPOConfig(bins=0)),
    "learning rate 3e-4": (EnvConfig(), PPOConfig(learning_rate=3e-4)),
    "entropy 0.05": (EnvConfig(), PPOConfig(entropy_coefficient=0.05)),
    "full views": (EnvConfig(views="full"), PPOConfig()),
    "full views, team_share 0": (EnvConfig(**FULL), PPOConfig()),
}
FIGURES = ("f1", "precision", "recall", "pr_auc", "reward_per_event")
RATIOS = ("normalized_score", "ceiling_ratio", "vote_ratio", "bayes_ratio", "bayes_vote_ratio")


@dataclass(frozen=True)
class Settings:
    """What to train.

    Attributes:
        study: "headline" judges on the test split, "choices" on the validation split.
        seeds: Seeds of every setting.
        only: Settings to run, by name; none means all.
        data_dir: Folder with the data files.
        quick: A tenth of the iterations, to see it work.
        out: JSON file to write, rewritten after every setting.
    """

    study: tyro.conf.Positional[Literal["headline", "choices"]]
    seeds: tuple[int, ...] = (0, 1, 2)
    only: tuple[str, ...] = ()
    data_dir: Path | None = None
    quick: bool = False
    out: Path | None = None
    native: TrainConfig = field(default=TrainConfig(vec="native", progress=False), init=False)


def run(config: TrainConfig, split: Literal["validation", "test"]) -> dict[str, Any]:
    """Train once and judge the best checkpoint.

    Returns:
        The evaluation, with ``seconds`` of training.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = replace(config, run_dir=Path(folder) / "run")
        path, prepared = new_run(config), prepare(config.env)
        write_json(path / DATA, describe_data(prepared))
        start = time.perf_counter()
        if not learn(config, path, prepared, resolve_device(config.device, config.threads)):
            raise SystemExit("stopped by a signal")
        seconds = time.perf_counter() - start
        _, result = evaluate(EvaluateConfig(run=path, split=split))
    return {**result, "seconds": seconds}


def experiments(settings: Settings) -> dict[str, TrainConfig]:
    """The runs of a study, by name, without their seeds."""
    base = settings.native
    if settings.study == "headline":
        found = {
            name: replace(base, env=replace(env, data_dir=settings.data_dir), iterations=iterations)
            for name, (env, iterations) in HEADLINE.items()
        }
    else:
        found = {name: replace(base, env=env, ppo=ppo) for name, (env, ppo) in CHOICES.items()}
    if settings.quick:
        found = {name: replace(c, iterations=c.iterations // 10) for name, c in found.items()}
    return {name: c for name, c in found.items() if not settings.only or name in settings.only}


def summary(results: list[dict[str, Any]]) -> dict[str, str]:
    """Mean over the seeds, with the smallest and the largest, of what the table shows."""
    columns = {name: [one["decision"][name] for one in results] for name in FIGURES}
    columns |= {name: [one[name] for one in results] for name in RATIOS if name in results[0]}
    columns["seconds"] = [one["seconds"] for one in results]
    return {
        name: f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"
        for name, values in columns.items()
        if None not in values
    }


def main(settings: Settings) -> None:
    """Run the study, print a table and write all evaluations."""
    split: Literal["validation", "test"] = "test" if settings.study == "headline" else "validation"
    done: dict[str, list[dict[str, Any]]] = {}
    console = Console()
    for name, config in experiments(settings).items():
        done[name] = [run(replace(config, seed=seed), split) for seed in settings.seeds]
        table = Table(title=f"{name}: {split} split, seeds {settings.seeds}", show_header=False)
        for figure, text in summary(done[name]).items():
            table.add_row(figure, text)
        for baseline, figures in done[name][0]["baselines"].items():
            table.add_row(
                baseline, f"F1 {figures['f1']:.3f}, reward {figures['reward_per_event']:.3f}"
            )
        console.print(table)
        if settings.out is not None:
            write_json(settings.out, {"seeds": settings.seeds, "split": split, "settings": done})


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))

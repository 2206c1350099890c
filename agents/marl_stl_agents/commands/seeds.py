"""The evaluation of runs that differ in their seed alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from marl_stl_agents.config import EvaluateConfig
from marl_stl_agents.console.output import say
from marl_stl_agents.console.seeds import show_estimates
from marl_stl_agents.evaluation.seeds.folder import open_seeds, summarise
from marl_stl_agents.printable import command_line
from marl_stl_env.errors import RunError


def evaluate_seeds(
    settings: EvaluateConfig, evaluate_one: Callable[[EvaluateConfig], None]
) -> None:
    """Evaluate every run of a folder, and estimate every metric over them.

    Args:
        settings: What to evaluate, and how; ``run`` is the folder.
        evaluate_one: Evaluates one run.

    Raises:
        RunError: If a training is not finished.
    """
    path = settings.run or Path()
    folder, _ = open_seeds(path)
    if folder.unfinished:
        raise RunError(
            f"{path}: the training of seeds {', '.join(map(str, folder.unfinished))} is not "
            f"finished; go on with: {command_line('train', '--resume', path)}"
        )
    for seed, run in zip(folder.seeds, folder.runs, strict=True):
        say(f"seed {seed}")
        evaluate_one(replace(settings, run=run))
    show_estimates(summarise(folder, settings.split), folder.seeds, settings.split)
    say(f"written to {path / 'seeds.json'}")
    if settings.report:
        from marl_stl_agents.reporting.compare_page import write_comparison
        from marl_stl_agents.reporting.comparison import read_runs
        from marl_stl_agents.reporting.groups import Group, compare_groups

        runs = read_runs(folder.runs, settings.split)
        found = compare_groups([Group(path.resolve().name, tuple(runs))], settings.split)
        name = "seeds" if settings.split == "test" else f"seeds-{settings.split}"
        report = path / f"{name}.html"
        write_comparison(runs, report, found)
        say(f"report over all seeds: {report}")

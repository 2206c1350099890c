"""Entries of the leaderboard made of evaluated runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from marl_stl_agents.config import TrainConfig

from benchmarks.leaderboard.check import check_run, team_of
from benchmarks.leaderboard.table import Entry
from benchmarks.leaderboard.track import Track
from marl_stl_env.errors import SubmissionError


def entry_of_runs(name: str, runs: Sequence[Path], track: Track) -> Entry:
    """Check runs that differ in their seeds, and make one entry of them.

    Raises:
        RunError: If a run is incomplete or damaged.
        SubmissionError: If a run does not confirm its evaluation, or if runs differ in more than
            their seeds.
    """
    checked = [check_run(run, track) for run in runs]
    first = _but_for_the_seed(checked[0][0])
    for run, (config, _) in zip(runs, checked, strict=True):
        if _but_for_the_seed(config) != first:
            raise SubmissionError(
                f"{run} has other settings than {runs[0]}; the runs of an entry differ in --seed "
                "alone"
            )
    results = tuple(result for _, result in checked)
    _check_seeds([result.seed for result in results])
    return Entry(name, "run", team_of(first.env), results)


def _but_for_the_seed(config: TrainConfig) -> TrainConfig:
    env = replace(config.env, data=replace(config.env.data, data_dir=None))
    return replace(
        config, env=env, seed=0, run_dir=None, progress=False, preflight=False, threads=1
    )


def _check_seeds(seeds: Sequence[int | None]) -> None:
    if len(set(seeds)) < len(seeds):
        raise SubmissionError(f"seeds {list(seeds)} repeat; train every run with its own --seed")

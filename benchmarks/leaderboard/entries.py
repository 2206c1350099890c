"""Entries of the leaderboard made of evaluated runs, and what both tracks share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from marl_stl_agents.config import TrainConfig
from marl_stl_agents.console.output import say

from benchmarks.leaderboard.check import check_run, team_of
from benchmarks.leaderboard.table import Entry
from benchmarks.leaderboard.track import Track
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import SubmissionError, UnknownNameError
from marl_stl_env.files import atomic_path

_T = TypeVar("_T")


def chosen(baselines: Mapping[str, _T], only: Sequence[str]) -> dict[str, _T]:
    """The baselines with these names, all if there are none.

    Raises:
        UnknownNameError: If one has no such name.
    """
    for name in only:
        if name not in baselines:
            raise UnknownNameError("baseline", name, baselines)
    return {name: baselines[name] for name in only or baselines}


def write_events(
    path: Path, table: TrafficTable, *, labels: bool = False, families: bool = False
) -> None:
    """Write the scaled events of a table as Parquet, with or without what they are."""
    import pandas as pd

    frame = pd.DataFrame(table.features, columns=list(table.feature_names))
    frame.insert(0, "event", np.arange(len(table)))
    if labels:
        frame["label"] = table.labels
    if families:
        frame["family"] = np.array(table.family_names)[table.families]
    with atomic_path(path) as draft:
        frame.to_parquet(draft, index=False)
    say(f"{path}: {len(table):,} events")


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

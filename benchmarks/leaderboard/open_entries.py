"""Entries of the open-world track: run, or checked from files of decisions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from marl_stl_agents.commands.presets import PRESETS
from marl_stl_agents.config import TrainConfig
from marl_stl_agents.console.output import say
from marl_stl_agents.run_directory import find_run, read_config

from benchmarks.common.worlds import WORLDS, Fold, make_fold
from benchmarks.leaderboard.check import team_of
from benchmarks.leaderboard.decisions import actions_of, read_decisions
from benchmarks.leaderboard.entries import chosen, write_events
from benchmarks.leaderboard.open_world import (
    CLASSIFIERS,
    Contender,
    FoldResult,
    Team,
    fold_result,
    open_result,
    results_of,
    slug,
)
from benchmarks.leaderboard.table import OPEN_WORLD, Board, Entry, row
from marl_stl_env.config import EnvConfig
from marl_stl_env.errors import SubmissionError
from marl_stl_env.types import THREAT_VOTE

#: Entries of our own. Teams are trained for 20 rollouts on every fold.
BASELINES: dict[str, Contender] = {
    **CLASSIFIERS,
    "default team": Team(TrainConfig(stl="off", iterations=20)),
    "preset unseen": Team(PRESETS["unseen"].settings()),
}


def open_world(
    folder: Path,
    only: tuple[str, ...] = (),
    run: Path | None = None,
    decisions: bool = False,
    events: bool = False,
    name: str = "my entry",
    seeds: tuple[int, ...] = (0,),
    data_dir: Path | None = None,
    add: bool = False,
    board: Board = OPEN_WORLD,
) -> int:
    """Run or check an entry of the open-world track, and print its row.

    Without --run, --decisions and --events it runs the baselines.

    Args:
        folder: Folder of the results of single folds, of the files of decisions, or for the events.
        only: Names of the baselines to run; none runs all.
        run: A run directory, whose settings are trained anew on every fold.
        decisions: Check the files WORLD-FOLD.parquet in the folder, with "event" and "decision"
            for every event of the WORLD-FOLD-test.parquet that --events writes.
        events: Write the scaled events of the folds for your own programs.
        name: Name of the entry.
        seeds: Seeds of the trainings.
        data_dir: Folder with the data files.
        add: Whether to add the entry to the leaderboard.
        board: Files of the leaderboard.
    """
    if events:
        write_folds(folder, data_dir)
        return 0
    if decisions:
        found = [open_result(None, list(check_folds(folder, data_dir)))]
        entries = [Entry(name, "decisions", "", tuple(found))]
    else:
        contenders = chosen(BASELINES, only)
        if run is not None:
            contenders = {name: Team(read_config(find_run(run)))}
        entries = [run_entry(*item, seeds, folder, data_dir) for item in contenders.items()]
    for entry in entries:
        say(row(entry))
        if add:
            board.add(entry)
    return 0


def run_entry(
    name: str, contender: Contender, seeds: tuple[int, ...], folder: Path, data_dir: Path | None
) -> Entry:
    """An entry of a contender that is trained on every fold with each seed."""
    votes = contender.env.consensus.threshold_for(contender.env.agents)
    results = tuple(
        open_result(
            seed, [one[votes] for one in results_of(name, contender, seed, folder, data_dir)]
        )
        for seed in seeds
    )
    if isinstance(contender, Team):
        return Entry(name, "run", team_of(contender.env), results)
    return Entry(name, "reference", "1 classifier, full", results)


def check_folds(folder: Path, data_dir: Path | None) -> Iterator[FoldResult]:
    """What the files of decisions are worth, fold by fold.

    Raises:
        SubmissionError: If a file is missing, or its events or actions are not those of the fold.
    """
    for stem, fold in _folds(data_dir):
        path = folder / f"{stem}.parquet"
        evaluated = np.flatnonzero(fold.evaluated)
        if not path.exists():
            raise SubmissionError(f"{path} is missing; every fold of every world needs its file")
        frame = read_decisions(path, len(evaluated))
        threats = np.zeros(len(fold.evaluated), np.bool_)
        threats[evaluated] = THREAT_VOTE[actions_of(path, frame["decision"])]
        yield fold_result(fold, threats)


def write_folds(folder: Path, data_dir: Path | None) -> None:
    """Write training events with label and family, and the evaluated ones without."""
    for stem, fold in _folds(data_dir):
        train, left = (fold.prepared.tables[part] for part in ("train", "validation"))
        write_events(folder / f"{stem}-train.parquet", train, labels=True, families=True)
        write_events(folder / f"{stem}-test.parquet", left.take(np.flatnonzero(fold.evaluated)))


def _folds(data_dir: Path | None) -> Iterator[tuple[str, Fold]]:
    for world, known in WORLDS.items():
        for number in range(known.folds):
            env = EnvConfig(agents=1, views="full")
            yield f"{slug(world)}-{number}", make_fold(world, number, env, data_dir)

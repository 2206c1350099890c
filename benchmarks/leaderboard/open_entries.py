"""Entries of the open-world track: run, or checked from files of decisions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from marl_stl_agents.commands.presets import PRESETS
from marl_stl_agents.config import TrainConfig
from marl_stl_agents.console.output import say
from marl_stl_agents.run_directory import find_run, read_config

from benchmarks.common.worlds import WORLDS, Fold, make_fold
from benchmarks.leaderboard.check import team_of
from benchmarks.leaderboard.decisions import actions_of, read_decisions
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
from benchmarks.leaderboard.table import PAGE, Entry, add_entry, row
from marl_stl_env.config import EnvConfig
from marl_stl_env.errors import SubmissionError, UnknownNameError
from marl_stl_env.files import atomic_path
from marl_stl_env.types import THREAT_VOTE

OPEN_FILE = Path("benchmarks/results/open_world.json")
NAME, SECTION = "open world", "open world"
#: Entries of our own. Teams are trained for 20 rollouts on every fold.
BASELINES: dict[str, Contender] = {
    **CLASSIFIERS,
    "default team": Team(TrainConfig(stl="off", iterations=20)),
    "preset unseen": Team(PRESETS["unseen"].settings()),
}


@dataclass(frozen=True)
class OpenBoard:
    """Files of the track.

    Attributes:
        file: JSON file of its entries.
        page: Markdown page with its table.
    """

    file: Path = OPEN_FILE
    page: Path = PAGE


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
    board: OpenBoard = OpenBoard(),
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
        write_events(folder, data_dir)
        return 0
    if decisions:
        found = [open_result(None, list(check_folds(folder, data_dir)))]
        entries = [Entry(name, "decisions", "", tuple(found))]
    else:
        for one in only:
            if one not in BASELINES:
                raise UnknownNameError("baseline", one, BASELINES)
        contenders = {one: BASELINES[one] for one in only or BASELINES}
        if run is not None:
            contenders = {name: Team(read_config(find_run(run)))}
        entries = [run_entry(*item, seeds, folder, data_dir) for item in contenders.items()]
    for entry in entries:
        say(row(entry))
        if add:
            add_entry(entry, NAME, board.file, board.page, SECTION)
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


def write_events(folder: Path, data_dir: Path | None) -> None:
    """Write training events with label and family, and the evaluated ones without."""
    import pandas as pd

    for stem, fold in _folds(data_dir):
        tables = fold.prepared.tables
        rows = {"train": np.arange(len(tables["train"])), "test": np.flatnonzero(fold.evaluated)}
        for part, table in (("train", tables["train"]), ("test", tables["validation"])):
            frame = pd.DataFrame(table.features[rows[part]], columns=list(table.feature_names))
            frame.insert(0, "event", range(len(frame)))
            if part == "train":
                frame["label"] = table.labels
                frame["family"] = [table.family_names[code] for code in table.families]
            with atomic_path(folder / f"{stem}-{part}.parquet") as draft:
                frame.to_parquet(draft, index=False)
        say(f"{stem}: {len(rows['train']):,} training events, {len(rows['test']):,} to decide on")


def _folds(data_dir: Path | None) -> Iterator[tuple[str, Fold]]:
    for world, known in WORLDS.items():
        for number in range(known.folds):
            env = EnvConfig(agents=1, views="full")
            yield f"{slug(world)}-{number}", make_fold(world, number, env, data_dir)

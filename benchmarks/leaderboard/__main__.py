"""The leaderboard of ``docs/results/leaderboard.md``: its baselines and the check of submissions.

``python -m benchmarks.leaderboard baselines --folder DIR``
``python -m benchmarks.leaderboard check RUN RUN RUN --name NAME``
``python -m benchmarks.leaderboard events --folder DIR``
``python -m benchmarks.leaderboard open-world --folder DIR``
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro
from marl_stl_agents.console.output import say
from rich.console import Console

from benchmarks.leaderboard.baselines import BASELINES, cpu_seconds_of, references, train_baseline
from benchmarks.leaderboard.decisions import check_decisions
from benchmarks.leaderboard.entries import chosen, entry_of_runs, write_events
from benchmarks.leaderboard.open_entries import open_world
from benchmarks.leaderboard.table import SYNTHETIC, Board, Entry, row
from benchmarks.leaderboard.track import SEEDS, TRACK
from marl_stl_env.errors import MarlStlError, SubmissionError

OK, REFUSED = 0, 2


def baselines(
    folder: Path,
    seeds: tuple[int, ...] = (0, 1, 2),
    only: tuple[str, ...] = (),
    board: Board = SYNTHETIC,
) -> int:
    """Train and evaluate the baselines, and add them and the references to the leaderboard.

    Args:
        folder: Folder of the runs; finished runs in it are not trained again.
        seeds: Seeds of every baseline.
        only: Names of the baselines to train; none trains all.
        board: Files of the leaderboard.
    """
    named = chosen(BASELINES, only)
    for entry in references(TRACK):
        board.add(entry)
    for name, config in named.items():
        runs = [train_baseline(folder, name, config, seed) for seed in seeds]
        entry = entry_of_runs(name, runs, TRACK).with_seconds(map(cpu_seconds_of, runs))
        board.add(entry)
        say(row(entry))
    return OK


def check(
    runs: Annotated[
        tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN ...]")
    ] = (),
    /,
    name: str = "my entry",
    decisions: tuple[Path, ...] = (),
    team: str = "",
    agent_steps: int | None = None,
    cpu_seconds: tuple[float, ...] = (),
    add: bool = False,
    board: Board = SYNTHETIC,
) -> int:
    """Evaluate a submission again and print its row of the leaderboard.

    The exit code is 0 if the submission is confirmed and 2 if it is refused.

    Args:
        runs: Run directories, one per seed, each evaluated by evaluate.py.
        name: Name of the entry.
        decisions: Parquet files of decisions instead of runs, one per seed.
        team: Short description of the team that made the decisions.
        agent_steps: Observations that the team of each file was trained on.
        cpu_seconds: CPU seconds of each training, as you measured them.
        add: Whether to add the entry to the leaderboard.
        board: Files of the leaderboard.
    """
    if bool(runs) == bool(decisions):
        raise SubmissionError("give run directories, or --decisions FILE ..., one for each seed")
    count = len(runs) + len(decisions)
    if cpu_seconds and len(cpu_seconds) != count:
        raise SubmissionError(f"--cpu-seconds has {len(cpu_seconds)} values for {count} seeds")
    if runs:
        entry = entry_of_runs(name, runs, TRACK)
    else:
        steps = {"agent_steps": agent_steps}
        found = [check_decisions(f, TRACK, seed, **steps) for seed, f in enumerate(decisions)]
        entry = Entry(name, "decisions", team, tuple(found))
    if cpu_seconds:
        entry = entry.with_seconds(cpu_seconds)
    say(f"checked: {count} of {count} seeds are confirmed")
    say(row(entry))
    if count < SEEDS:
        say(f"the leaderboard takes entries of at least {SEEDS} seeds: {SEEDS - count} to go")
    elif add:
        board.add(entry)
        say(f"added to {board.file} and {board.page}")
    return OK


def events(folder: Path) -> int:
    """Write the scaled events of the track for your own programs; test events have no labels.

    Args:
        folder: Folder for ``train.parquet``, ``validation.parquet`` and ``test.parquet``.
    """
    for split, table in TRACK.prepare().tables.items():
        write_events(folder / f"{split}.parquet", table, labels=split != "test")
    return OK


def main() -> int:
    """Run the command line; returns the exit code."""
    try:
        code: int = tyro.extras.subcommand_cli_from_dict(
            {"baselines": baselines, "check": check, "events": events, "open-world": open_world},
            prog="python -m benchmarks.leaderboard",
            description="The leaderboard of docs/results/leaderboard.md.",
        )
    except MarlStlError as error:
        errors = Console(stderr=True, style="red", markup=False, highlight=False, soft_wrap=True)
        errors.print(f"{type(error).__name__}: {error}")
        return REFUSED
    return code


if __name__ == "__main__":
    sys.exit(main())

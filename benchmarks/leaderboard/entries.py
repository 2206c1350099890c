"""The leaderboard of ``docs/results/leaderboard.md``: its baselines, and the check of submissions.

``python -m benchmarks.leaderboard.entries baselines --folder DIR``
``python -m benchmarks.leaderboard.entries check RUN RUN RUN --name NAME``
``python -m benchmarks.leaderboard.entries events --folder DIR``
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from marl_stl_agents.algorithms.ppo import resolve_device
from marl_stl_agents.config import EvaluateConfig, TrainConfig
from marl_stl_agents.console.output import say
from marl_stl_agents.evaluation.baselines import (
    SupervisedBaselines,
    as_actions,
    simple_baselines,
    threat_groups,
)
from marl_stl_agents.evaluation.evaluation import describe_data, evaluate
from marl_stl_agents.run_directory import CONFIG, DATA, EVALUATION, new_run, read_json, write_json
from marl_stl_agents.training.run import learn
from rich.console import Console

from benchmarks.leaderboard.check import check_decisions, check_run, team_of
from benchmarks.leaderboard.table import FILE, PAGE, Entry, add_entry, row
from benchmarks.leaderboard.track import SEEDS, Result, Track, of_decisions, of_votes
from marl_stl_env.config import EnvConfig, FaultConfig, RewardConfig
from marl_stl_env.data.datasets.synthetic.model import posterior
from marl_stl_env.data.prepare import prepare
from marl_stl_env.errors import MarlStlError, SubmissionError, UnknownNameError
from marl_stl_env.files import atomic_path

TRACK = Track()
OK, REFUSED = 0, 2
_CPU = "cpu_seconds.json"
_OWN = RewardConfig(team_share=0.0)  # with full views and deliberation own rewards teach best
_LONG = TrainConfig(backend="native", progress=False, preflight=False)
_SHORT = replace(_LONG, iterations=20)  # a third of the default length

#: Trained baselines. docs/results/ says how these settings were chosen on validation data.
BASELINES: dict[str, TrainConfig] = {
    "short, parts": _SHORT,
    "short, full views": replace(_SHORT, env=EnvConfig(views="full", reward=_OWN)),
    "short, single analyst": replace(
        _SHORT, env=EnvConfig(agents=1, views="full", reward=_OWN), lanes=256
    ),
    "short, trained with a faulty sensor": replace(_SHORT, env=EnvConfig(faults=FaultConfig(1))),
    "short, deliberation": replace(
        _SHORT, env=EnvConfig(deliberation=1, reward=_OWN), iterations=40
    ),
    "default": _LONG,
}


@dataclass(frozen=True)
class Board:
    """Where the leaderboard stands.

    Attributes:
        file: Its figures.
        page: Its page.
    """

    file: Path = FILE
    page: Path = PAGE


def baselines(
    folder: Path,
    seeds: tuple[int, ...] = (0, 1, 2),
    only: tuple[str, ...] = (),
    board: Board = Board(),
) -> int:
    """Train the baselines, evaluate them, and put them and the references on the leaderboard.

    Args:
        folder: Where the runs go; those that are there already are not trained again.
        seeds: Seeds of every baseline.
        only: Names of the baselines to train; none trains all.
        board: Where the leaderboard stands.
    """
    for name in only:
        if name not in BASELINES:
            raise UnknownNameError("baseline", name, BASELINES)
    for entry in references(TRACK):
        add_entry(entry, TRACK.name, board.file, board.page)
    for name in only or BASELINES:
        runs = [_trained(folder, name, seed) for seed in seeds]
        entry = entry_of_runs(name, runs, TRACK)
        seconds = [read_json(run / _CPU) for run in runs]
        timed = zip(entry.results, seconds, strict=True)
        results = tuple(replace(one, cpu_seconds=used) for one, used in timed)
        add_entry(replace(entry, results=results), TRACK.name, board.file, board.page)
        say(row(replace(entry, results=results)))
    return OK


def _trained(folder: Path, name: str, seed: int) -> Path:
    run = folder / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"
    config = replace(BASELINES[name], seed=seed, run_dir=run)
    if not (run / EVALUATION).exists():
        if (run / CONFIG).exists():
            raise SubmissionError(f"{run} was not finished; remove it, and start again")
        prepared = prepare(config.env)
        write_json(new_run(config) / DATA, describe_data(prepared))
        begun = time.process_time()
        if not learn(config, run, prepared, resolve_device("cpu", 1)):
            raise SystemExit("stopped by a signal")
        write_json(run / _CPU, round(time.process_time() - begun, 1))
        evaluate(EvaluateConfig(run=run, device="cpu"))
    return run


def references(track: Track) -> Iterator[Entry]:
    """What needs no training by reward: the best constant, votes of classifiers and of Bayes."""
    prepared, env = track.prepare(), track.env
    table = prepared.tables["test"]
    constants = simple_baselines(env, table.labels)
    found = [
        of_decisions(env, table, constants[name].decisions)
        for name in ("always_allow", "always_block")
    ]
    yield _reference("best constant", "", max(found, key=lambda one: one.reward_per_event))
    supervised = SupervisedBaselines(env, prepared)
    groups = threat_groups(env, prepared)
    everything = tuple(prepared.raw.views)
    views = np.stack([supervised.probabilities(names, "test") for names in groups], axis=1)
    yield from _alone_and_together(
        track, "supervised", supervised.probabilities(everything, "test"), views
    )
    raw = prepared.raw.take(prepared.rows["test"])
    exact = np.stack([posterior(raw.features, names) for names in groups], axis=1)
    yield from _alone_and_together(track, "Bayes' rule", posterior(raw.features), exact)


def _alone_and_together(track: Track, name: str, everything: Any, views: Any) -> Iterator[Entry]:
    """Who sees everything, and the vote of those who see parts; both by P(threat)."""
    env, table, bar = track.env, track.prepare().tables["test"], track.env.reward.threshold
    alone = of_decisions(env, table, as_actions(everything >= bar))
    yield _reference(f"{name}, all columns", "1 sensor, full", alone)
    together = of_votes(env, table, as_actions(views >= bar))
    yield _reference(f"{name}, vote of the views", team_of(env), together)


def _reference(name: str, team: str, result: Result) -> Entry:
    return Entry(name, "reference", team, (result,))


def entry_of_runs(name: str, runs: Sequence[Path], track: Track) -> Entry:
    """Check runs and make one entry of them.

    Raises:
        RunError: If a run is incomplete or damaged.
        SubmissionError: If one is not what it says, or if they are not seeds of one training.
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
    board: Board = Board(),
) -> int:
    """Evaluate a submission anew and print its row of the leaderboard.

    Exits with 0 if it is what it says, with 2 if it is refused.

    Args:
        runs: Run directories, one per seed, each evaluated by evaluate.py.
        name: Name of the entry.
        decisions: In place of runs: Parquet files of decisions, one per seed.
        team: Who decided there, in a few words.
        agent_steps: Observations that each of them was trained on.
        cpu_seconds: CPU seconds of each training, as you measured them.
        add: Also put the row on the page.
        board: Where the leaderboard stands.
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
        timed = zip(entry.results, cpu_seconds, strict=True)
        entry = replace(entry, results=tuple(replace(a, cpu_seconds=b) for a, b in timed))
    say(f"checked: {count} of {count} seeds are what they say")
    say(row(entry))
    if count < SEEDS:
        say(f"the leaderboard takes entries of at least {SEEDS} seeds: {SEEDS - count} to go")
    elif add:
        add_entry(entry, TRACK.name, board.file, board.page)
        say(f"added to {board.file} and {board.page}")
    return OK


def events(folder: Path) -> int:
    """Write the track's events for programs of your own, scaled; those of the test unlabelled.

    Args:
        folder: Where ``train.parquet``, ``validation.parquet`` and ``test.parquet`` go.
    """
    import pandas as pd

    for split, table in TRACK.prepare().tables.items():
        frame = pd.DataFrame(table.features, columns=list(table.feature_names))
        frame.insert(0, "event", range(len(table)))
        if split != "test":
            frame["label"] = table.labels
        with atomic_path(folder / f"{split}.parquet") as draft:
            frame.to_parquet(draft, index=False)
        say(f"{folder / f'{split}.parquet'}: {len(frame):,} events")
    return OK


def main() -> int:
    """Run the command line; returns the exit code."""
    try:
        code: int = tyro.extras.subcommand_cli_from_dict(
            {"baselines": baselines, "check": check, "events": events},
            prog="python -m benchmarks.leaderboard.entries",
            description="The leaderboard of docs/results/leaderboard.md.",
        )
    except MarlStlError as error:
        errors = Console(stderr=True, style="red", markup=False, highlight=False, soft_wrap=True)
        errors.print(f"{type(error).__name__}: {error}")
        return REFUSED
    return code


if __name__ == "__main__":
    sys.exit(main())

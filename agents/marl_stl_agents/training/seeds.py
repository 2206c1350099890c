"""One training for every seed, side by side in one folder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from marl_stl_agents.config import TrainConfig
from marl_stl_agents.console.output import say, warn
from marl_stl_agents.console.seeds import show_estimates
from marl_stl_agents.evaluation.seeds.folder import (
    SeedsFolder,
    new_seeds,
    open_seeds,
    set_common,
    summarise,
)
from marl_stl_agents.printable import command_line
from marl_stl_agents.run_directory import (
    CONFIG,
    VALIDATION,
    check_vacant,
    locked_run,
    make_folder,
    new_run,
)
from marl_stl_agents.run_plugins import record_plugins, with_plugins
from marl_stl_agents.training.resume import longer, resume
from marl_stl_agents.training.run import train
from marl_stl_agents.training.stopping import StopFlag, stopped_by_signals
from marl_stl_env.errors import DivergedError, RunError
from marl_stl_env.files import output_errors

_POLL_SECONDS = 0.2


def train_seeds(config: TrainConfig, seeds: Sequence[int], at_once: int = 1) -> Path:
    """Train one run for every seed, and estimate every metric over them.

    Args:
        config: What the runs have in common; ``run_dir`` is the folder of all.
        seeds: The seeds.
        at_once: Trainings at the same time, each in a process of its own with its output in
            ``seed_<seed>.log``, and without the preflight checks.

    Returns:
        The folder: ``seeds.json``, and a run directory for each seed.

    Raises:
        RunError: If the folder is taken, or a training in a process of its own failed.
        DivergedError: If a training diverged; the others were done first.
        DataError: If the data cannot be read.
    """
    check_vacant(config.run_dir)
    path = make_folder(config)
    with locked_run(path):
        check_vacant(path)
        folder = new_seeds(path, config, seeds)
        record_plugins(path, config)
        return _train(folder, config, at_once)


def resume_seeds(
    path: Path,
    iterations: int | None = None,
    *,
    at_once: int = 1,
    progress: bool | None = None,
    plugins: Sequence[str] = (),
) -> Path:
    """Go on with the seeds that are not finished.

    Args:
        path: The folder.
        iterations: Iterations in all, where they shall be more than the runs were begun with; all
            runs are then prolonged.
        at_once: As for :func:`train_seeds`.
        progress: Show a progress bar; None does as the runs did.
        plugins: In place of, or beside, those of the runs.

    Returns:
        The folder.

    Raises:
        ConfigError: If ``iterations`` are fewer than those of the runs.
        RunError: If ``seeds.json`` or a run is damaged, or a plugin has changed and is not given.
    """
    with locked_run(path):
        folder, known = open_seeds(path)
        config = longer(with_plugins(path, known, plugins), iterations)
        if config.iterations != known.iterations:
            for run in folder.runs:
                (run / VALIDATION).unlink(missing_ok=True)  # of the shorter training
        if config != known:
            set_common(path, config)
        if plugins:
            record_plugins(path, config)
        shown = config if progress is None else replace(config, progress=progress)
        return _train(folder, shown, at_once)


def _train(folder: SeedsFolder, config: TrainConfig, at_once: int) -> Path:
    done = [seed for seed in folder.seeds if seed not in folder.unfinished]
    if done:
        say(f"finished already: {_listed(done)}")
    several = at_once > 1
    failed = _side_by_side(folder, config, at_once) if several else _one_by_one(folder, config)
    if failed:
        seed, error = next(iter(failed.items()))
        raise type(error)(
            f"{_listed(list(failed))} of {folder.path} failed, and nothing is estimated from the "
            f"others alone; {_listed([seed])}: {error}"
        )
    if folder.unfinished:
        say(f"stopped; continue with: {command_line('train', '--resume', folder.path)}")
        return folder.path
    show_estimates(summarise(folder, "validation"), folder.seeds, "validation")
    say(
        f"runs of {len(folder.seeds)} seeds: {folder.path}\nevaluate them on the test split: "
        f"{command_line('evaluate', folder.path)}"
    )
    return folder.path


def _listed(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _of_seed(folder: SeedsFolder, config: TrainConfig, seed: int) -> TrainConfig:
    """The settings of one run; the data is the same for all, so it is checked once."""
    first = seed == folder.seeds[0]
    return replace(
        config, seed=seed, run_dir=folder.run(seed), preflight=config.preflight and first
    )


def _one_by_one(folder: SeedsFolder, config: TrainConfig) -> dict[int, Exception]:
    """Train in this process; a training that was stopped ends the whole.

    Returns:
        The seeds whose training diverged.
    """
    diverged: dict[int, Exception] = {}
    for seed in folder.unfinished:
        run = folder.run(seed)
        say(f"seed {seed} of {_listed(folder.seeds)}")
        try:
            if (run / CONFIG).exists():
                plugins = config.env.plugins
                resume(run, config.iterations, progress=config.progress, plugins=plugins)
            else:
                train(_of_seed(folder, config, seed))
        except DivergedError as error:
            diverged[seed] = DivergedError(str(error))
            warn(f"seed {seed}: {error}")
            continue
        if not (run / VALIDATION).exists():
            break
    return diverged


def _side_by_side(folder: SeedsFolder, config: TrainConfig, at_once: int) -> dict[int, Exception]:
    """Train in processes of their own; a signal stops all of them after their iteration.

    Returns:
        The seeds whose process failed.
    """
    waiting = list(folder.unfinished)
    running: dict[int, subprocess.Popen[bytes]] = {}
    failed: dict[int, Exception] = {}
    flag = StopFlag()
    with ExitStack() as files, stopped_by_signals(flag):
        while running or (waiting and not flag.stop):
            while waiting and len(running) < at_once and not flag.stop:
                seed = waiting.pop(0)
                running[seed] = _start(folder, config, seed, files)
            if flag.stop:
                waiting = []
                for process in running.values():
                    process.terminate()
                flag.stop = False
            for seed in [seed for seed, one in running.items() if one.poll() is not None]:
                if running.pop(seed).returncode != 0:
                    failed[seed] = RunError(f"see {_log(folder, seed)}")
                say(f"seed {seed}: {'failed' if seed in failed else 'ended'}")
            time.sleep(_POLL_SECONDS)
    return failed


def _log(folder: SeedsFolder, seed: int) -> Path:
    return folder.path / f"seed_{seed}.log"


def _start(
    folder: SeedsFolder, config: TrainConfig, seed: int, files: ExitStack
) -> subprocess.Popen[bytes]:
    run = folder.run(seed)
    if not (run / CONFIG).exists():
        new_run(replace(_of_seed(folder, config, seed), preflight=False))
    say(f"seed {seed}: output in {_log(folder, seed)}")
    with output_errors(_log(folder, seed)):
        output = files.enter_context(_log(folder, seed).open("ab"))
    command = ["marl_stl_agents.commands.train", "--resume", str(run), "--no-progress"]
    command += ["--iterations", str(config.iterations)]
    command += [f"--plugin={name}" for name in config.env.plugins]
    # It finds modules where this process does, not first in the working directory as "-m" alone.
    return subprocess.Popen(  # noqa: S603 - this program
        [sys.executable, "-P", "-m", *command],
        stdout=output,
        stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )

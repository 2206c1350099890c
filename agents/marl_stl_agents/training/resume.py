"""A run that goes on, is prolonged, or is begun again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from marl_stl_agents.checkpoints.store import newest_checkpoint
from marl_stl_agents.config import TrainConfig
from marl_stl_agents.console.output import warn
from marl_stl_agents.run_data import (
    Passed,
    check_data,
    describe_data,
    prepare_again,
    prepare_passed,
    sources_of,
)
from marl_stl_agents.run_directory import (
    DATA,
    TURNS,
    find_run,
    locked_run,
    read_config,
    read_older_config,
    write_config,
    write_json,
)
from marl_stl_agents.run_plugins import record_plugins, with_plugins
from marl_stl_agents.training.memory import check_fits
from marl_stl_agents.training.run import device_of, learn_and_evaluate, train
from marl_stl_env.errors import ConfigError, RunError


def resume(
    run: Path,
    iterations: int | None = None,
    *,
    progress: bool | None = None,
    plugins: Iterable[str] = (),
    table: Passed | None = None,
) -> Path:
    """Continue a run where its newest checkpoint stands, bit-identically on the CPU.

    Args:
        run: The run directory.
        iterations: Iterations in all, where they shall be more than the run was begun with. With
            ``schedule="constant"``, and an entropy bonus that does not change, the run ends as if
            it had been begun with so many.
        progress: Show a progress bar; None does as the run did.
        plugins: Plugins that have moved or changed; see :func:`~.run_plugins.with_plugins`.
        table: The table that was passed to the run, if one was.

    Returns:
        The run directory.

    Raises:
        ConfigError: If ``iterations`` are fewer than those of the run.
        RunError: If the run is damaged, its data has changed since it began, or it was trained in
            turns against attackers.
        RunLockedError: If another process trains it.
        DataError: If the data cannot be read.
    """
    run = find_run(run)
    if (run / TURNS).is_file():
        raise RunError(
            f"{run} was trained in turns against attackers: the marl-stl-adversarial command that "
            "began it goes on with it"
        )
    with locked_run(run):
        given = tuple(plugins)
        config = longer(with_plugins(run, read_config(run), given), iterations)
        device = device_of(config)
        if sources_of(run):
            prepared = prepare_again(run, config, table)
        else:  # killed before it began
            prepared = prepare_passed(config, table)
        check_fits(config, prepared, device)
        if not (run / DATA).exists() and newest_checkpoint(run) is None:
            write_json(run / DATA, describe_data(prepared))  # killed before anything was learned
        check_data(run, prepared)
        if given:
            record_plugins(run, config)
        if iterations is not None or given:
            write_config(run, config)
        return learn_and_evaluate(_shown(config, progress), run, prepared, device)


def longer(config: TrainConfig, iterations: int | None) -> TrainConfig:
    """A run with more iterations.

    Args:
        config: The run.
        iterations: Iterations in all; None leaves them.

    Raises:
        ConfigError: If they are fewer.
    """
    if iterations is None or iterations == config.iterations:
        return config
    if iterations < config.iterations:
        raise ConfigError(
            f"iterations={iterations} with --resume: the run was begun with {config.iterations}, "
            "and may only be prolonged; use --restart with --iterations for a shorter one"
        )
    ppo = config.ppo
    falling = {
        "the learning rate (schedule='linear')": ppo.schedule == "linear",
        "the entropy bonus (final_entropy_coefficient)": ppo.final_entropy_coefficient is not None,
    }
    for name in (name for name, falls in falling.items() if falls):
        warn(
            f"{name} changes over all iterations: from here on it reaches its last value at "
            f"iteration {iterations}, and the weights differ from those of a run begun with so many"
        )
    return replace(config, iterations=iterations)


def _shown(config: TrainConfig, progress: bool | None) -> TrainConfig:
    return config if progress is None else replace(config, progress=progress)


def restart(
    run: Path,
    run_dir: Path | None = None,
    *,
    iterations: int | None = None,
    progress: bool | None = None,
    plugins: Iterable[str] = (),
) -> Path:
    """Begin anew with the settings of a run.

    Args:
        run: The run whose settings are taken.
        run_dir: The new run directory; None makes ``runs/<time>-<dataset>``.
        iterations: Rollouts; None takes as many as the run.
        progress: Show a progress bar; None does as the run did.
        plugins: Plugins that have moved or changed; see :func:`~.run_plugins.with_plugins`.

    Returns:
        The new run directory.
    """
    found = find_run(run)
    older, lacking = read_older_config(found)
    if lacking:
        warn(f"{found} is of an older version: {', '.join(lacking)} take this version's defaults")
    config = with_plugins(found, older, plugins)
    length = config.iterations if iterations is None else iterations
    return train(_shown(replace(config, run_dir=run_dir, iterations=length), progress))

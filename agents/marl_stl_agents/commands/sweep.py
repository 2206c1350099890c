"""A search for good settings with Ray Tune: many trainings, each a run of its own."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pydantic

from marl_stl_agents.checkpoints.store import best_checkpoint
from marl_stl_agents.config import PPOConfig, TrainConfig
from marl_stl_agents.console.output import say
from marl_stl_agents.metric_names import REWARD
from marl_stl_agents.rllib.cluster import cluster
from marl_stl_agents.run_directory import CONFIG, read_json, write_json
from marl_stl_env.errors import ConfigError, RunError, UnknownNameError

_RESULT, _STATE = "sweep.json", "tune"


class Range(pydantic.BaseModel, extra="forbid", frozen=True):
    """Numbers from ``low`` to ``high``, evenly, or evenly in their logarithm."""

    low: float
    high: float
    log: bool = False


class Space(pydantic.BaseModel, extra="forbid", frozen=True):
    """What a sweep looks through.

    Attributes:
        trials: Trainings in all.
        seed: Seed of the search.
        ppo: Fields of :class:`marl_stl_agents.config.PPOConfig`, each with the values to choose
            from or a range to draw from.
    """

    trials: int = pydantic.Field(ge=1)
    seed: int = 0
    ppo: dict[str, list[float | int | str] | Range]


def read_space(path: Path) -> Space:
    """The declared space.

    Raises:
        ConfigError: If the file is not a space.
        UnknownNameError: If it names a setting that there is not.
        RunError: If the file is missing.
    """
    try:
        space = Space.model_validate(read_json(path))
    except pydantic.ValidationError as error:
        raise ConfigError(f"{path} is not a space to search: {error}") from None
    known = [item.name for item in fields(PPOConfig)]
    for name in space.ppo:
        if name not in known:
            raise UnknownNameError("setting of the search", name, known)
    return space


def sweep(config: TrainConfig, path: Path) -> Path:
    """Search a space; called again with the same run directory, go on where it stopped.

    Every trial trains in one process on one processor of the cluster and leaves a run directory for
    ``evaluate.py``. Trials are ranked by the mean reward of their best checkpoint on validation.

    Args:
        config: The run that is varied; ``run_dir`` is where the trials go.
        path: The declared space, a JSON file; see :class:`Space`.

    Returns:
        The file with the settings and reward of every trial, best first.

    Raises:
        ConfigError: If the space is malformed, or the configuration is not one to search with.
        MissingLibraryError: If Ray is not installed.
    """
    if config.backend == "rllib" or config.run_dir is None:
        raise ConfigError(
            "a sweep trains every trial in this process and puts them under --run-dir DIR; leave "
            "--backend rllib out and name the directory"
        )
    space, folder = read_space(path), config.run_dir.resolve()
    with cluster(config):
        results = _tuner(config, space, folder).fit()
    trials = ranked([_describe(result) for result in results])
    write_json(folder / _RESULT, {"trials": trials})
    for trial in trials[:5]:
        say(f"{trial[REWARD]:+.3f} per validation event  {trial['settings']}  {trial['run']}")
    say(f"written to {folder / _RESULT}")
    return folder / _RESULT


def ranked(trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Trials, best first; of equal ones the first by name.

    Tune lists them in another order when a sweep goes on.
    """
    return sorted(trials, key=lambda trial: (-trial[REWARD], trial["run"]))


def train_trial(settings: dict[str, Any], config: TrainConfig, folder: Path) -> None:
    """One training; goes on from its newest checkpoint where it was interrupted."""
    from ray import tune

    from marl_stl_agents.training.resume import resume
    from marl_stl_agents.training.run import train

    run = folder / str(tune.get_context().get_trial_id())
    if (run / CONFIG).exists():
        resume(run)
    else:
        varied = replace(config, ppo=replace(config.ppo, **settings), run_dir=run)
        train(replace(varied, progress=False, preflight=False))
    best = best_checkpoint(run)
    tune.report({REWARD: best.reward, "run": str(run)})


def _tuner(config: TrainConfig, space: Space, folder: Path) -> Any:
    from ray import tune

    trainable = tune.with_resources(
        tune.with_parameters(train_trial, config=config, folder=folder), {"cpu": 1}
    )
    state = folder / _STATE
    if tune.Tuner.can_restore(str(state)):
        return tune.Tuner.restore(
            str(state), trainable, resume_unfinished=True, restart_errored=True
        )
    return tune.Tuner(
        trainable,
        param_space={name: _choices(values) for name, values in space.ppo.items()},
        tune_config=tune.TuneConfig(
            metric=REWARD,
            mode="max",
            num_samples=space.trials,
            search_alg=tune.search.BasicVariantGenerator(random_state=space.seed),
        ),
        run_config=tune.RunConfig(name=_STATE, storage_path=str(folder), verbose=0),
    )


def _choices(values: list[float | int | str] | Range) -> Any:
    from ray import tune

    if isinstance(values, Range):
        return (tune.loguniform if values.log else tune.uniform)(values.low, values.high)
    return tune.choice(values)


def _describe(result: Any) -> dict[str, Any]:
    if result.error is not None:
        raise RunError(f"a trial failed; call the sweep again to try it once more: {result.error}")
    return {
        "settings": result.config,
        "run": result.metrics["run"],
        REWARD: result.metrics[REWARD],
    }

"""A training run, from configuration to run directory."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch

from marl_stl_agents.algorithms.ppo import make_trainer, resolve_device
from marl_stl_agents.checkpoints.policy import load_weights
from marl_stl_agents.checkpoints.store import load_trainer, newest_checkpoint
from marl_stl_agents.checkpoints.trainer_state import restore
from marl_stl_agents.config import EvaluateConfig, TrainConfig
from marl_stl_agents.console.diagnostics import say_how_both_fit
from marl_stl_agents.console.output import say, working
from marl_stl_agents.console.tables import (
    save_curves,
    show_evaluation,
    show_progress,
    show_trivially_satisfied,
)
from marl_stl_agents.diagnostics.checklist import read_checklist, setting_of
from marl_stl_agents.diagnostics.log import LOGGERS, LoggerLike, open_log
from marl_stl_agents.evaluation.evaluate import evaluate_run
from marl_stl_agents.evaluation.new_traffic.kept import keep_reference
from marl_stl_agents.evaluation.result import write_result
from marl_stl_agents.evaluation.stl import trivially_satisfied
from marl_stl_agents.imitation.warm_start import warm_start
from marl_stl_agents.policies.team import TeamPolicy
from marl_stl_agents.printable import command_line
from marl_stl_agents.run_data import (
    Passed,
    describe_data,
    prepare_passed,
)
from marl_stl_agents.run_directory import (
    DATA,
    VALIDATION,
    check_vacant,
    locked_run,
    make_folder,
    write_config,
    write_json,
)
from marl_stl_agents.run_plugins import record_plugins
from marl_stl_agents.training.callbacks import CheckpointCallback, training_callbacks
from marl_stl_agents.training.checklist import ChecklistCallback
from marl_stl_agents.training.hooks import CallbackLike, Hooks
from marl_stl_agents.training.memory import check_fits
from marl_stl_agents.training.preflight import DataCheck, DataCheckCallback
from marl_stl_agents.training.progress import ProgressCallback
from marl_stl_agents.training.stopping import StopFlag, stopped_by_signals
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.engine.spec_monitor import specifications
from marl_stl_env.errors import DivergedError
from marl_stl_env.files import output_errors
from marl_stl_env.stl.enforcement import classify

#: SB3 logs an iteration before its update; here the callback that saves does, after it.
_NEVER = sys.maxsize


def train(
    config: TrainConfig,
    *,
    table: Passed | None = None,
    callbacks: CallbackLike | Sequence[CallbackLike] = (),
    loggers: LoggerLike | Sequence[LoggerLike] = LOGGERS,
) -> Path:
    """Train a team and evaluate it on the validation split.

    The test split is not touched: that is ``marl-stl-evaluate``'s part.

    Args:
        config: The run.
        table: A data frame or a raw table in place of the data set's files.
        callbacks: SB3 callbacks beside the project's own.
        loggers: What is logged to.

    Returns:
        The run directory: ``config.json``, ``data.json``, ``progress.csv``, TensorBoard events,
        ``checklist.json``, ``checkpoints/``, ``validation.json``, ``drift.npz`` and ``curves.png``.

    Raises:
        DeviceError: If CUDA was asked for and is not there.
        DataError: If the data cannot be read, split or scaled.
        RunError: If the run directory is taken.
    """
    hooks = Hooks.of(callbacks, loggers, config.backend)
    check_vacant(config.run_dir)
    device = device_of(config)
    with working() as step:
        step(f"preparing the data set {config.env.data.dataset}")
        prepared = prepare_passed(config, table)
        check_fits(config, prepared, device)
    with DataCheck(config, prepared) as check:
        return _train(config, prepared, device, hooks, check)


def _train(
    config: TrainConfig,
    prepared: PreparedData,
    device: torch.device,
    hooks: Hooks,
    check: DataCheck,
) -> Path:
    if config.task.stl.monitor:
        show_trivially_satisfied(trivially_satisfied(config.task, prepared.tables["train"]))
    if config.task.stl.shield:
        for sentence in classify(specifications(config.task)).sentences():
            say(sentence)
    run = make_folder(config)
    with locked_run(run):
        check_vacant(run)
        record_plugins(run, config)
        write_config(run, config)
        write_json(run / DATA, describe_data(prepared))
        return learn_and_evaluate(config, run, prepared, device, hooks, check)


def device_of(config: TrainConfig) -> torch.device:
    """Where this process computes; with the engine "rllib" the GPUs are the learners'."""
    return resolve_device("cpu" if config.backend == "rllib" else config.device, config.threads)


def learn_and_evaluate(
    config: TrainConfig,
    run: Path,
    prepared: PreparedData,
    device: torch.device,
    hooks: Hooks = Hooks(),  # noqa: B008 - frozen
    check: DataCheck | None = None,
) -> Path:
    """Train a prepared run from where it stands, and evaluate it on the validation split.

    Args:
        config: The run.
        run: Its directory.
        prepared: Its data.
        device: Where to compute.
        hooks: Callbacks and loggers.
        check: A check of the data that goes on beside the training.
    """
    if config.backend == "rllib":
        finished = learn_on_cluster(config, run, prepared, hooks)
    else:
        finished = learn(config, run, prepared, device, hooks, check)
    with working() as step:
        step("drawing the training curves")
        save_curves(run)
    if not finished:
        say(f"stopped; continue with: {command_line('train', '--resume', run)}")
        return run
    if check is not None:
        check.show()
    settings = EvaluateConfig(
        run=run,
        split="validation",
        device="cpu" if config.backend == "rllib" else config.device,
        threads=config.threads,
    )
    with working() as step:
        result = evaluate_run(run, config, settings, prepared, step).result
        step("keeping what new traffic is compared with")
        keep_reference(run, prepared, settings.device, settings.threads)
    write_result(run / VALIDATION, result)
    show_evaluation(result)
    say_how_both_fit(read_checklist(run), result)
    say(f"run directory: {run}\nevaluate it on the test split: {command_line('evaluate', run)}")
    return run


def learn(
    config: TrainConfig,
    run: Path,
    prepared: PreparedData,
    device: torch.device,
    hooks: Hooks = Hooks(),  # noqa: B008 - frozen
    check: DataCheck | None = None,
) -> bool:
    """Train the policy from the newest checkpoint on, or from scratch where there is none.

    SIGINT and SIGTERM save a checkpoint after the iteration they arrive in, and stop.

    Args:
        config: The run.
        run: The run directory.
        prepared: Its data.
        device: Where the networks live.
        hooks: What the user added.
        check: Shows what classifiers reach on the data, where that is still being computed.

    Returns:
        Whether all iterations are done.

    Raises:
        DivergedError: If a NaN or inf turned up; the checkpoints are from before it.
    """
    model = make_trainer(config, prepared, device)
    total = config.iterations * model.n_steps * model.n_envs
    checkpoint = newest_checkpoint(run)
    if checkpoint is not None:
        load_weights(checkpoint, model.policy)
        restore(model, load_trainer(checkpoint))
    elif config.warm_start:
        _warm_start(config, prepared, cast("TeamPolicy", model.policy))
    model.set_logger(open_log(run, model.num_timesteps, hooks.loggers))
    checklist = ChecklistCallback(run, setting_of(config, prepared), config.iterations)

    def report(timesteps: int, metrics: dict[str, Any]) -> None:
        show_progress(timesteps, metrics)
        checklist.evaluated(metrics)

    between = training_callbacks(config, prepared.tables["train"])
    if check is not None:
        between.append(DataCheckCallback(check))
    callback = CheckpointCallback(run, config, prepared.tables["validation"], report)
    bar = [ProgressCallback(total)] if config.progress else []
    with output_errors(run):
        try:
            with stopped_by_signals(callback):
                if model.num_timesteps < total:
                    model.learn(
                        total - model.num_timesteps,
                        callback=[*between, *hooks.callbacks, checklist, callback, *bar],
                        log_interval=_NEVER,
                        reset_num_timesteps=checkpoint is None,
                    )
        except DivergedError as error:
            checklist.failed(error)
            model.dump_logs()
            raise
        finally:
            for one in bar:
                one.close()
            if model.env is not None:
                model.env.close()
            model.logger.close()
    return not callback.stop


def _warm_start(config: TrainConfig, prepared: PreparedData, policy: TeamPolicy) -> None:
    with working() as step:
        step("imitating calibrated classifiers")
        agreement = warm_start(config, prepared, policy)
    say(
        f"warm start: {agreement:.1%} of the sensors' votes on events kept out are the classifiers'"
    )


def learn_on_cluster(config: TrainConfig, run: Path, prepared: PreparedData, hooks: Hooks) -> bool:
    """:func:`learn` with RLlib; see :func:`marl_stl_agents.rllib.training.learn`."""
    from marl_stl_agents.rllib.cluster import cluster
    from marl_stl_agents.rllib.training import learn as learn_with_rllib

    flag = StopFlag()
    # In this order: connecting to Ray sets a handler of its own for SIGTERM.
    with cluster(config), stopped_by_signals(flag):
        return learn_with_rllib(config, run, prepared, flag, hooks.loggers)

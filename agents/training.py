"""A training run, from configuration to run directory."""

from __future__ import annotations

from pathlib import Path

import torch
from stable_baselines3.common.logger import configure

from agents.callbacks import RewardCallback, ValidationCallback
from agents.config import EvaluateConfig, TrainConfig
from agents.evaluation import describe_data, judge_run
from agents.ppo import make_model, make_vec_env, resolve_device
from agents.preflight import preflight
from agents.preflight_report import show_preflight
from agents.report import save_curves, say, show_evaluation, show_progress, show_splits, verdict
from agents.runs import DATA, VALIDATION, new_run, write_json
from marl_stl_env.data.prepare import PreparedData, prepare


def train(config: TrainConfig) -> Path:
    """Train a team and judge it on the validation split.

    The test split is not touched: that is ``evaluate.py``'s part.

    Args:
        config: The run.

    Returns:
        The run directory: ``config.json``, ``data.json``, ``progress.csv``, TensorBoard events,
        ``checkpoints/``, ``validation.json`` and ``curves.png``.

    Raises:
        DeviceError: If CUDA was asked for and is not there.
        DataError: If the data cannot be read, split or scaled.
        RunError: If the run directory is taken.
    """
    device = resolve_device(config.device, config.threads)
    prepared = prepare(config.env)
    if config.preflight:
        show_preflight(preflight(config.env, prepared))
    else:
        show_splits(prepared.report)
    run = new_run(config)
    write_json(run / DATA, describe_data(prepared))
    learn(config, run, prepared, device)
    save_curves(run)
    result = judge_run(run, config, EvaluateConfig(run=run, split="validation"))
    write_json(run / VALIDATION, result)
    show_evaluation(result)
    say(verdict(result))
    say(f"run directory: {run}\njudge it on the test split: python evaluate.py {run}")
    return run


def learn(config: TrainConfig, run: Path, prepared: PreparedData, device: torch.device) -> None:
    """Train the policy, with checkpoints and logs in the run directory.

    Args:
        config: The run.
        run: The run directory.
        prepared: Its data.
        device: Where the networks live.
    """
    venv = make_vec_env(config)
    model = make_model(config, venv, prepared.tables["train"].features, device)
    model.set_logger(configure(str(run), ["csv", "tensorboard"]))
    callback = ValidationCallback(
        run, config.env, prepared.tables["validation"], config.evaluate_every, show_progress
    )
    try:
        model.learn(
            config.iterations * config.ppo.n_steps * venv.num_envs,
            callback=[RewardCallback(), callback],
            progress_bar=config.progress,
        )
    finally:
        venv.close()
        model.logger.close()

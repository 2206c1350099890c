"""Runs and decisions of a toy track, for the tests of the leaderboard."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from marl_stl_agents.algorithms.ppo import resolve_device
from marl_stl_agents.config import EvaluateConfig, PPOConfig, TrainConfig
from marl_stl_agents.evaluation.evaluate import evaluate
from marl_stl_agents.run_data import describe_data
from marl_stl_agents.run_directory import new_run, write_json
from marl_stl_agents.training.run import learn

from benchmarks.leaderboard.track import Track
from marl_stl_env.config import DataConfig, EnvConfig
from marl_stl_env.data.prepare import prepare
from marl_stl_env.types import AnyArray
from tests.conftest import FOUR

TRACK = Track("toy", EnvConfig(data=DataConfig(dataset_options=("rows=4000",)), **FOUR))


def train(run: Path, seed: int, **env: Any) -> Path:
    """A run of two iterations, evaluated."""
    config = TrainConfig(
        env=replace(TRACK.env, **env),
        ppo=PPOConfig(n_steps=32, batch_size=256),
        backend="native",
        lanes=8,
        iterations=2,
        evaluate_every=1,
        seed=seed,
        run_dir=run,
        progress=False,
        stl="off",
    )
    prepared = prepare(config.env)
    write_json(new_run(config) / "data.json", describe_data(prepared))
    assert learn(config, run, prepared, resolve_device("cpu", 1))
    evaluate(EvaluateConfig(run=run))
    return run


def edit(path: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def set_at(*place: Any, value: Any) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        for name in place[:-1]:
            content = content[name]
        content[place[-1]] = value

    return change


def labels() -> AnyArray:
    return TRACK.prepare().tables["test"].labels


def worth(decisions: AnyArray) -> tuple[float, float, float]:
    """F1, reward per event and normalized score, written out."""
    threat, stopped = labels(), np.isin(decisions, [1, 2])
    tp, fp = (threat & stopped).sum(), (~threat & stopped).sum()
    fn, tn = (threat & ~stopped).sum(), (~threat & ~stopped).sum()
    rows, share = len(threat), threat.mean()
    reward = (10 * tp + tn - 8 * fp - 10 * fn) / rows
    constant = max(1 - share - 10 * share, 10 * share - 8 * (1 - share))
    oracle = 10 * share + 1 - share
    return 2 * tp / (2 * tp + fp + fn), reward, (reward - constant) / (oracle - constant)


def guesses(agents: int, seed: int = 0) -> AnyArray:
    """Sensors that are right four times of five.  # (rows, agents) int8."""
    rng = np.random.default_rng(seed)
    threat = labels()[:, None] ^ (rng.random((len(labels()), agents)) < 0.2)
    return np.where(threat, rng.integers(1, 3, threat.shape), 3 * rng.integers(0, 2, threat.shape))


def write(path: Path, decisions: AnyArray, actions: AnyArray | None = None) -> Path:
    frame = pd.DataFrame({"event": np.arange(len(decisions)), "decision": decisions})
    for sensor in range(0 if actions is None else actions.shape[1]):
        frame[f"sensor_{sensor}"] = actions[:, sensor]  # type: ignore[index]
    frame.sample(frac=1, random_state=0).to_parquet(path)
    return path

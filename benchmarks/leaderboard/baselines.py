"""The leaderboard's own entries: trained baselines and references without training."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from marl_stl_agents.algorithms.ppo import resolve_device
from marl_stl_agents.config import EvaluateConfig, TrainConfig
from marl_stl_agents.evaluation.baselines import (
    SupervisedBaselines,
    as_actions,
    simple_baselines,
    threat_groups,
)
from marl_stl_agents.evaluation.evaluate import evaluate
from marl_stl_agents.run_data import describe_data
from marl_stl_agents.run_directory import CONFIG, DATA, EVALUATION, new_run, read_json, write_json
from marl_stl_agents.training.run import learn

from benchmarks.common.partial import PARTIAL
from benchmarks.leaderboard.check import team_of
from benchmarks.leaderboard.table import Entry
from benchmarks.leaderboard.track import Result, Track, of_decisions, of_votes
from marl_stl_env.config import FaultConfig, RewardConfig
from marl_stl_env.data.datasets.synthetic.model import posterior
from marl_stl_env.data.prepare import prepare
from marl_stl_env.errors import SubmissionError

_CPU = "cpu_seconds.json"
_OWN = RewardConfig(team_share=0.0)  # best with full views and with deliberation
_LONG = TrainConfig(
    PARTIAL, stl="off", backend="native", iterations=60, progress=False, preflight=False
)
_SHORT = replace(_LONG, iterations=20)  # a third of the default length

#: Trained baselines. docs/results/ explains how these settings were chosen on validation data.
BASELINES: dict[str, TrainConfig] = {
    "short, partial views": _SHORT,
    "short, full views": replace(_SHORT, env=replace(PARTIAL, views="full", reward=_OWN)),
    "short, single analyst": replace(
        _SHORT, env=replace(PARTIAL, agents=1, views="full", reward=_OWN), lanes=256
    ),
    "short, trained with a faulty sensor": replace(
        _SHORT, env=replace(PARTIAL, faults=FaultConfig(1))
    ),
    "short, deliberation": replace(
        _SHORT, env=replace(PARTIAL, deliberation=1, reward=_OWN), iterations=40
    ),
    "long, partial views": _LONG,
    "default": TrainConfig(backend="native", progress=False, preflight=False),
}


def cpu_seconds_of(run: Path) -> float:
    """CPU seconds of the training of a baseline."""
    return float(read_json(run / _CPU))


def train_baseline(folder: Path, name: str, config: TrainConfig, seed: int) -> Path:
    """Train and evaluate a baseline, unless the folder has the finished run.

    Raises:
        SubmissionError: If the folder has an unfinished run.
    """
    run = folder / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"
    config = replace(config, seed=seed, run_dir=run)
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
    """References without training by reward: the best constant, classifiers and Bayes' rule."""
    prepared, env = track.prepare(), track.env
    table = prepared.tables["test"]
    simple, names = simple_baselines(env, table.labels), ("always_allow", "always_block")
    constants = [of_decisions(env, table, simple[name].decisions) for name in names]
    best = max(constants, key=lambda result: result.reward_per_event)
    yield _reference("best constant", "", best)
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
    """All columns, and the vote of sensors with partial views; both decide by P(threat)."""
    env, table, threshold = track.env, track.prepare().tables["test"], track.env.reward.threshold
    alone = of_decisions(env, table, as_actions(everything >= threshold))
    yield _reference(f"{name}, all columns", "1 sensor, full", alone)
    together = of_votes(env, table, as_actions(views >= threshold))
    yield _reference(f"{name}, vote of the views", team_of(env), together)


def _reference(name: str, team: str, result: Result) -> Entry:
    return Entry(name, "reference", team, (result,))

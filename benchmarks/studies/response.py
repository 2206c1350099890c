"""Whether ``TrafficResponse-v0`` needs foresight: rules and PPO with and without a discount.

``python -m benchmarks.studies.response --out response.json`` tunes the rules on the validation
split, trains PPO with several seeds (its checkpoint is chosen on validation too) and evaluates
everything once on the test split of `synthetic`, cut in time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from marl_stl_agents.algorithms.ppo import resolve_device
from marl_stl_agents.checkpoints.policy import saved_policy
from marl_stl_agents.checkpoints.store import best_checkpoint
from marl_stl_agents.commands.presets import PRESETS
from marl_stl_agents.config import TrainConfig
from marl_stl_agents.evaluation.baselines import SupervisedBaselines, threat_groups
from marl_stl_agents.evaluation.rollouts import collect_rollout, greedy
from marl_stl_agents.run_directory import DATA, new_run, write_json
from marl_stl_agents.training.run import learn
from rich.console import Console
from rich.table import Table
from scipy.stats import bootstrap

from benchmarks.common.partial import PARTIAL
from benchmarks.studies.response_rules import (
    Rule,
    always,
    at_random,
    figures,
    oracle,
    play,
    tune,
)
from marl_stl_env.config import DataConfig, EnvConfig, Split
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.spaces import observation_space
from marl_stl_env.types import Action, Float64Array

FORESIGHT = "PPO, discount 0.8"
MEMORYLESS = "best memoryless rule"
_SHOWN = {
    "reward": "reward",
    "score": "score",
    "contained": "contained",
    "median_steps": "median steps",
    "p95_steps": "p95 steps",
    "threats_passed_before_containment": "passed first",
    "benign_downtime": "benign stopped",
    "analyst_budget_used": "budget used",
    "quarantines_per_entity": "quarantines",
}


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes:
        seeds: Seeds of every trained policy.
        iterations: Rollouts of every trained policy.
        lstm_seeds: Seeds of the LSTM policy, which trains several times as long.
        workers: Training processes.
        quick: Three iterations and 4,000 events, to see it work.
        out: File for the JSON result.
    """

    seeds: tuple[int, ...] = tuple(range(5))
    iterations: int = 100
    lstm_seeds: tuple[int, ...] = (0, 1)
    workers: int = 2
    quick: bool = False
    out: Path | None = None


def environment(settings: Settings) -> EnvConfig:
    """The environment of the study."""
    rows = ("rows=4000",) if settings.quick else ()
    data = DataConfig(split_method="temporal", dataset_options=rows)
    return replace(PARTIAL, data=data, dynamics="response")


def trainings(settings: Settings) -> dict[str, TrainConfig]:
    """Name to configuration of the trained policies, with seed 0."""
    preset, iterations = PRESETS["response"], 3 if settings.quick else settings.iterations
    ours = replace(preset.settings(), env=environment(settings), backend="native", preflight=False)
    ours = replace(ours, iterations=iterations, evaluate_every=min(10, iterations), progress=False)
    plain = replace(ours.ppo, credit="lane", discount=0.0)
    memory = replace(plain, policy="lstm", discount=0.8)
    return {
        FORESIGHT: ours,
        "PPO, discount 0": replace(ours, ppo=plain),
        "PPO, discount 0.8, credit by lane": replace(ours, ppo=replace(plain, discount=0.8)),
        "PPO with LSTM, discount 0.8, credit by lane": replace(ours, ppo=memory),
    }


def rules(config: EnvConfig, prepared: PreparedData) -> Iterator[tuple[str, Rule]]:
    """The untrained policies; those with settings are tuned."""
    table, agents = prepared.tables["test"], config.agents
    for action in Action:
        yield f"always {action.name.capitalize()}", always(action, agents)
    yield "random", at_random(agents)
    evidences = {
        "calibrated boosting": supervised_evidence(config, prepared),
        "exact posteriors": exact_evidence(config, prepared),
    }
    for name, memory in ((MEMORYLESS, False), ("best rule with record and verdicts", True)):
        tuned = {
            source: tune(config, prepared.tables["validation"], known["validation"], memory)
            for source, known in evidences.items()
        }
        source = max(tuned, key=lambda one: tuned[one][1])
        thresholds, earned = tuned[source]
        print(f"{name}: {thresholds} on {source}, {earned:.3f} on validation")
        yield name, thresholds.rule(evidences[source]["test"])
    for action in (Action.BLOCK, Action.QUARANTINE):
        yield f"oracle, {action.name.capitalize()}", oracle(table, agents, action)


def supervised_evidence(config: EnvConfig, prepared: PreparedData) -> dict[Split, Float64Array]:
    """P(threat) by a classifier on each sensor's columns.  # (rows, agents) each."""
    models, groups = SupervisedBaselines(config, prepared), threat_groups(config, prepared)
    return {
        split: np.stack([models.probabilities(group, split) for group in groups], axis=1)
        for split in _evaluated()
    }


def exact_evidence(config: EnvConfig, prepared: PreparedData) -> dict[Split, Float64Array]:
    """The exact P(threat) on each sensor's columns.  # (rows, agents) each."""
    from marl_stl_env.data.datasets.synthetic.model import posterior

    groups = threat_groups(config, prepared)
    found: dict[Split, Float64Array] = {}
    for split in _evaluated():
        features = prepared.raw.take(prepared.rows[split]).features
        found[split] = np.stack([posterior(features, group) for group in groups], axis=1)
    return found


def _evaluated() -> tuple[Split, Split]:
    return "validation", "test"


def train_one(config: TrainConfig) -> dict[str, float]:
    """Train, choose the checkpoint on validation, evaluate on the test split."""
    prepared, device = prepare(config.env), resolve_device("cpu", 1)
    with tempfile.TemporaryDirectory() as folder:
        run = new_run(replace(config, run_dir=Path(folder) / "run"))
        write_json(run / DATA, {})
        learn(config, run, prepared, device)
        table = prepared.tables["test"]
        space = observation_space(Engine(config.env, table, lanes=1))
        policy = saved_policy(best_checkpoint(run), space, device)
    return figures(config.env, table, collect_rollout(config.env, table, greedy(policy)))


def trained(settings: Settings) -> dict[str, list[dict[str, float]]]:
    """Every trained policy with every seed."""
    jobs = [
        (name, replace(config, seed=seed))
        for name, config in trainings(settings).items()
        for seed in (settings.lstm_seeds if config.ppo.policy == "lstm" else settings.seeds)
    ]
    found: dict[str, list[dict[str, float]]] = {}
    with ProcessPoolExecutor(settings.workers, mp_context=get_context("spawn")) as pool:
        results = pool.map(train_one, [config for _, config in jobs])
        for (name, config), result in zip(jobs, results, strict=True):
            print(f"{name}, seed {config.seed}: {result['reward']:.3f}", flush=True)
            found.setdefault(name, []).append(result)
    return found


def interval(values: list[float]) -> tuple[float, float] | None:
    """95 % interval of the mean, by bootstrap over seeds; None for a single seed."""
    if len(values) < 2:
        return None
    found = bootstrap((values,), np.mean, method="percentile", rng=0).confidence_interval
    return float(found.low), float(found.high)


def summary(results: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Scores between the best constant (0) and the oracle (1), and the gain from foresight."""
    reward = {name: float(np.mean([r["reward"] for r in runs])) for name, runs in results.items()}
    constant = max(value for name, value in reward.items() if name.startswith("always"))
    best = max(value for name, value in reward.items() if name.startswith("oracle"))
    for runs in results.values():
        for run in runs:
            run["score"] = (run["reward"] - constant) / (best - constant)
    base = results[MEMORYLESS][0]["score"]
    won = [run["score"] - base for run in results[FORESIGHT]]
    return {
        "best_constant": constant,
        "oracle": best,
        "won_by_foresight": float(np.mean(won)),
        "interval": interval(won),
    }


def show(results: dict[str, list[dict[str, float]]], total: dict[str, Any]) -> None:
    """Print the table and the gain from foresight."""
    console, shown = Console(width=160), Table(title="TrafficResponse-v0, synthetic, test split")
    for column in ("policy", "seeds", *_SHOWN.values()):
        shown.add_column(column, justify="left" if column == "policy" else "right")
    for name, runs in results.items():
        means = []
        for figure in _SHOWN:
            values = [run[figure] for run in runs if run[figure] is not None]
            means.append(f"{np.mean(values):.3f}" if len(values) == len(runs) else "-")
        shown.add_row(name, str(len(runs)), *means)
    console.print(shown)
    console.print(
        f"foresight wins {total['won_by_foresight']:.3f} of the distance between the best constant "
        f"and the oracle over the best memoryless rule (95 % interval {total['interval']})"
    )


def main(settings: Settings) -> None:
    """Measure, print and write."""
    config = environment(settings)
    prepared = prepare(config)
    table = prepared.tables["test"]
    results = {
        name: [figures(config, table, play(config, table, rule))]
        for name, rule in rules(config, prepared)
    }
    results |= trained(settings)
    total = summary(results)
    show(results, total)
    if settings.out is not None:
        write_json(settings.out, {"policies": results, **total})


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))

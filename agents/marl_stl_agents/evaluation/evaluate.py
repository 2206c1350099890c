"""Evaluate a run: rollouts, baselines, faulty sensors and certificates, in one result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from marl_stl_agents.algorithms.ppo import resolve_device
from marl_stl_agents.checkpoints.policy import saved_policy
from marl_stl_agents.checkpoints.store import best_checkpoint
from marl_stl_agents.config import EvaluateConfig, TrainConfig
from marl_stl_agents.evaluation.baselines import Baseline
from marl_stl_agents.evaluation.byzantine import byzantine_metrics, own_faults, replicated_control
from marl_stl_agents.evaluation.new_traffic.kept import keep_reference
from marl_stl_agents.evaluation.operating_point import operating_point
from marl_stl_agents.evaluation.result import EvaluationResult, write_result
from marl_stl_agents.evaluation.rollout_metrics import baselines, result_of_rollout
from marl_stl_agents.evaluation.rollouts import Act, Rollout, collect_rollout, greedy
from marl_stl_agents.evaluation.spec_faults import specs_under_faults
from marl_stl_agents.evaluation.stl import Watched, certified_episodes, stl_metrics
from marl_stl_agents.run_data import Passed, check_data, config_at, prepare_again
from marl_stl_agents.run_directory import evaluation_file, find_run
from marl_stl_env.config import EnvConfig, FaultConfig, Split
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.spaces import observation_space

#: Called with what is being done, in a few words.
Say: TypeAlias = Callable[[str], object]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A run's team on a split: the result, and what it was computed from.

    Attributes:
        run: The run directory.
        config: The run.
        env: Its environment, with honest sensors only.
        prepared: Its data.
        split: The split.
        act: The policy of every sensor.
        rollout: Its votes and decisions on every event.
        references: The baselines.
        watched: The episodes of the certificate, where specifications were monitored.
        result: All metrics: the content of ``evaluation.json``.
    """

    run: Path
    config: TrainConfig
    env: EnvConfig
    prepared: PreparedData
    split: Split
    act: Act
    rollout: Rollout
    references: dict[str, Baseline]
    watched: Watched | None
    result: EvaluationResult

    def __repr__(self) -> str:
        """The run and its result, in one line."""
        return f"Evaluation({str(self.run)!r}, {self.result!r})"

    @property
    def file(self) -> Path:
        """Where the result is written: ``evaluation.json`` for the test split."""
        return evaluation_file(self.run, self.split)

    @property
    def table(self) -> TrafficTable:
        """The scaled table that was evaluated."""
        return self.prepared.tables[self.split]


def _silent(step: str) -> None:
    del step


def evaluate_run(
    run: Path,
    config: TrainConfig,
    settings: EvaluateConfig,
    prepared: PreparedData,
    say: Say = _silent,
) -> Evaluation:
    """Evaluate a run's best checkpoint on a split, first with honest sensors only.

    Args:
        run: The run directory.
        config: The run.
        settings: What to evaluate, and how.
        prepared: The run's data.
        say: Called with what is being done.

    Raises:
        RunError: If the run is damaged or its data has changed since the training.
        DataError: If the data cannot be read.
    """
    check_data(run, prepared)
    device = resolve_device(settings.device, settings.threads)
    space = observation_space(Engine(config.task, prepared.tables[settings.split], lanes=1))
    policy = saved_policy(best_checkpoint(run), space, device)
    return evaluate_team(run, config, prepared, greedy(policy), settings, say)


def evaluate_team(
    run: Path,
    config: TrainConfig,
    prepared: PreparedData,
    act: Act,
    settings: EvaluateConfig,
    say: Say = _silent,
) -> Evaluation:
    """Evaluate any policy as :func:`evaluate_run` evaluates that of the best checkpoint."""
    split, table = settings.split, prepared.tables[settings.split]
    env = replace(config.task, faults=FaultConfig())
    own = own_faults(config.task.faults, settings.faults)
    say(f"deciding on {len(table):,} events of the {split} split")
    rollout = collect_rollout(env, table, act)
    point = operating_point(env, prepared, act, rollout, settings)
    say("fitting the baselines: classifiers with the columns of each sensor")
    references = baselines(env, prepared, split)
    if settings.certify or (settings.certify is None and config.task.stl.monitor):
        say("certifying the specifications in episodes on new seeds")
    watched = certified_episodes(env, table, act, settings)
    say("voting again with copies of one sensor, and with faulty sensors of every kind")
    result = replace(
        result_of_rollout(env, prepared, split, rollout, references),
        operating_point=point,
        stl=stl_metrics(env, table, watched, settings),
        stl_byzantine=specs_under_faults(env, table, act, settings, own),
        replicated=replicated_control(env, table, rollout),
        byzantine=byzantine_metrics(env, table, act, rollout, own),
    )
    return Evaluation(run, config, env, prepared, split, act, rollout, references, watched, result)


def evaluate(
    settings: EvaluateConfig, say: Say = _silent, *, table: Passed | None = None
) -> Evaluation:
    """Evaluate a run and write the result into it.

    Args:
        settings: Which run, what to evaluate, and how.
        say: Called with what is being done.
        table: The table that the run was trained on, where one was passed.

    Raises:
        RunError: If there is no such run, it is damaged, or its data has changed.
    """
    run = find_run(settings.run)
    config = config_at(run, settings.data_dir, settings.plugins)
    say(f"preparing the data set {config.env.data.dataset}")
    prepared = prepare_again(run, config, table)
    evaluated = evaluate_run(run, config, settings, prepared, say)
    if settings.split == "validation":
        say("keeping what new traffic is compared with")
        keep_reference(run, prepared, settings.device, settings.threads)
    write_result(evaluated.file, evaluated.result)
    return evaluated

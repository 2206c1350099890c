"""Evaluate a run: rollouts, baselines, faulty sensors and certificates, in one result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from marl_stl_agents.algorithms.ppo import resolve_device
from marl_stl_agents.checkpoints.policy import saved_policy
from marl_stl_agents.checkpoints.store import best_checkpoint
from marl_stl_agents.config import EvaluateConfig, TrainConfig
from marl_stl_agents.evaluation.baselines import (
    Baseline,
    SupervisedBaselines,
    bayes_baselines,
    carried_out,
    simple_baselines,
)
from marl_stl_agents.evaluation.byzantine import byzantine_metrics, replicated_control
from marl_stl_agents.evaluation.containment import containment_metrics
from marl_stl_agents.evaluation.metrics import (
    action_shares,
    equal_actions,
    family_recall,
    normalized_score,
    score,
)
from marl_stl_agents.evaluation.result import (
    EvaluationResult,
    Metrics,
    Verdict,
    best_constant,
    write_result,
)
from marl_stl_agents.evaluation.rollouts import Act, Rollout, collect_rollout, greedy
from marl_stl_agents.evaluation.spec_faults import specs_under_faults
from marl_stl_agents.evaluation.stl import Watched, certified_episodes, stl_metrics
from marl_stl_agents.run_directory import (
    DATA,
    evaluation_file,
    find_run,
    read_config,
    read_json,
)
from marl_stl_env.config import EnvConfig, FaultConfig, Split
from marl_stl_env.consensus.correlation import error_correlation
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.spaces import observation_space
from marl_stl_env.errors import RunError

#: Ratios of an evaluation, and the baseline at which each is 1.
_REFERENCES = {
    "normalized_score": "oracle",
    "ceiling_ratio": "supervised",
    "vote_ratio": "supervised_vote",
    "bayes_ratio": "bayes",
    "bayes_vote_ratio": "bayes_vote",
}


def describe_data(prepared: PreparedData) -> dict[str, Any]:
    """What a run was trained on, as JSON has it, to be compared when it is evaluated."""
    facts = {
        "source": dict(prepared.raw.source),
        "splits": {
            name: {"events": len(table), "threats": int(table.labels.sum())}
            for name, table in prepared.tables.items()
        },
        "preprocessor": prepared.preprocessor.to_dict(),
    }
    plain: dict[str, Any] = json.loads(json.dumps(facts))
    return plain


def check_data(run: Path, prepared: PreparedData) -> None:
    """Refuse data that differs from what a run was trained on.

    Raises:
        RunError: If it differs.
    """
    if read_json(run / DATA) != describe_data(prepared):
        raise RunError(
            f"the data differs from what {run} was trained on; point --data-dir to the same files"
        )


def baselines(config: EnvConfig, prepared: PreparedData, split: Split) -> dict[str, Baseline]:
    """Every baseline that this data allows, evaluated on the split."""
    table = prepared.tables[split]
    policies = {
        **simple_baselines(config, table.labels),
        **SupervisedBaselines(config, prepared).evaluate(split),
        **bayes_baselines(config, prepared, split),
    }
    return carried_out(config, table, policies)


def result_of_rollout(
    config: EnvConfig,
    prepared: PreparedData,
    split: Split,
    rollout: Rollout,
    references: Mapping[str, Baseline],
) -> EvaluationResult:
    """All metrics that follow from one rollout.

    Args:
        config: The environment.
        prepared: Its data.
        split: The evaluated split.
        rollout: The team's rollout on it.
        references: The baselines on it.

    Returns:
        The result without faulty sensors, replicated control and specifications, which take
        further episodes.
    """
    table = prepared.tables[split]
    decision = score(
        table.labels, rollout.decisions, config.reward, rollout.scores, rollout.rewards
    )
    baselines = {
        name: score(table.labels, one.decisions, config.reward, one.scores, one.rewards)
        for name, one in references.items()
    }
    relative: dict[str, Any] = _relative(decision.reward_per_event, baselines)
    return EvaluationResult(
        dataset=prepared.raw.name,
        split=split,
        events=len(table),
        threat_rate=table.threat_rate,
        decision=decision,
        agents=_per_agent(config, table, rollout),
        action_shares=action_shares(rollout.decisions),
        equal_actions=equal_actions(config),
        baselines=baselines,
        **relative,
        verdict=verdict_of(
            decision.reward_per_event, best_constant(baselines), relative.get("vote_ratio")
        ),
        families=family_recall(table, rollout.decision_votes, prepared.tables["train"].families),
        response=(
            None if config.dynamics == "replay" else containment_metrics(config, table, rollout)
        ),
        error_correlation=error_correlation(rollout.votes, table.labels),
    )


def verdict_of(reward: float, constant: float, vote_ratio: float | None) -> Verdict:
    """Whether a team learned.

    Args:
        reward: Its reward per event.
        constant: That of the better constant policy.
        vote_ratio: Its reward between that of the constant (0) and the supervised vote (1); None
            where the supervised vote is no better than the constant.
    """
    if reward <= constant:
        return Verdict.NOT_LEARNED
    if vote_ratio is None:
        return Verdict.NO_REFERENCE
    return Verdict.REACHED_REFERENCE if vote_ratio >= 1.0 else Verdict.BELOW_REFERENCE


def _per_agent(config: EnvConfig, table: TrafficTable, rollout: Rollout) -> dict[str, Metrics]:
    return {
        f"sensor_{i}": score(table.labels, rollout.actions[:, i], config.reward)
        for i in range(config.agents)
    }


def _relative(reward: float, baselines: Mapping[str, Metrics]) -> dict[str, float | None]:
    constant = best_constant(baselines)
    return {
        key: normalized_score(reward, constant, baselines[name].reward_per_event)
        for key, name in _REFERENCES.items()
        if name in baselines
    }


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

    @property
    def file(self) -> Path:
        """Where the result is written: ``evaluation.json`` for the test split."""
        return evaluation_file(self.run, self.split)

    @property
    def table(self) -> TrafficTable:
        """The scaled table that was evaluated."""
        return self.prepared.tables[self.split]


def evaluate_run(
    run: Path, config: TrainConfig, settings: EvaluateConfig, prepared: PreparedData
) -> Evaluation:
    """Evaluate a run's best checkpoint on a split, first with honest sensors only.

    Raises:
        RunError: If the run is damaged or its data has changed since the training.
        DataError: If the data cannot be read.
    """
    check_data(run, prepared)
    device = resolve_device(settings.device, settings.threads)
    space = observation_space(Engine(config.task, prepared.tables[settings.split], lanes=1))
    policy = saved_policy(best_checkpoint(run), space, device)
    return evaluate_team(run, config, prepared, greedy(policy), settings)


def evaluate_team(
    run: Path, config: TrainConfig, prepared: PreparedData, act: Act, settings: EvaluateConfig
) -> Evaluation:
    """Evaluate any policy as :func:`evaluate_run` evaluates that of the best checkpoint."""
    split, table = settings.split, prepared.tables[settings.split]
    env = replace(config.task, faults=FaultConfig())
    rollout = collect_rollout(env, table, act)
    references = baselines(env, prepared, split)
    watched = certified_episodes(env, table, act, settings)
    result = replace(
        result_of_rollout(env, prepared, split, rollout, references),
        stl=stl_metrics(env, table, watched, settings),
        stl_byzantine=specs_under_faults(env, table, act, settings),
        replicated=replicated_control(env, table, rollout),
        byzantine=byzantine_metrics(env, table, act, rollout),
    )
    return Evaluation(run, config, env, prepared, split, act, rollout, references, watched, result)


def evaluate(settings: EvaluateConfig) -> Evaluation:
    """Evaluate a run and write the result into it.

    Raises:
        RunError: If there is no such run, it is damaged, or its data has changed.
    """
    run = find_run(settings.run)
    config = read_config(run)
    if settings.data_dir is not None:
        config = replace(
            config,
            env=replace(config.env, data=replace(config.env.data, data_dir=settings.data_dir)),
        )
    evaluated = evaluate_run(run, config, settings, prepare(config.task))
    write_result(evaluated.file, evaluated.result)
    return evaluated

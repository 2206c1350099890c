"""From a rollout to the evaluation that is printed and written."""

from __future__ import annotations

import json
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
from marl_stl_agents.evaluation.metrics import action_shares, family_recall, normalized_score, score
from marl_stl_agents.evaluation.rollouts import Act, Rollout, collect_rollout, greedy
from marl_stl_agents.evaluation.stl import Watched, certified_episodes, stl_metrics
from marl_stl_agents.run_directory import (
    DATA,
    evaluation_file,
    find_run,
    read_config,
    read_json,
    report_file,
    write_json,
)
from marl_stl_env.config import EnvConfig, FaultConfig, Split
from marl_stl_env.consensus.correlation import error_correlation
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.spaces import observation_space
from marl_stl_env.errors import RunError

SCHEMA = 1


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


def evaluation(
    config: EnvConfig,
    prepared: PreparedData,
    split: Split,
    rollout: Rollout,
    references: dict[str, Baseline],
) -> dict[str, Any]:
    """All figures of a rollout, as plain data.

    Args:
        config: The environment.
        prepared: Its data.
        split: The split that was evaluated.
        rollout: What the team said.
        references: What it is compared with.

    Returns:
        The content of ``evaluation.json``, schema 1.
    """
    table = prepared.tables[split]
    decision = score(
        table.labels, rollout.decisions, config.reward, rollout.scores, rollout.rewards
    )
    figures = {
        name: score(table.labels, one.decisions, config.reward, one.scores, one.rewards)
        for name, one in references.items()
    }
    return {
        "schema": SCHEMA,
        "dataset": prepared.raw.name,
        "split": split,
        "events": len(table),
        "threat_rate": table.threat_rate,
        "decision": decision,
        "agents": _per_agent(config, table, rollout),
        "action_shares": action_shares(rollout.decisions),
        "baselines": figures,
        **_relative(decision["reward_per_event"], figures),
        "families": family_recall(table, rollout.decision_votes, prepared.tables["train"].families),
        "stl": {},  # filled by evaluate_run, whose policy can run further episodes
        **_containment(config, table, rollout),
        "error_correlation": error_correlation(rollout.votes, table.labels),
    }


def _containment(
    config: EnvConfig, table: TrafficTable, rollout: Rollout
) -> dict[str, dict[str, Any]]:
    if config.dynamics == "replay":
        return {}
    return {"response": containment_metrics(config, table, rollout)}


def _per_agent(
    config: EnvConfig, table: TrafficTable, rollout: Rollout
) -> dict[str, dict[str, float]]:
    return {
        f"sensor_{i}": score(table.labels, rollout.actions[:, i], config.reward)
        for i in range(config.agents)
    }


def _relative(reward: float, figures: dict[str, dict[str, float]]) -> dict[str, float | None]:
    earned = {name: figure["reward_per_event"] for name, figure in figures.items()}
    constant = max(earned["always_allow"], earned["always_block"])
    references = {
        "normalized_score": "oracle",
        "ceiling_ratio": "supervised",
        "vote_ratio": "supervised_vote",
        "bayes_ratio": "bayes",
        "bayes_vote_ratio": "bayes_vote",
    }
    return {
        key: normalized_score(reward, constant, earned[name])
        for key, name in references.items()
        if name in earned
    }


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A run's team on a split: the figures, and what they were made of.

    Attributes:
        run: The run directory.
        config: The run.
        env: Its environment, with honest sensors only.
        prepared: Its data.
        split: The split.
        act: The policy of every sensor.
        rollout: What the team said on every event.
        references: What it is compared with.
        watched: What became of the specifications, where they were watched.
        result: All figures: the content of ``evaluation.json``.
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
    result: dict[str, Any]

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
    watched = certified_episodes(config, table, act, settings)
    result = {
        **evaluation(env, prepared, split, rollout, references),
        "stl": stl_metrics(config, table, watched, settings),
        "replicated": replicated_control(env, table, rollout),
        "byzantine": byzantine_metrics(env, table, act, rollout),
    }
    return Evaluation(run, config, env, prepared, split, act, rollout, references, watched, result)


def evaluate(settings: EvaluateConfig) -> tuple[Path, dict[str, Any]]:
    """Evaluate a run and write the result into it, as a page too where that is asked for.

    Returns:
        The file written (``evaluation.json`` for the test split) and its content.

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
    path = evaluation_file(run, settings.split)
    write_json(path, evaluated.result)
    if settings.report:
        from marl_stl_agents.reporting.page import write_report

        write_report(evaluated, report_file(run, settings.split))
    return path, evaluated.result

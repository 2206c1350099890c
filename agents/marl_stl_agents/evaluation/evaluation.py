"""From a judgement to the evaluation that is printed and written."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from marl_stl_agents.algorithms.ppo import resolve_device, saved_policy
from marl_stl_agents.checkpoints.store import best_checkpoint
from marl_stl_agents.config import EvaluateConfig, TrainConfig
from marl_stl_agents.evaluation.baselines import (
    Baseline,
    SupervisedBaselines,
    bayes_baselines,
    carried_out,
    simple_baselines,
)
from marl_stl_agents.evaluation.byzantine import byzantine_figures, clones_control
from marl_stl_agents.evaluation.containment import containment_figures
from marl_stl_agents.evaluation.metrics import action_shares, family_recall, normalized_score, score
from marl_stl_agents.evaluation.rollouts import Act, Judgement, greedy, judge
from marl_stl_agents.evaluation.stl import Watched, certified_episodes, promise_figures
from marl_stl_agents.run_directory import (
    DATA,
    find_run,
    judgement_file,
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
    """What a run was trained on, as JSON has it, to be compared when it is judged."""
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
    """Every baseline that this data allows, judged on the split."""
    table = prepared.tables[split]
    policies = {
        **simple_baselines(config, table.labels),
        **SupervisedBaselines(config, prepared).judge(split),
        **bayes_baselines(config, prepared, split),
    }
    return carried_out(config, table, policies)


def evaluation(
    config: EnvConfig,
    prepared: PreparedData,
    split: Split,
    judgement: Judgement,
    references: dict[str, Baseline],
) -> dict[str, Any]:
    """All figures of a judgement, as plain data.

    Args:
        config: The environment.
        prepared: Its data.
        split: The split that was judged.
        judgement: What the team said.
        references: What it is compared with.

    Returns:
        The content of ``evaluation.json``, schema 1.
    """
    table = prepared.tables[split]
    decision = score(
        table.labels, judgement.decisions, config.reward, judgement.scores, judgement.rewards
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
        "agents": _per_agent(config, table, judgement),
        "action_shares": action_shares(judgement.decisions),
        "baselines": figures,
        **_relative(decision["reward_per_event"], figures),
        "families": family_recall(
            table, judgement.decision_votes, prepared.tables["train"].families
        ),
        "stl": {},  # filled by judge_run, whose policy can run further episodes
        **_containment(config, table, judgement),
        "error_correlation": error_correlation(judgement.votes, table.labels),
    }


def _containment(
    config: EnvConfig, table: TrafficTable, judgement: Judgement
) -> dict[str, dict[str, Any]]:
    if config.dynamics == "replay":
        return {}
    return {"response": containment_figures(config, table, judgement)}


def _per_agent(
    config: EnvConfig, table: TrafficTable, judgement: Judgement
) -> dict[str, dict[str, float]]:
    return {
        f"sensor_{i}": score(table.labels, judgement.actions[:, i], config.reward)
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
class Judged:
    """A run's team on a split: the figures, and what they were made of.

    Attributes:
        run: The run directory.
        config: The run.
        env: Its environment, with honest sensors only.
        prepared: Its data.
        split: The split.
        act: The policy of every sensor.
        judgement: What the team said on every event.
        references: What it is compared with.
        watched: What became of the promises, where they were watched.
        result: All figures: the content of ``evaluation.json``.
    """

    run: Path
    config: TrainConfig
    env: EnvConfig
    prepared: PreparedData
    split: Split
    act: Act
    judgement: Judgement
    references: dict[str, Baseline]
    watched: Watched | None
    result: dict[str, Any]

    @property
    def table(self) -> TrafficTable:
        """The scaled table that was judged."""
        return self.prepared.tables[self.split]


def judge_run(run: Path, config: TrainConfig, settings: EvaluateConfig) -> Judged:
    """Judge a run's best checkpoint on a split, first with honest sensors only.

    Raises:
        RunError: If the run is damaged or its data has changed since the training.
        DataError: If the data cannot be read.
    """
    prepared = prepare(config.env)
    check_data(run, prepared)
    device = resolve_device(settings.device, settings.threads)
    space = observation_space(Engine(config.env, prepared.tables[settings.split], lanes=1))
    policy = saved_policy(config, space, best_checkpoint(run), device)
    return judge_team(run, config, prepared, greedy(policy), settings)


def judge_team(
    run: Path, config: TrainConfig, prepared: PreparedData, act: Act, settings: EvaluateConfig
) -> Judged:
    """Judge any policy as :func:`judge_run` judges that of the best checkpoint."""
    split, table = settings.split, prepared.tables[settings.split]
    env = replace(config.env, faults=FaultConfig())
    judgement = judge(env, table, act)
    references = baselines(env, prepared, split)
    watched = certified_episodes(config, table, act, settings)
    result = {
        **evaluation(env, prepared, split, judgement, references),
        "stl": promise_figures(config, table, watched, settings),
        "clones": clones_control(env, table, judgement),
        "byzantine": byzantine_figures(env, table, act, judgement),
    }
    return Judged(run, config, env, prepared, split, act, judgement, references, watched, result)


def evaluate(settings: EvaluateConfig) -> tuple[Path, dict[str, Any]]:
    """Judge a run and write the result into it, as a page too where that is asked for.

    Returns:
        The file written (``evaluation.json`` for the test split) and its content.

    Raises:
        RunError: If there is no such run, it is damaged, or its data has changed.
    """
    run = find_run(settings.run)
    config = read_config(run)
    if settings.data_dir is not None:
        config = replace(config, env=replace(config.env, data_dir=settings.data_dir))
    judged = judge_run(run, config, settings)
    path = judgement_file(run, settings.split)
    write_json(path, judged.result)
    if settings.report:
        from marl_stl_agents.reporting.page import write_report

        write_report(judged, report_file(run, settings.split))
    return path, judged.result

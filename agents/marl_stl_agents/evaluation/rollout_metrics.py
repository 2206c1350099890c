"""All metrics that follow from one rollout of a team and from the baselines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marl_stl_agents.evaluation.baselines import (
    Baseline,
    SupervisedBaselines,
    bayes_baselines,
    carried_out,
    simple_baselines,
)
from marl_stl_agents.evaluation.containment import containment_metrics
from marl_stl_agents.evaluation.metrics import (
    action_shares,
    equal_actions,
    event_rewards,
    family_recall,
    normalized_score,
    score,
)
from marl_stl_agents.evaluation.result import EvaluationResult, Metrics, Verdict, best_constant
from marl_stl_agents.evaluation.rollouts import Rollout
from marl_stl_env.config import EnvConfig, Split
from marl_stl_env.consensus.correlation import error_correlation
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.data.table import TrafficTable

#: Ratios of an evaluation, and the baseline at which each is 1.
_REFERENCES = {
    "normalized_score": "oracle",
    "ceiling_ratio": "supervised",
    "vote_ratio": "supervised_vote",
    "bayes_ratio": "bayes",
    "bayes_vote_ratio": "bayes_vote",
}


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
        equal_actions=equal_actions(config, table),
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
        f"sensor_{i}": score(
            table.labels, actions, config.reward, None, event_rewards(config.reward, table, actions)
        )
        for i, actions in enumerate(rollout.actions.T)
    }


def _relative(reward: float, baselines: Mapping[str, Metrics]) -> dict[str, float | None]:
    constant = best_constant(baselines)
    return {
        key: normalized_score(reward, constant, baselines[name].reward_per_event)
        for key, name in _REFERENCES.items()
        if name in baselines
    }

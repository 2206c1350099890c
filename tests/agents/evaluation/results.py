"""Results made by hand."""

from __future__ import annotations

from typing import Any

from marl_stl_agents.evaluation.result import EvaluationResult, Metrics, Verdict


def metrics(reward: float = 0.0) -> Metrics:
    """Metrics of four events, with any reward."""
    return Metrics(1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, reward)


def make_result(**more: Any) -> EvaluationResult:
    """A small result; constants have the rewards -1 and -2."""
    known: dict[str, Any] = {
        "dataset": "toy",
        "split": "test",
        "events": 4,
        "threat_rate": 0.5,
        "decision": metrics(),
        "agents": {},
        "action_shares": {"ALLOW": 0.5, "BLOCK": 0.5},
        "baselines": {"always_allow": metrics(-1.0), "always_block": metrics(-2.0)},
        "families": {},
        "error_correlation": 0.0,
        "verdict": Verdict.NO_REFERENCE,
    }
    return EvaluationResult(**(known | more))

"""Decisions as lines of NDJSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from marl_stl_agents.evaluation.new_traffic.decision import Decision
from marl_stl_env.types import Action


def decision_lines(decisions: Sequence[Decision], keys: Sequence[str]) -> bytes:
    """The lines of some decisions.

    Args:
        decisions: The decisions.
        keys: What names the event of each.
    """
    written = map(_line, decisions, keys)
    return "".join(written).encode()


def _line(one: Decision, key: str) -> str:
    content: dict[str, Any] = {
        "event": one.event,
        "key": key,
        "time": None if one.time is None else _finite(one.time),
        "entity": one.entity,
        "decision": one.action.name,
        "threat_score": round(one.threat_score, 6),
        "votes": [_name(vote) for vote in one.votes],
        "reason": one.reason,
        "isolated": one.isolated,
        "alert": "granted" if one.granted else "refused" if one.refused else None,
    }
    if one.specifications:
        content["specifications"] = {
            name: {"robustness": _finite(left), "satisfied": not left < 0}
            for name, left in one.specifications.items()
        }
    return json.dumps(content, allow_nan=False, separators=(",", ":")) + "\n"


def _name(vote: Action | None) -> str | None:
    return None if vote is None else vote.name


def _finite(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None

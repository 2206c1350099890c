"""The typed result: what is written is read, and nothing else is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from marl_stl_agents.console.sentences import verdict_sentence
from marl_stl_agents.evaluation.metrics import equal_actions
from marl_stl_agents.evaluation.result import Verdict, as_json, read_result, write_result
from marl_stl_agents.evaluation.rollout_metrics import verdict_of
from pydantic import ValidationError

from marl_stl_env.config import EnvConfig, RewardConfig
from marl_stl_env.errors import RunError
from tests.agents.evaluation.results import make_result, metrics


def test_written_is_read(tmp_path: Path) -> None:
    result = make_result(vote_ratio=0.25)
    write_result(tmp_path / "evaluation.json", result)
    assert read_result(tmp_path / "evaluation.json") == result
    assert as_json(result)["schema"] == 2


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"schema": 1}, "older version.*marl-stl-evaluate"),
        ({"schema": 3}, "update marl-stl-env"),
        ({"events": "many"}, "events"),
        ({"unknown": 1}, "unknown"),
        ({"threat_rate": float("nan")}, "damaged"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps(as_json(make_result()) | change))
    with pytest.raises(RunError, match=problem):
        read_result(path)


@pytest.mark.parametrize("text", ["", "[]", "{", "7"])
def test_damaged_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "validation.json"
    path.write_text(text)
    with pytest.raises(RunError, match="--split validation"):
        read_result(path)


def test_no_number_is_nan() -> None:
    with pytest.raises(ValidationError):
        metrics(float("nan"))


@pytest.mark.parametrize(
    ("reward", "ratio", "verdict", "words"),
    [
        (-1.0, 0.0, Verdict.NOT_LEARNED, "NOT LEARNED"),
        (0.0, None, Verdict.NO_REFERENCE, "no reference"),
        (0.0, 0.8, Verdict.BELOW_REFERENCE, "80% of that of"),
        (0.0, 1.14, Verdict.REACHED_REFERENCE, "14% more than"),
        (0.0, 1.0, Verdict.REACHED_REFERENCE, "the same as"),
    ],
)
def test_verdicts(reward: float, ratio: float | None, verdict: Verdict, words: str) -> None:
    assert verdict_of(reward, -1.0, ratio) is verdict
    result = replace(make_result(decision=metrics(reward)), verdict=verdict, vote_ratio=ratio)
    assert words in verdict_sentence(result)


def test_actions_of_the_same_reward() -> None:
    assert equal_actions(EnvConfig()) == (("ALLOW", "ALERT"), ("BLOCK", "QUARANTINE"))
    assert equal_actions(EnvConfig(reward=RewardConfig(alert_cost=0.5, block_cost=1.0))) == ()

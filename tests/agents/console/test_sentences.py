"""Sentences about a result say what is true of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from marl_stl_agents.console.sentences import (
    actions_sentence,
    checklist_sentence,
    operating_point_sentence,
    tolerance_sentence,
    verdict_sentence,
)
from marl_stl_agents.diagnostics.checklist import Check
from marl_stl_agents.evaluation.metrics import equal_actions
from marl_stl_agents.evaluation.result import FaultMetrics, OperatingPoint, Verdict

from marl_stl_env.config import EnvConfig
from tests.agents.evaluation.results import make_result, metrics


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (1.14, "14% more than that of"),
        (1.006, "1% more than that of"),
        (1.004, "within 0.5% the same as that of"),
        (0.996, "within 0.5% the same as that of"),
        (0.994, "99% of that of"),
        (0.03, "3% of that of"),
        (-0.2, "-20% of that of"),
    ],
)
def test_comparisons(ratio: float, words: str) -> None:
    result = replace(make_result(), verdict=Verdict.BELOW_REFERENCE, vote_ratio=ratio)
    assert f" is {words} supervised_vote" in verdict_sentence(result)


def test_actions_with_the_same_reward_are_named() -> None:
    shares = {"ALLOW": 0.1, "BLOCK": 0.05, "QUARANTINE": 0.03, "ALERT": 0.82}
    result = replace(make_result(), action_shares=shares, equal_actions=equal_actions(EnvConfig()))
    sentence = actions_sentence(result)
    assert "ALERT 82.0%" in sentence
    assert "these have the same reward: ALLOW and ALERT; BLOCK and QUARANTINE." in sentence


@pytest.mark.parametrize(
    ("rewards", "words"),
    [
        ((0.9, 0.5), ""),  # the constant policy has -1: .75 of the gain of 2 is left
        ((0.9, 0.0), ""),
        ((0.9, -0.02), "(flip) the mean reward is -0.020 per event, 49% of its gain is left."),
        ((0.9, -1.1), "-1.100 per event, less than the best constant policy."),
        ((-1.1, 0.9), "with 1 of 7 faulty (flip) the mean reward is -1.100"),
        ((), ""),
    ],
)
def test_a_team_that_does_not_tolerate_its_faulty_sensors_is_told(
    rewards: tuple[float, ...], words: str
) -> None:
    entries = tuple(
        FaultMetrics(i, "flip", 0.5, reward, 0.5) for i, reward in enumerate(rewards, 1)
    )
    agents = {f"sensor_{i}": metrics() for i in range(7)}
    result = replace(make_result(), decision=metrics(1.0), agents=agents, byzantine=entries)
    sentence = tolerance_sentence(result)
    assert words in sentence
    assert bool(sentence) == bool(words) == ("--faulty" in sentence)
    assert tolerance_sentence(replace(result, decision=metrics(-1.0))) == ""  # not learned


def check(status: str) -> Check:
    return Check("explained_variance", "", "", status)  # type: ignore[arg-type]


def test_a_failed_line_beside_a_good_verdict_is_explained() -> None:
    failed, sound = [check("failed")], [check("passed"), check("unknown")]
    text = checklist_sentence(failed, Verdict.REACHED_REFERENCE)
    assert "failed lines (explained_variance), and the team learned all the same" in text
    assert "did not learn" in checklist_sentence(sound, Verdict.NOT_LEARNED)
    assert checklist_sentence(failed, Verdict.NOT_LEARNED) == ""
    assert checklist_sentence(sound, Verdict.BELOW_REFERENCE) == ""
    assert checklist_sentence([], Verdict.NOT_LEARNED) == ""


def test_the_operating_point_says_where_it_is_from() -> None:
    point = OperatingPoint(0.25, "validation", metrics(1.5))
    on_test = operating_point_sentence(replace(make_result(), operating_point=point))
    assert "threat score >= 0.25 (the best mean reward on validation): precision" in on_test
    assert "reward +1.500 per event" in on_test
    assert on_test.endswith("marl-stl-decide --threshold 0.25")
    result = replace(make_result(), split="validation", operating_point=point)
    assert "which flatters it here" in operating_point_sentence(result)
    given = replace(make_result(), operating_point=replace(point, chosen_on="given"))
    assert "(as given)" in operating_point_sentence(given)
    assert operating_point_sentence(make_result()) == ""

"""The lines of the checklist, from records written by hand."""

from dataclasses import replace
from typing import Any

import pytest
from marl_stl_agents.diagnostics.checklist import (
    ITERATIONS,
    Check,
    Fault,
    Iteration,
    Setting,
    due,
)
from marl_stl_agents.diagnostics.checks import diagnosis, examine

SETTING = Setting(
    threat_rate=0.109,
    constant_reward=-0.199,
    constant_f1=0.197,
    learning_rate=3e-3,
    entropy_coefficient=0.02,
    discount=0.0,
)


def iteration(number: int, last: int) -> Iteration:
    """A healthy training's record: what it earns rises, what it misjudges falls."""
    progress = number / last
    return Iteration(
        iteration=number,
        timesteps=number * 16_384,
        reward=-4.0 + 5.3 * progress,
        threat_share=0.108,
        threat_share_error=0.012,
        shares={"ALLOW": 0.5, "BLOCK": 0.05, "QUARANTINE": 0.05, "ALERT": 0.4},
        gain_benign=9.0,
        gain_threat=20.0,
        explained_variance=0.1 * progress,
        value_loss=30.0 - 20.0 * progress,
        value_error=0.8,
        value_spread=0.2,
        entropy=1.3 - 0.5 * progress,
        approx_kl=0.01,
        clip_fraction=0.1,
        gradient_norm=2.0,
        signal=0.96,
        signal_error=0.015,
        evaluated={"tp": 2_700.0, "f1": 0.78, "reward_per_event": 1.3},
    )


def history(length: int = 60, **changes: Any) -> list[Iteration]:
    """A healthy record with the same changes in every iteration."""
    return [replace(iteration(n, length), **changes) for n in range(1, length + 1)]


def lines(record: list[Iteration], setting: Setting = SETTING) -> dict[str, Check]:
    return {check.name: check for check in examine(record, setting)}


def test_a_healthy_training_has_no_failed_line() -> None:
    for length in ITERATIONS:
        statuses = {check.status for check in examine(history(length), SETTING)}
        assert statuses == {"passed"}, length


@pytest.mark.parametrize(
    ("changes", "name", "told"),
    [
        ({"threat_share": 0.0, "gain_threat": None}, "threat_share", "benign events only"),
        ({"threat_share": 1.0, "gain_benign": None}, "threat_share", "threats only"),
        ({"threat_share": 0.3}, "threat_share", "whole split"),
        ({"gain_benign": -9.0, "gain_threat": -20.0}, "reward_sign", "flipped"),
        ({"gain_threat": -20.0}, "reward_sign", "flipped"),
        ({"signal": 0.51}, "features", "shuffled"),
        ({"approx_kl": 1e-5}, "learning_rate", "too small"),
        ({"approx_kl": 2.0}, "learning_rate", "threw the policy away"),
        ({"value_spread": 1e-7}, "learning_rate", "network is dead"),
        (
            {"shares": {"ALLOW": 0.6, "BLOCK": 0.005, "QUARANTINE": 0.005, "ALERT": 0.39}},
            "action_shares",
            "no longer tries",
        ),
        (
            {"shares": {"ALLOW": 0.02, "BLOCK": 0.5, "QUARANTINE": 0.45, "ALERT": 0.03}},
            "action_shares",
            "no longer tries",
        ),
        ({"value_error": 4.0}, "value_loss", "overshoots"),
        ({"value_loss": 30.0}, "value_loss", "noise"),
        ({"explained_variance": -0.01}, "explained_variance", "learns nothing"),
        ({"reward": 1.0}, "reward_rising", "do not improve"),
        ({"evaluated": {"tp": 0, "f1": 0, "reward_per_event": -0.199}}, "true_positives", "pass"),
        ({"evaluated": {"tp": 9, "f1": 0.19, "reward_per_event": 1.0}}, "f1", "do not tell"),
        (
            {"evaluated": {"tp": 9, "f1": 0.3, "reward_per_event": -0.2}},
            "beats_constants",
            "nothing was learned",
        ),
    ],
)
def test_a_broken_training_names_its_cause(changes: dict[str, Any], name: str, told: str) -> None:
    checks = examine(history(**changes), SETTING)
    first = diagnosis(checks)
    assert first is not None
    assert first.name == name
    assert told in (first.cause or "")
    for check in checks:
        assert (check.cause is None, check.remedy is None) == (check.status != "failed",) * 2
        assert check.remedy != ""


def test_after_a_warm_start_the_reward_need_not_rise() -> None:
    record, warm = history(reward=1.0), replace(SETTING, warm_start=True)
    assert lines(record)["reward_rising"].status == "failed"
    assert lines(record, warm)["reward_rising"].status == "unknown"


def test_one_explosion_of_the_value_loss_is_enough() -> None:
    record = history()
    record[2] = replace(record[2], value_error=2_609.0)
    assert lines(record)["value_loss"].status == "failed"
    record[2] = replace(record[2], value_error=16.0)  # the optimiser's first steps: it recovers
    assert lines(record)["value_loss"].status == "passed"


def test_one_update_that_threw_the_policy_away_is_enough() -> None:
    """A network that is dead after its first update moves no more: the mean looks harmless."""
    record = history(approx_kl=0.0)
    record[0] = replace(record[0], approx_kl=140.0)
    failed = lines(record)["learning_rate"]
    assert "140" in failed.measured
    assert "iteration 1," in failed.measured
    assert "--learning-rate 3e-04" in (failed.remedy or "")


def test_a_negative_reward_is_told() -> None:
    record = [replace(one, reward=-0.5 - 1.0 / one.iteration) for one in history()]
    failed = lines(record)["reward_positive"]
    assert failed.status == "failed"
    assert "never positive" in failed.measured
    assert "iteration 46" in lines(history())["reward_positive"].measured


def test_what_follows_from_a_cause_says_so() -> None:
    record = history(
        signal=0.49,
        explained_variance=-0.1,
        evaluated={"tp": 0.0, "f1": 0.0, "reward_per_event": -0.199},
    )
    checks = lines(record)
    assert checks["features"].cause is not None
    for name in ("explained_variance", "true_positives", "f1", "beats_constants"):
        assert checks[name].cause == "follows from 'features'"


def test_a_discount_in_the_replay_is_blamed() -> None:
    record = history(explained_variance=0.0)
    assert "--discount 0" in (
        lines(record, replace(SETTING, discount=0.99))["explained_variance"].remedy or ""
    )
    response = replace(SETTING, discount=0.99, replay=False)
    for other in (SETTING, response):
        assert "--discount" not in (lines(record, other)["explained_variance"].remedy or "")


def test_early_on_nothing_is_expected_but_nothing_is_hidden() -> None:
    unlearned = {
        "reward": -1.0,
        "explained_variance": -0.01,
        "evaluated": {"tp": 0.0, "f1": 0.0, "reward_per_event": -0.3},
    }
    short = examine(history(9, **unlearned), SETTING)
    assert diagnosis(short) is None
    unknown = {check.name for check in short if check.status == "unknown"}
    assert unknown >= {"true_positives", "f1", "beats_constants", "explained_variance"}
    assert diagnosis(examine(history(9, gain_threat=-20.0), SETTING)) is not None
    assert lines(history(29, **unlearned))["true_positives"].status == "unknown"
    assert lines(history(30, **unlearned))["true_positives"].status == "failed"
    few_steps = [replace(one, timesteps=one.iteration) for one in history(40, **unlearned)]
    assert lines(few_steps)["true_positives"].status == "unknown"


def test_what_cannot_be_told_is_unknown() -> None:
    unknown = lines(
        history(
            9,
            threat_share_error=None,
            gain_benign=None,
            gain_threat=None,
            signal=None,
            evaluated=None,
        )
    )
    for name in ("threat_share", "reward_sign", "features", "true_positives"):
        assert unknown[name].status == "unknown"
    # 0.58 is no more than chance among so few threats, and nothing to accuse the features of.
    assert lines(history(signal=0.58, signal_error=0.04))["features"].status == "unknown"


def test_a_fault_comes_first_and_needs_no_history() -> None:
    fault = Fault("column 'x3'", "check the features")
    checks = examine([], SETTING, fault)
    assert [(one.name, one.status) for one in checks] == [("finite", "failed")]
    assert (checks[0].measured, checks[0].remedy) == ("column 'x3'", "check the features")
    assert diagnosis(examine(history(gain_threat=-1.0), SETTING, fault)) == checks[0]


def test_when_the_checklist_is_due() -> None:
    assert [n for n in range(1, 201) if due(n, 200)] == [10, 30, 50, 80, 100, 150, 200]
    assert [n for n in range(1, 61) if due(n, 60)] == [10, 30, 50, 60]

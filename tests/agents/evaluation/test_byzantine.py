from dataclasses import replace

import numpy as np
import pytest
from marl_stl_agents.console.tables import show_evaluation
from marl_stl_agents.evaluation.baselines import team_vote
from marl_stl_agents.evaluation.byzantine import (
    AWAKE_FAULTS,
    byzantine_metrics,
    decide_with_faults,
    replay_with_faults,
    replicated_control,
)
from marl_stl_agents.evaluation.metrics import score
from marl_stl_agents.evaluation.rollouts import collect_rollout

from marl_stl_env.config import ConsensusConfig, EnvConfig, FaultConfig
from marl_stl_env.types import Float32Array, Float64Array, Int8Array
from tests.agents.evaluation.results import make_result
from tests.conftest import FOUR, UNWATCHED, make_table
from tests.oracles import FAULT_NAMES, ScalarFaults, decide

TABLE = make_table(500)
CONFIG = EnvConfig(agents=7, episode_length=50, views="groups", stl=UNWATCHED)


def act(observations: Float32Array) -> tuple[Int8Array, Float64Array]:
    """Block where what is seen adds up to much."""
    sums = observations[:, :10].sum(axis=1)
    return (sums > 0.8).astype(np.int8), sums.astype(np.float64)


@pytest.mark.parametrize("fault", [*FAULT_NAMES, "mixed"])
@pytest.mark.parametrize("count", [0, 1, 3, 7])
def test_replayed_faults_equal_the_scalar_oracle(fault: str, count: int) -> None:
    rng = np.random.default_rng(count)
    actions = rng.integers(0, 4, (len(TABLE), 7)).astype(np.int8)
    faults = FaultConfig(count, fault, sleeper_start=20)
    decisions = replay_with_faults(CONFIG, TABLE, actions, faults)
    for row in range(0, len(TABLE), 7):
        oracle = ScalarFaults(replace(CONFIG, faults=faults), seed=row, episode=0)
        agreed = oracle.agreed(actions[row].tolist(), bool(TABLE.labels[row]), row % 50, 1)
        assert decisions[row] == decide(agreed, 2, 4)


def test_evaluation_with_faults_runs_them() -> None:
    """A full team of flippers decides the opposite; one round or two."""
    for config in (CONFIG, replace(CONFIG, deliberation=1)):
        honest = collect_rollout(config, TABLE, act)
        flipped = decide_with_faults(config, TABLE, act, honest, FaultConfig(7, "flip"))
        wanted = [decide([a ^ 1 for a in row], 2, 4) for row in honest.actions.tolist()]
        assert flipped.tolist() == wanted
    lying = collect_rollout(replace(CONFIG, faults=FaultConfig(7, "flip")), TABLE, act)
    assert lying.decisions.tolist() == wanted


def test_with_deliberation_lies_reach_the_honest_sensors() -> None:
    """Followers repeat sensor 0's proposal: one faulty sensor in its place decides for all."""
    config = EnvConfig(deliberation=1, **FOUR)
    layout_width = 10 + 4 + 1 + 16

    def follow(observations: Float32Array) -> tuple[Int8Array, Float64Array]:
        assert observations.shape[1] == layout_width
        voting, heard = observations[:, 14] == 1.0, observations[:, 15:19]
        own = (observations[:, :10].sum(axis=1) > 0.8).astype(np.int8)
        return np.where(voting, heard.argmax(axis=1), own).astype(np.int8), own.astype(float)

    honest = collect_rollout(config, TABLE, follow)
    first = (TABLE.features[:, :3].sum(axis=1) > 0.8).astype(np.int8)
    np.testing.assert_array_equal(honest.decisions, first)
    changed = decide_with_faults(config, TABLE, follow, honest, FaultConfig(1, "flip"))
    assert 0.1 < (changed != honest.decisions).mean() < 0.45  # sensor 0 lies in a quarter


def test_figures_of_every_fault_up_to_the_bound() -> None:
    rollout = collect_rollout(CONFIG, TABLE, act)
    entries = byzantine_metrics(CONFIG, TABLE, act, rollout)
    assert [(e.faulty, e.fault) for e in entries] == [
        (count, fault) for count in (1, 2) for fault in AWAKE_FAULTS
    ]
    decisions = replay_with_faults(CONFIG, TABLE, rollout.actions, FaultConfig(2, "flip"))
    wanted = score(TABLE.labels, decisions, CONFIG.reward)
    found = next(e for e in entries if (e.faulty, e.fault) == (2, "flip"))
    assert (found.f1, found.recall, found.reward_per_event) == (
        wanted.f1,
        wanted.recall,
        wanted.reward_per_event,
    )
    three = replace(CONFIG, agents=3, consensus=ConsensusConfig())
    assert byzantine_metrics(three, TABLE, act, collect_rollout(three, TABLE, act)) == ()


def test_checked_votes_are_replayed_as_the_engine_does() -> None:
    checked = replace(CONFIG, consensus=ConsensusConfig(weights="reliability", feedback_share=0.3))
    equal, weighed = (collect_rollout(config, TABLE, act) for config in (CONFIG, checked))
    assert (weighed.actions == equal.actions).all()
    assert (weighed.decisions != equal.decisions).any()
    assert (team_vote(checked, TABLE, weighed.actions) == weighed.decisions).all()
    assert (team_vote(CONFIG, TABLE, weighed.actions) == equal.decisions).all()
    for fault in FAULT_NAMES:
        faults = FaultConfig(2, fault, sleeper_start=20)
        lying = collect_rollout(replace(checked, faults=faults), TABLE, act).decisions
        replayed = replay_with_faults(checked, TABLE, weighed.actions, faults)
        assert (replayed == lying).all()
        assert (replayed != weighed.decisions).any()
    evaluated = byzantine_metrics(checked, TABLE, act, weighed)
    assert {entry.fault for entry in evaluated} == set(FAULT_NAMES)


def test_the_worst_case_is_the_worst() -> None:
    entries = byzantine_metrics(CONFIG, TABLE, act, collect_rollout(CONFIG, TABLE, act))
    for count in (1, 2):
        rewards = {e.fault: e.reward_per_event for e in entries if e.faulty == count}
        # Other faults draw the same faulty sensors, event by event.
        assert min(rewards, key=lambda fault: rewards[fault]) == "worst_case"


def test_replicated_are_worth_their_best_sensor() -> None:
    rollout = collect_rollout(CONFIG, TABLE, act)
    alone = [score(TABLE.labels, rollout.actions[:, i], CONFIG.reward) for i in range(7)]
    best = max(range(7), key=lambda i: alone[i].reward_per_event)
    control = replicated_control(CONFIG, TABLE, rollout)
    assert control.sensor == f"sensor_{best}"
    assert control.f1 == alone[best].f1
    assert control.reward_per_event == alone[best].reward_per_event


def test_the_report_shows_faults_and_replicated(capsys: pytest.CaptureFixture[str]) -> None:
    rollout = collect_rollout(CONFIG, TABLE, act)
    result = make_result(
        decision=score(TABLE.labels, rollout.decisions, CONFIG.reward),
        error_correlation=0.25,
        replicated=replicated_control(CONFIG, TABLE, rollout),
        byzantine=byzantine_metrics(CONFIG, TABLE, act, rollout),
    )
    show_evaluation(result)
    shown = capsys.readouterr().out
    faults = shown[shown.index("with faulty sensors") :]
    for fault in AWAKE_FAULTS:
        line = next(line for line in faults.splitlines() if f" {fault} " in line)
        for entry in result.byzantine:
            if entry.fault == fault:
                assert f"{entry.reward_per_event:.3f} ({entry.f1:.3f})" in line
    assert result.replicated is not None
    assert f"vote reach {result.replicated.reward_per_event:.3f} per event" in shown
    assert "sensors 0.25" in shown

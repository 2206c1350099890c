"""Decisions of other libraries: evaluated like our own runs, or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from marl_stl_agents.algorithms.ppo import resolve_device

from benchmarks.leaderboard.check import check_run
from benchmarks.leaderboard.decisions import check_decisions
from marl_stl_env.errors import SubmissionError
from tests.benchmarks.leaderboard_runs import TRACK, guesses, labels, worth, write


def test_foreign_decisions_are_evaluated_alike(tmp_path: Path) -> None:
    decisions = guesses(1)[:, 0]
    result = check_decisions(write(tmp_path / "d.parquet", decisions), TRACK, 5, agent_steps=10)
    f1, reward, relative = worth(decisions)
    assert result.f1 == pytest.approx(f1)
    assert result.reward_per_event == pytest.approx(reward)
    assert result.normalized_score == pytest.approx(relative)
    assert (result.seed, result.agent_steps, result.one_byzantine) == (5, 10, None)


def test_names_of_actions_serve_as_well(tmp_path: Path) -> None:
    decisions = guesses(1)[:, 0]
    names = np.array(["ALLOW", "BLOCK", "QUARANTINE", "ALERT"])[decisions]
    by_name = check_decisions(write(tmp_path / "names.parquet", names), TRACK, 0)
    assert by_name == check_decisions(write(tmp_path / "values.parquet", decisions), TRACK, 0)


def test_decisions_of_our_own_run_get_the_figures_of_its_checkpoint(
    runs: list[Path], tmp_path: Path
) -> None:
    """Two ways to the same figures: from the weights, and from what ``--decisions`` writes."""
    from marl_stl_agents.checkpoints.policy import saved_policy
    from marl_stl_agents.checkpoints.store import best_checkpoint
    from marl_stl_agents.evaluation.rollouts import collect_rollout, greedy
    from marl_stl_agents.run_directory import read_config

    from marl_stl_env.engine.engine import Engine
    from marl_stl_env.envs.spaces import observation_space

    config, test = read_config(runs[0]), TRACK.prepare().tables["test"]
    space = observation_space(Engine(config.env, test, lanes=1))
    device = resolve_device("cpu", 1)
    said = collect_rollout(
        config.env, test, greedy(saved_policy(best_checkpoint(runs[0]), space, device))
    )
    path = write(tmp_path / "own.parquet", said.decisions, said.actions)
    _, expected = check_run(runs[0], TRACK)
    assert check_decisions(path, TRACK, 0, agent_steps=expected.agent_steps) == expected


def test_a_unanimous_team_tolerates_a_byzantine_sensor(tmp_path: Path) -> None:
    same = np.repeat(guesses(1), 4, axis=1)
    result = check_decisions(write(tmp_path / "d.parquet", same[:, 0], same), TRACK, 0)
    assert result.one_byzantine == pytest.approx(result.reward_per_event)
    three = same[:, :3]
    assert (
        check_decisions(write(tmp_path / "e.parquet", three[:, 0], three), TRACK, 0).one_byzantine
        is None
    )


def test_a_byzantine_among_the_two_who_see_a_threat_decides(tmp_path: Path) -> None:
    """Two of four see every threat and nobody errs: one faulty sensor hides half of them."""
    actions = np.zeros((len(labels()), 4), np.int8)
    actions[labels(), :2] = 1
    result = check_decisions(write(tmp_path / "d.parquet", labels().astype(int), actions), TRACK, 0)
    assert result.normalized_score == 1.0
    threats, rows = labels().sum(), len(labels())
    hidden = (result.reward_per_event - (result.one_byzantine or 0.0)) * rows / 20
    assert hidden == pytest.approx(threats / 2, abs=3 * np.sqrt(threats) / 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame[1:], "every test event from 0 to 598 once; it has 598 rows"),
        (lambda frame: pd.concat([frame[1:], frame[-1:]]), "599 rows, 598 of them different"),
        (lambda frame: frame.drop(columns="decision"), "has no column 'decision'"),
        (lambda frame: frame.drop(columns="event"), "has no column 'event'"),
        (lambda frame: frame.assign(decision=4), r"holds 4; actions are ALLOW \(0\)"),
        (lambda frame: frame.assign(decision="Block"), "holds Block"),
        (lambda frame: frame.assign(decision=np.nan), "holds nan"),
        (lambda frame: frame.assign(sensor_1=0), r"sensors are \['sensor_0'\]"),
        (lambda frame: frame.assign(sensor_0=3 - frame["decision"]), "is not the vote of the 1"),
    ],
)
def test_decisions_that_are_not_what_was_asked_are_refused(
    tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    path = write(tmp_path / "d.parquet", guesses(1)[:, 0])
    change(pd.read_parquet(path)).to_parquet(path)
    with pytest.raises(SubmissionError, match=message):
        check_decisions(path, TRACK, 0)
    path.write_text("no Parquet")
    with pytest.raises(SubmissionError, match="cannot be read as Parquet"):
        check_decisions(path, TRACK, 0)

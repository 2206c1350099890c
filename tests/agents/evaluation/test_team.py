"""Teams on new traffic decide as they do in the environment, whatever they remember.

The other side of every comparison is one lane of the environment, which replays the whole split
with SB3's own ``predict``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from marl_stl_agents.config import PPOConfig, Stl
from marl_stl_agents.evaluation.new_traffic import load_team
from marl_stl_agents.evaluation.new_traffic.decision import verdict_of
from marl_stl_agents.run_directory import read_config

from marl_stl_env.config import (
    ConsensusConfig,
    EnvConfig,
    StlConfig,
)
from marl_stl_env.types import Action
from tests.agents.evaluation.random_runs import make_run
from tests.agents.evaluation.team_lanes import (
    ALL_LABELS,
    LSTM,
    REPLAY,
    RESPONDING,
    SMALL,
    Lane,
    events_of,
    lane_of,
    new_traffic,
    nothing,
    of_all,
    of_granted,
    of_learned,
    same,
)

ENFORCED = StlConfig(monitor=True, observe=True, shield=True)
KINDS: dict[str, tuple[EnvConfig, PPOConfig, Stl, Callable[[Lane], Any]]] = {
    "replay": (REPLAY, SMALL, "off", nothing),
    "full views": (replace(REPLAY, views="full"), SMALL, "off", nothing),
    "overlapping views": (replace(REPLAY, agents=7, views="overlap"), SMALL, "off", nothing),
    "deliberation": (replace(REPLAY, deliberation=1), SMALL, "off", nothing),
    "independent": (REPLAY, replace(SMALL, sharing="independent"), "off", nothing),
    "second opinions": (replace(REPLAY, agents=6, second_opinions=2), SMALL, "off", nothing),
    "lstm": (REPLAY, LSTM, "off", nothing),
    "shield": (replace(REPLAY, stl=ENFORCED), SMALL, "monitor", nothing),
    "reliability": (
        replace(REPLAY, consensus=ConsensusConfig(weights="reliability", feedback_share=0.3)),
        SMALL,
        "off",
        of_learned,
    ),
    "response": (RESPONDING, SMALL, "off", of_granted),
    "response, deliberation, overlapping views": (
        replace(RESPONDING, agents=7, views="overlap", deliberation=1),
        SMALL,
        "off",
        of_granted,
    ),
    "response, lstm": (RESPONDING, LSTM, "off", of_granted),
    "response, reliability": (replace(RESPONDING, consensus=ALL_LABELS), SMALL, "off", of_all),
    "certified": (
        replace(RESPONDING, agents=7, views="overlap", stl=StlConfig(shield=True)),
        SMALL,
        "lagrangian",
        of_granted,
    ),
    "lstm that sees labels": (
        replace(RESPONDING, stl=StlConfig(monitor=True, observe=True)), LSTM, "monitor", of_all,
    ),
}  # fmt: skip
#: Seeds of policies that isolate, call the analyst, and decide now this way and now that.
SEEDS = {
    "deliberation": 0,
    "response, deliberation, overlapping views": 2,
    "response, lstm": 2,
    "certified": 11,
    "lstm that sees labels": 0,
    "shield": 0,
}


#: What one of the others holds too.
LONG = ("full views", "overlapping views", "shield", "response")


@pytest.fixture(
    scope="module",
    params=[pytest.param(k, marks=pytest.mark.long if k in LONG else ()) for k in KINDS],
)
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    env, ppo, stl, verdicts = KINDS[request.param]
    folder, seed = tmp_path_factory.mktemp("runs") / "run", SEEDS.get(request.param, 1)
    run = make_run(folder, env, ppo, stl, bias=0.0, seed=seed)
    lane = lane_of(run)
    return run, lane, new_traffic(env), verdicts(lane)


def test_as_in_one_lane_of_the_environment(kind: Any) -> None:
    run, lane, frame, verdicts = kind
    found = load_team(run).decide(frame, keep=("flow_id",), verdicts=verdicts)
    same(found, lane)
    assert len(np.unique(lane.decisions)) > 1
    if read_config(run).task.dynamics == "response":
        assert 0 < lane.isolated.sum() < len(lane.isolated)
        assert lane.granted.any()
        np.testing.assert_array_equal(
            found["reason"].str.contains("its entity is isolated"), lane.isolated
        )
        np.testing.assert_array_equal(
            found["reason"].str.contains("the analyst is called"), lane.granted
        )
    assert found.index.tolist() == found["flow_id"].tolist() == frame["flow_id"].tolist()
    assert found["entity"].tolist() == frame["entity"].tolist()
    assert found["threat_score"].between(0, 1).all()


def test_two_halves_and_a_restart_between_them(kind: Any) -> None:
    run, lane, frame, verdicts = kind
    told = pd.Series(verdicts, frame.index) if verdicts is not None else None
    first = load_team(run).stream(reason_columns=0)
    parts = [first.decide(frame[:101], verdicts=None if told is None else told[:101])]
    second = load_team(run).stream(reason_columns=0)
    second.set_state(first.get_state())
    for piece in (frame[101:102], frame[102:]):
        given = None if told is None else told.loc[piece.index]
        parts.append(second.decide(piece, verdicts=given))
    same(pd.concat(parts), lane)


def test_event_by_event_with_verdicts_that_come_late(kind: Any) -> None:
    """A verdict given right after the decision counts as one that stood beside the event.

    Only what a specification measured of the event stays: there the verdict stands beside it.
    """
    run, lane, frame, verdicts = kind
    team, config = load_team(run), read_config(run)
    late = not config.task.stl.observe or config.stl == "lagrangian"
    told = [None] * len(frame) if verdicts is None else pd.Series(verdicts).tolist()
    whole = team.decide(frame, verdicts=verdicts)
    stream = team.stream(specifications=True)
    for number, event in enumerate(events_of(frame)):
        verdict = told[number]
        found, row = stream.step(event, None if late else verdict), whole.iloc[number]
        assert found.event == number
        assert found.action.name == row["decision"]
        assert list(found.votes) == [Action(vote) for vote in lane.actions[number]]
        assert (found.time, found.entity) == (row["time"], row["entity"])
        assert found.threat_score == pytest.approx(row["threat_score"], abs=1e-6)
        assert found.reason == row["reason"]
        assert found.granted == lane.granted[number]
        if late and (known := verdict_of(verdict)) >= 0:
            stream.learn(number, found.entity, lane.actions[number], bool(known))

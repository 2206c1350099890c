"""What a team reads of new traffic, what it is told of it, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from marl_stl_agents.checkpoints.policy import saved_policy
from marl_stl_agents.checkpoints.store import best_checkpoint
from marl_stl_agents.config import DecideConfig
from marl_stl_agents.evaluation.new_traffic import Team, decide, in_order, load_team
from marl_stl_agents.run_directory import read_config
from numpy.random import default_rng

from marl_stl_env.data import prepare
from marl_stl_env.data.entities import EntityDirectory
from marl_stl_env.data.ingest.incoming import Wanted, plain_format
from marl_stl_env.data.ingest.one_event import EventReader
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.spaces import observation_space
from marl_stl_env.errors import (
    DataFormatError,
    DecidingError,
    InvalidActionError,
    LabelError,
    MissingColumnError,
)
from tests.agents.evaluation.random_runs import CPU, make_run
from tests.agents.evaluation.team_lanes import (
    RESPONDING,
    SMALL,
    events_of,
    few_hosts,
    lane_of,
    new_traffic,
    of_granted,
    same,
)


@pytest.fixture(scope="module")
def responding(tmp_path_factory: pytest.TempPathFactory) -> Team:
    return load_team(
        make_run(tmp_path_factory.mktemp("runs") / "run", RESPONDING, SMALL, bias=0.0, seed=1)
    )


def test_an_event_is_scaled_as_a_file_of_it(responding: Team) -> None:
    """Bit for bit, with missing, strange and textual values."""
    frame = new_traffic(RESPONDING)
    category = next(n for n in frame if frame[n].dtype.kind not in "iuf" and n != "entity")
    number = responding.preprocessor.columns[-1].name
    frame = frame.drop(columns=responding.preprocessor.columns[-2].name)
    frame[category] = [None, "never seen", "  ", *frame[category][3:]]
    frame[number] = [np.nan, np.inf, -np.inf, 1e30, -7.5, *frame[number][5:]]
    chunk = next(responding.open(frame, Wanted()).chunks())
    reader = EventReader(plain_format(), responding.preprocessor)
    for row, event in enumerate(events_of(frame)):
        found = reader.read(event | {number: str(event[number])})
        np.testing.assert_array_equal(found.features[0], chunk.table.features[row])
        assert chunk.times is not None
        assert found.time == chunk.times[row]


def test_spaces_around_names_are_no_part_of_them(responding: Team) -> None:
    """What pandas reads of a file has the names of its header as they stand there."""
    frame = new_traffic(RESPONDING).assign(note=range(len(new_traffic(RESPONDING))))
    padded = frame.rename(columns=lambda name: f" {name} ")
    kept = responding.decide(frame, keep="note")
    assert list(kept["note"]) == list(range(len(frame)))
    pd.testing.assert_frame_equal(responding.decide(padded, keep=(" note",)), kept)
    events, stream = events_of(frame), responding.stream()
    padded_stream = responding.stream()
    for event, same_event in zip(events[:20], events_of(padded)[:20], strict=True):
        assert padded_stream.step(same_event) == stream.step(event)


def test_bad_events(responding: Team) -> None:
    event = events_of(new_traffic(RESPONDING))[0]
    number = responding.preprocessor.columns[-1].name
    stream = responding.stream()
    with pytest.raises(MissingColumnError, match="names the host of each event"):
        stream.step({name: value for name, value in event.items() if name != "entity"})
    with pytest.raises(MissingColumnError, match="at most half may be"):
        stream.step({"entity": "10.0.0.1"})
    with pytest.raises(DataFormatError, match=f"column '{number}': 'much' is not a number"):
        stream.step(event | {number: "much"})
    with pytest.raises(DataFormatError, match="is no time"):
        stream.step(event | {"time": "yesterday"})
    with pytest.raises(DecidingError, match="a mapping of columns to values, not list"):
        stream.step(list(event))  # type: ignore[arg-type]
    with pytest.raises(DecidingError, match="'perhaps' is no verdict"):
        stream.step(event, "perhaps")
    assert stream.step(event).event == 0
    with pytest.raises(DecidingError, match="earlier than the one before"):
        stream.step(event | {"time": event["time"] - 1})


def test_verdicts_matter_and_without_them_columns_say_unknown(
    tmp_path: Path,
) -> None:
    """Nothing else than the verdicts tells the two apart; unknown is neither benign nor threat."""
    run = make_run(tmp_path / "run", RESPONDING, SMALL, bias=0.0, seed=1)
    frame, team = new_traffic(RESPONDING), load_team(run)
    lane = lane_of(run)
    told = team.decide(frame, verdicts=of_granted(lane))
    opposite = np.where(lane.granted, ~lane.labels, np.array(None))
    untold, wrong = team.decide(frame), team.decide(frame, verdicts=opposite)
    assert (untold["threat_score"] != told["threat_score"]).any()
    assert (wrong["threat_score"] != told["threat_score"]).any()
    # What nobody asked for stays with the analyst: only granted alerts have verdicts.
    same(team.decide(frame, verdicts=lane.labels), lane)


def test_the_command_writes_the_same_decisions(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", RESPONDING, SMALL, bias=0.0, seed=1)
    frame, lane = new_traffic(RESPONDING), lane_of(run)
    frame.assign(analyst=of_granted(lane)).to_csv(tmp_path / "flows.csv", index=False)
    settings = DecideConfig(
        tmp_path / "flows.csv", run, tmp_path / "out.csv", verdicts="analyst", reason_columns=0
    )
    _, summary = decide(settings)
    found = pd.read_csv(tmp_path / "out.csv")
    same(found, lane)
    frame_found = load_team(run).decide(frame, verdicts=of_granted(lane), reason_columns=0)
    assert found["reason"].tolist() == frame_found["reason"].tolist()
    assert summary["response"]["isolated"] == lane.isolated.sum()
    assert summary["response"]["granted"] == lane.granted.sum()
    rewards = rewards_of(run)
    assert summary["decision"]["reward_per_event"] == pytest.approx(rewards.mean(), abs=1e-5)


def rewards_of(run: Path) -> Any:
    env = read_config(run).task
    table = few_hosts(env)
    engine = Engine(env, table, lanes=1, seeds=3)
    policy = saved_policy(best_checkpoint(run), observation_space(engine), CPU)
    engine.reset()
    return np.array(
        [
            engine.step(policy.predict(engine.observe()[0], deterministic=True)[0][None])
            .decision_rewards[0]
            for _ in range(len(table))
        ]
    )  # fmt: skip


def test_bad_frames(responding: Team) -> None:
    frame = new_traffic(RESPONDING)
    with pytest.raises(MissingColumnError, match="names the host of each event"):
        responding.decide(frame.drop(columns="entity"))
    with pytest.raises(DecidingError, match=r"event 1 .* sort the events by time"):
        responding.decide(frame[::-1])
    with pytest.raises(DecidingError, match="no event"):
        responding.decide(frame[:0])
    with pytest.raises(LabelError, match=r"row 1, column .* 'perhaps' is no verdict"):
        responding.decide(frame[:2], verdicts=["perhaps", None])
    with pytest.raises(DecidingError, match="3 verdicts for 2 events"):
        responding.decide(frame[:2], verdicts=[1, 0, 1])
    with pytest.raises(DecidingError, match="no event has the index"):
        responding.decide(frame[:2], verdicts=pd.Series([1], index=[5]))
    with pytest.raises(DecidingError, match="leave the threshold out"):
        responding.stream(threshold=0.5)
    stream = responding.stream(reason_columns=0)
    stream.decide(frame[10:20])
    with pytest.raises(DecidingError, match="earlier than the one before"):
        stream.decide(frame[:5])


def test_many_events_are_followed_in_parts(
    responding: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = new_traffic(RESPONDING)
    whole = responding.decide(frame)
    assert EntityDirectory(32).most < len(frame) / 3
    monkeypatch.setattr(in_order, "EntityDirectory", lambda: EntityDirectory(32))
    pd.testing.assert_frame_equal(responding.decide(frame), whole)


def test_acting_on_observations(responding: Team) -> None:
    engine = Engine(responding.env, prepare(RESPONDING).tables["test"], lanes=5, seeds=0)
    engine.reset()
    seen = engine.observe()
    policy = saved_policy(best_checkpoint(responding.run), observation_space(engine), CPU)
    expected, _ = policy.predict(seen.reshape(20, -1), deterministic=True)
    found = responding.act(seen)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, expected.reshape(5, 4))
    with pytest.raises(InvalidActionError, match=r"must be \(n, 4, "):
        responding.act(seen[:, :3])


def test_a_directory_of_entities_against_a_list() -> None:
    """With fewer slots than entities the one that was met longest ago gives its slot away."""
    rng, directory = default_rng(0), EntityDirectory(16)
    order: list[str] = []
    holds: dict[int, str] = {}
    for _ in range(60):
        names = [f"host {n}" for n in rng.integers(0, 24, rng.integers(1, directory.most + 1))]
        slots, new = directory.place(names)
        passed = set(new.tolist())
        for name, slot in zip(names, slots.slots.tolist(), strict=False):
            if name in order:
                assert holds[slot] == name
                order.remove(name)
            else:
                if len(order) == 16:
                    assert holds[slot] == order.pop(0)
                assert slot in passed
                holds[slot] = name
            order.append(name)

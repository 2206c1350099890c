"""Teams on new traffic decide as they do in the environment, whatever they remember.

The other side of every comparison is one lane of the environment, which replays the whole split
with SB3's own ``predict``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from marl_stl_agents.checkpoints.policy import saved_policy
from marl_stl_agents.checkpoints.store import best_checkpoint
from marl_stl_agents.config import DecideConfig, PPOConfig, Stl
from marl_stl_agents.evaluation.new_traffic import Team, decide, load_team
from marl_stl_agents.evaluation.new_traffic.decision import verdict_of
from marl_stl_agents.run_directory import read_config
from numpy.random import default_rng

from marl_stl_env.config import (
    ConsensusConfig,
    DataConfig,
    EnvConfig,
    FaultConfig,
    ResponseConfig,
    StlConfig,
)
from marl_stl_env.data import TrafficTable, prepare
from marl_stl_env.data.entities import EntityDirectory
from marl_stl_env.data.ingest.incoming import Wanted, plain_format
from marl_stl_env.data.ingest.one_event import EventReader
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.state import StepRecord
from marl_stl_env.envs.spaces import observation_space
from marl_stl_env.errors import (
    DataFormatError,
    DecidingError,
    InvalidActionError,
    LabelError,
    MissingColumnError,
)
from marl_stl_env.types import Action, BoolArray, Int8Array
from tests.agents.evaluation.random_runs import CPU, make_run
from tests.agents.evaluation.test_new_traffic import raw_rows

RESPONSE = ResponseConfig(
    quarantine_length=6, alert_budget=5, alert_window=40, alert_delay=2, verdict_length=60
)
REPLAY = EnvConfig(
    agents=4,
    views="groups",
    episode_length=10_000,
    data=DataConfig(dataset_options=("rows=1600",)),
)
RESPONDING = replace(REPLAY, dynamics="response", response=RESPONSE)
ALL_LABELS = ConsensusConfig(weights="reliability", feedback_share=1.0)
SMALL = PPOConfig(width=8, bins=0)
LSTM = replace(SMALL, policy="lstm")


@dataclass(frozen=True)
class Lane:
    """What one lane of the environment does on a split.

    Attributes:
        actions: The vote of every sensor.  # (rows, agents) int8
        decisions: What was carried out.  # (rows,) int8
        granted: Events for which the analyst was called.  # (rows,) bool
        isolated: Events of isolated entities.  # (rows,) bool
        learned: Events whose label the weights of the vote learned.  # (rows,) bool
        labels: True labels.  # (rows,) bool
    """

    actions: Int8Array
    decisions: Int8Array
    granted: BoolArray
    isolated: BoolArray
    learned: BoolArray
    labels: BoolArray


def few_hosts(env: EnvConfig) -> TrafficTable:
    """The scaled test split, on few hosts that come back often."""
    table = prepare(env).tables["test"]
    assert table.entities is not None
    return replace(table, entities=table.entities % 9)


def lane_of(run: Path) -> Lane:
    """Let the team of a run decide in the environment."""
    env = replace(read_config(run).task, faults=FaultConfig())
    table = few_hosts(env)
    engine = Engine(env, table, lanes=1, seeds=3)
    policy = saved_policy(best_checkpoint(run), observation_space(engine), CPU)
    memory, began = None, np.ones(env.agents, np.bool_)
    records, learned = list[StepRecord](), list[bool]()

    def feedback() -> int:
        return int(np.sum(engine.get_state().get("reliability_votes", 0)))

    engine.reset()
    while len(records) < len(table):
        before = feedback()
        seen = engine.observe()[0]
        chosen, memory = policy.predict(seen, memory, began, deterministic=True)
        began = np.zeros(env.agents, np.bool_)
        record = engine.step(chosen[None])
        if record.voting[0]:
            records.append(record)
            learned.append(feedback() > before)
    assert [record.rows[0] for record in records] == list(range(len(table)))
    return Lane(
        np.stack([record.actions[0] for record in records]),
        np.stack([record.decisions[0] for record in records]),
        np.stack([record.granted[0] for record in records]),
        np.stack([record.isolated[0] for record in records]),
        np.array(learned),
        np.asarray(table.labels),
    )


def new_traffic(env: EnvConfig) -> pd.DataFrame:
    """The rows of the test split, with hosts, times and a number."""
    prepared, table = prepare(env), few_hosts(env)
    frame = raw_rows(prepared, "test")
    assert table.entities is not None
    assert prepared.raw.times is not None
    frame["entity"] = [f"10.0.0.{code}" for code in table.entities]
    frame["time"] = prepared.raw.times[prepared.rows["test"]]
    frame["flow_id"] = np.arange(len(frame)) + 7000
    return frame.set_index(frame["flow_id"].to_numpy())


def events_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def as_codes(found: pd.DataFrame, columns: list[str]) -> Int8Array:
    return np.stack([[Action[name] for name in found[column]] for column in columns], 1)


def same(found: pd.DataFrame, lane: Lane) -> None:
    sensors = [name for name in found.columns if name.startswith("sensor_")]
    np.testing.assert_array_equal(as_codes(found, sensors), lane.actions)
    np.testing.assert_array_equal(as_codes(found, ["decision"])[:, 0], lane.decisions)


def nothing(lane: Lane) -> None:
    del lane


def of_granted(lane: Lane) -> Any:
    """The analyst's verdicts: the label where an alert was granted, else nothing."""
    words = np.where(lane.labels, "threat", "benign").astype(object)
    return np.where(lane.granted, words, np.array(None))


def of_learned(lane: Lane) -> Any:
    return pd.array(np.where(lane.learned, lane.labels * 1, -1), dtype="Int8")


def of_all(lane: Lane) -> Any:
    return lane.labels


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


@pytest.fixture(scope="module", params=list(KINDS))
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


@pytest.fixture(scope="module")
def responding(tmp_path_factory: pytest.TempPathFactory) -> Team:
    return load_team(
        make_run(tmp_path_factory.mktemp("runs") / "run", RESPONDING, SMALL, bias=0.0, seed=1)
    )


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

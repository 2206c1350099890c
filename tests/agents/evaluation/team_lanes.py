"""One lane of the environment, with SB3's own ``predict``, and its split as new traffic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from marl_stl_agents.checkpoints.policy import saved_policy
from marl_stl_agents.checkpoints.store import best_checkpoint
from marl_stl_agents.config import PPOConfig
from marl_stl_agents.run_directory import read_config

from marl_stl_env.config import (
    ConsensusConfig,
    DataConfig,
    EnvConfig,
    FaultConfig,
    ResponseConfig,
)
from marl_stl_env.data import TrafficTable, prepare
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.state import StepRecord
from marl_stl_env.envs.spaces import observation_space
from marl_stl_env.types import Action, BoolArray, Int8Array
from tests.agents.evaluation.random_runs import CPU
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

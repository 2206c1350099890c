"""Training, evaluating and deciding from Python: tables of one's own, callbacks, loggers."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import marl_stl_agents
import numpy as np
import pandas as pd
import pytest
from marl_stl_agents import PPOConfig, Run, TrainConfig, evaluate, load_team, train
from marl_stl_agents.evaluation.result import read_result
from marl_stl_agents.run_directory import read_json
from marl_stl_agents.training.resume import resume
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter

from marl_stl_env import DataConfig, EnvConfig, TrafficTable
from marl_stl_env.data.passed import table_digest
from marl_stl_env.errors import ConfigError, MissingColumnError, RunError
from marl_stl_env.types import Action
from tests.conftest import make_table, with_entities

OPTIONS: Any = {
    "label": "attack",
    "family": "kind",
    "entity": "host",
    "time": "at",
    "drop": "flow_id",
}
CONFIG = TrainConfig(
    env=EnvConfig(
        agents=4,
        views="groups",
        episode_length=32,
        dynamics="response",
        data=DataConfig(dataset="custom", dataset_options=OPTIONS),
    ),
    ppo=PPOConfig(width=8, n_steps=16, batch_size=128),
    backend="native",
    lanes=8,
    iterations=2,
    evaluate_every=1,
    device="cpu",
    progress=False,
    preflight=False,
)


class Recorder(KVWriter):
    """A logger of one's own."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.names: set[str] = set()

    def write(self, key_values: dict[str, Any], key_excluded: Any, step: int = 0) -> None:
        """Remember what was logged."""
        del key_excluded
        self.steps.append(step)
        self.names |= set(key_values)

    def close(self) -> None:
        """Nothing to close."""


class Counter(BaseCallback):
    """A callback of one's own."""

    def __init__(self) -> None:
        super().__init__()
        self.rollouts = 0

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.rollouts += 1
        self.logger.record("own/rollouts", self.rollouts)


def table_of(rows: int = 600) -> TrafficTable:
    return with_entities(make_table(rows), 9)


def frame_of(table: TrafficTable) -> pd.DataFrame:
    frame = pd.DataFrame(np.array(table.features), columns=list(table.feature_names))
    frame["attack"] = np.where(table.labels, "attack", "normal")
    frame["kind"] = [table.family_names[code] for code in table.families]
    frame["host"] = [f"10.0.0.{code}" for code in np.asarray(table.entities)]
    frame["at"] = pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(len(table)), "s")
    frame["flow_id"] = np.arange(len(table))
    return frame


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return frame_of(table_of())


@pytest.fixture(scope="module")
def trained(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder, counter, recorder = tmp_path_factory.mktemp("runs") / "run", Counter(), Recorder()
    steps: list[int] = []

    def count(seen: dict[str, Any], _: dict[str, Any]) -> bool:
        steps.append(seen["self"].num_timesteps)
        return True

    run = train(
        replace(CONFIG, run_dir=folder),
        table=frame,
        callbacks=[counter, count],
        loggers=("csv", recorder),
    )
    return run, counter, recorder, steps


def test_callbacks_and_loggers(trained: Any) -> None:
    run, counter, recorder, steps = trained
    per_rollout = 16 * 8 * 4
    assert counter.rollouts == 2
    assert len(steps) == 2 * 16
    assert recorder.steps == [per_rollout, 2 * per_rollout]
    assert {"own/rollouts", "train/value_loss", "validation/f1"} <= recorder.names
    progress = pd.read_csv(run.path / "progress.csv")
    assert progress["own/rollouts"].tolist() == [1, 2]
    assert not list(run.path.glob("events*"))
    assert run.validation == read_result(run.path / "validation.json")
    assert "4 sensors" in repr(run)


def test_the_table_is_recorded_and_needed_again(trained: Any, frame: pd.DataFrame) -> None:
    run = trained[0]
    (name,) = read_json(run.path / "data.json")["source"]
    assert name == "DataFrame passed in Python"
    first = evaluate(run)
    again = evaluate(run.path, table=frame.copy())
    assert again.result == first.result == read_result(run.path / "evaluation.json")
    for call in (evaluate, resume):
        with pytest.raises(RunError, match="DataFrame passed in Python; pass it again with table="):
            call(run.path)
    other = frame.assign(x0=frame["x0"] + 1e-3)
    with pytest.raises(RunError, match="differs from what"):
        evaluate(run.path, table=other)
    from marl_stl_agents.commands.evaluate import main

    assert main([str(run.path)]) != 0


def test_a_team_of_a_frame_decides_on_frames(trained: Any, frame: pd.DataFrame) -> None:
    run: Run = trained[0]
    new = frame[-50:].drop(columns=["attack", "kind"])
    found = run.team().decide(new, keep=("flow_id",))
    assert found["flow_id"].tolist() == list(range(550, 600))
    assert found["entity"].tolist() == new["host"].tolist()
    assert set(found["decision"]) <= {action.name for action in Action}
    other_order = load_team(run).decide(new[new.columns[::-1]])
    pd.testing.assert_frame_equal(other_order, found.drop(columns="flow_id"))
    as_text = new.astype({"x1": str})
    pd.testing.assert_series_equal(run.team().decide(as_text)["decision"], found["decision"])
    with pytest.raises(MissingColumnError):
        run.team().decide(new.drop(columns=["x3", "x4"]))


def test_a_traffic_table(tmp_path: Path) -> None:
    table = table_of()
    env = replace(CONFIG.env, data=DataConfig())
    run = train(replace(CONFIG, env=env, iterations=1, run_dir=tmp_path / "run"), table=table)
    assert read_json(run.path / "data.json")["source"] == {
        "TrafficTable passed in Python": table_digest(table)
    }
    evaluate(run)
    new = frame_of(table).rename(columns={"host": "entity"})
    found = run.team().decide(new)
    assert len(found) == len(table)
    assert found["entity"].tolist() == new["entity"].tolist()


def test_a_digest_is_that_of_the_content() -> None:
    table = table_of()
    assert table_digest(table) == table_digest(replace(table, name="other", notes=("note",)))
    flipped = np.array(table.labels)
    flipped[7] = ~flipped[7]
    features = np.array(table.features)
    features[3, 3] += 1e-3
    others = (
        replace(table, labels=flipped),
        replace(table, features=features),
        replace(table, entities=None),
        replace(table, views={**table.views, "more": (0,)}),
    )
    assert len({table_digest(one) for one in (table, *others)}) == 5


def test_a_callback_may_end_the_training(tmp_path: Path) -> None:
    table = table_of()

    def until(seen: dict[str, Any], _: dict[str, Any]) -> bool:
        return bool(seen["self"].num_timesteps < 700)

    config = replace(CONFIG, env=replace(CONFIG.env, data=DataConfig()), iterations=50)
    run = train(replace(config, run_dir=tmp_path / "run"), table=table, callbacks=until)
    assert run.validation is not None
    assert pd.read_csv(run.path / "progress.csv")["time/total_timesteps"].max() < 1200


def test_what_is_not_to_be_used(frame: pd.DataFrame, tmp_path: Path) -> None:
    config = replace(CONFIG, run_dir=tmp_path / "run")
    with pytest.raises(ConfigError, match="loggers has 'wandb'; use 'csv'"):
        train(config, table=frame, loggers=("wandb",))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="callbacks has 3"):
        train(config, table=frame, callbacks=[3])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="dataset='synthetic' with a table"):
        train(replace(config, env=replace(config.env, data=DataConfig())), table=frame)
    bare = replace(config.env, data=DataConfig(dataset="custom"))
    with pytest.raises(ConfigError, match="label=COLUMN"):
        train(replace(config, env=bare), table=frame)
    with pytest.raises(MissingColumnError, match="host"):
        train(config, table=frame.drop(columns="host"))
    assert not (tmp_path / "run").exists()


def test_names_are_found_when_they_are_asked_for() -> None:
    for name in marl_stl_agents.__all__:
        assert getattr(marl_stl_agents, name).__name__ == name
    assert set(marl_stl_agents.__all__) <= set(dir(marl_stl_agents))
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = marl_stl_agents.trian
    heavy = "import sys, marl_stl_agents; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", heavy], check=False).returncode == 0

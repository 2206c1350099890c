"""Small trainings, healthy and broken on purpose: does the checklist name what was broken?"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import marl_stl_agents.algorithms.ppo
import numpy as np
import pytest
import torch
from marl_stl_agents.algorithms.device.env import DeviceVecEnv
from marl_stl_agents.checkpoints.store import list_checkpoints
from marl_stl_agents.config import PPOConfig, TrainConfig
from marl_stl_agents.console.diagnostics import as_markdown, show_checklist
from marl_stl_agents.diagnostics.checklist import (
    Checked,
    Checklist,
    Fault,
    read_checklist,
    setting_of,
    write_checklist,
)
from marl_stl_agents.training.run import learn
from safetensors.numpy import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from marl_stl_env.config import DataConfig, EnvConfig
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.envs.sb3 import TrafficVecEnv
from marl_stl_env.errors import NotFiniteError, RunError
from tests.conftest import FOUR

CPU = torch.device("cpu")
CONFIG = TrainConfig(
    env=EnvConfig(data=DataConfig(dataset_options=("rows=20000",)), episode_length=200, **FOUR),
    ppo=PPOConfig(batch_size=1024, width=16, n_epochs=2),
    backend="native",
    lanes=24,
    iterations=10,
    progress=False,
    preflight=False,
    stl="off",
)
FIRST_NAN = 5  # the step at which a broken environment breaks


class FlippedReward(TrafficVecEnv):
    def step_wait(self) -> Any:
        observations, rewards, dones, infos = super().step_wait()
        return observations, -rewards, dones, infos


class ShuffledLabels(TrafficVecEnv):
    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.engine._labels = np.random.default_rng(0).permutation(self.engine._labels)


class OneClass(TrafficVecEnv):
    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.engine._labels = np.zeros_like(self.engine._labels)


class Poisoned(TrafficVecEnv):
    """A NaN in one feature of one event in three hundred."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        poison(self.engine)


class PoisonedDevice(DeviceVecEnv):
    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        poison(self.engine)


class LostReward(TrafficVecEnv):
    """A reward that is no number, in the fourth rollout."""

    steps = 0

    def step_wait(self) -> Any:
        observations, rewards, dones, infos = super().step_wait()
        self.steps += 1
        if self.steps == 3 * CONFIG.ppo.n_steps + FIRST_NAN:
            rewards = rewards.copy()
            rewards[7] = np.nan
        return observations, rewards, dones, infos


def poison(engine: Any) -> None:
    features = engine.observations._features
    features = features.clone() if isinstance(features, torch.Tensor) else np.array(features)
    features[::300, 5] = np.nan
    engine.observations._features = features


@pytest.fixture(scope="module")
def prepared() -> PreparedData:
    return prepare(CONFIG.env)


def checked(config: TrainConfig, run: Path, prepared: PreparedData) -> Checked:
    """What the checklist said last of a training."""
    assert learn(config, run, prepared, CPU)
    return read_checklist(run).checked[-1]


def failed(last: Checked) -> set[str]:
    return {check.name for check in last.checks if check.status == "failed"}


@pytest.mark.parametrize("backend", ["native", pytest.param("torch", marks=pytest.mark.long)])
def test_a_healthy_training_has_no_failed_line(
    backend: Any, prepared: PreparedData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = checked(replace(CONFIG, backend=backend), tmp_path, prepared)
    assert (last.iteration, last.diagnosis) == (10, None)
    assert last.timesteps == 10 * 64 * 24 * 4
    status = {check.name: check.status for check in last.checks}
    for name in ("finite", "threat_share", "reward_sign", "features", "learning_rate"):
        assert status[name] == "passed"
    history = read_checklist(tmp_path).history
    assert [one.iteration for one in history] == list(range(1, 11))
    assert history[-1].evaluated is not None
    assert "checklist after iteration 10" in capsys.readouterr().out
    columns = (tmp_path / "progress.csv").read_text().splitlines()[0].split(",")
    assert "train/gradient_norm" in columns
    assert not any(column.startswith("checklist") for column in columns)
    tags = EventAccumulator(str(tmp_path)).Reload().Tags()
    assert {f"checklist/{name}" for name in status if status[name] == "passed"} <= set(
        tags["scalars"]
    )
    assert "checklist/report/text_summary" in tags["tensors"]


@pytest.mark.parametrize(
    ("broken", "name", "told"),
    [
        (FlippedReward, "reward_sign", "-20 on threats"),
        (ShuffledLabels, "features", "AUC"),
        (OneClass, "threat_share", "0.0%"),
    ],
)
def test_a_broken_environment_is_named(
    broken: type[TrafficVecEnv],
    name: str,
    told: str,
    prepared: PreparedData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(marl_stl_agents.algorithms.ppo, "TrafficVecEnv", broken)
    last = checked(replace(CONFIG, iterations=3), tmp_path, prepared)
    assert last.diagnosis == name
    assert failed(last) == {name}
    (line,) = (check for check in last.checks if check.name == name)
    assert told in line.measured


def test_a_learning_rate_that_is_too_large_is_named(prepared: PreparedData, tmp_path: Path) -> None:
    config = replace(CONFIG, ppo=replace(CONFIG.ppo, learning_rate=0.1))
    last = checked(config, tmp_path, prepared)
    assert last.diagnosis == "learning_rate"
    (line,) = (check for check in last.checks if check.name == "learning_rate")
    assert "--learning-rate 1e-02" in (line.remedy or "")
    assert "network is dead" in (line.cause or "")


@pytest.mark.parametrize(
    ("backend", "attribute", "broken"),
    [("native", "TrafficVecEnv", Poisoned), ("torch", "DeviceVecEnv", PoisonedDevice)],
)
def test_a_nan_in_the_features_stops_the_training_and_is_named(
    backend: Any,
    attribute: str,
    broken: type[TrafficVecEnv],
    prepared: PreparedData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    column = prepared.tables["train"].feature_names[5]
    monkeypatch.setattr(marl_stl_agents.algorithms.ppo, attribute, broken)
    with pytest.raises(NotFiniteError, match=f"column '{column}' of the observation of sensor_0"):
        learn(replace(CONFIG, backend=backend), tmp_path, prepared, CPU)
    last = read_checklist(tmp_path).checked[-1]
    assert last.diagnosis == "finite"
    assert last.fault is not None
    assert column in last.checks[0].measured
    assert list_checkpoints(tmp_path) == []


def test_a_nan_in_the_rewards_keeps_the_last_good_checkpoint(
    prepared: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marl_stl_agents.algorithms.ppo, "TrafficVecEnv", LostReward)
    config = replace(CONFIG, evaluate_every=1, iterations=5)
    place = f"reward of sensor_3 in lane 1 at step {FIRST_NAN - 1} of the rollout"
    with pytest.raises(NotFiniteError, match=place):
        learn(config, tmp_path, prepared, CPU)
    kept = list_checkpoints(tmp_path)
    assert [one.timesteps for one in kept] == [n * 64 * 24 * 4 for n in (1, 2, 3)]
    for checkpoint in kept:
        for weights in load_file(checkpoint.path / "policy.safetensors").values():
            assert np.isfinite(weights).all()
    # Fixed, the training goes on from there, and nothing of the fault is left in the record.
    monkeypatch.undo()
    last = checked(config, tmp_path, prepared)
    assert last.diagnosis is None
    assert [one.fault for one in read_checklist(tmp_path).checked] == [None]
    assert [one.iteration for one in read_checklist(tmp_path).history] == list(range(1, 6))


def test_a_nan_in_a_gradient_names_its_layer(
    prepared: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = marl_stl_agents.algorithms.ppo.make_model

    def poisoned(*args: Any) -> Any:
        model = make(*args)
        weights: Any = model.policy.get_parameter("mlp_extractor.value_net.0.weight")
        weights.register_hook(lambda gradient: gradient * torch.nan)
        return model

    monkeypatch.setattr(marl_stl_agents.algorithms.ppo, "make_model", poisoned)
    with pytest.raises(NotFiniteError, match=r"mlp_extractor\.value_net\.0\.weight"):
        learn(CONFIG, tmp_path, prepared, CPU)
    assert list_checkpoints(tmp_path) == []


def test_watching_changes_nothing(
    prepared: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, iterations=2)
    learn(config, tmp_path / "watched", prepared, CPU)
    callback = "marl_stl_agents.training.run.ChecklistCallback"
    for name in ("_on_training_start", "_on_rollout_start", "_on_rollout_end", "_on_training_end"):
        monkeypatch.setattr(f"{callback}.{name}", lambda _: None)
    monkeypatch.setattr(f"{callback}._on_step", lambda _: True)
    learn(config, tmp_path / "unwatched", prepared, CPU)
    watched, unwatched = (
        load_file(list_checkpoints(tmp_path / name)[-1].path / "policy.safetensors")
        for name in ("watched", "unwatched")
    )
    for name, weights in watched.items():
        np.testing.assert_array_equal(weights, unwatched[name])
    assert read_checklist(tmp_path / "unwatched").history == []


def test_a_fault_before_the_first_step_is_forgotten_too() -> None:
    fault = Checked(3, 300, "finite", [], Fault("the first observation", "fix it"))
    content = Checklist(checked=[Checked(1, 100, None, []), fault, Checked(4, 400, None, [])])
    content.forget_after(300)
    assert [one.timesteps for one in content.checked] == [100]


def test_the_file_comes_back_and_a_damaged_one_is_refused(
    prepared: PreparedData, tmp_path: Path
) -> None:
    checked(replace(CONFIG, iterations=2), tmp_path, prepared)
    content = read_checklist(tmp_path)
    write_checklist(tmp_path / "copy", content)
    assert read_checklist(tmp_path / "copy") == content
    content.forget_after(content.history[0].timesteps)
    assert (len(content.history), content.checked) == (1, [])
    (tmp_path / "checklist.json").write_text('{"history": [{}]}')
    with pytest.raises(RunError, match=r"checklist\.json is not a checklist"):
        read_checklist(tmp_path)


def test_what_a_person_sees(
    prepared: PreparedData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    config = replace(CONFIG, iterations=2, ppo=replace(CONFIG.ppo, learning_rate=1.0))
    last = checked(config, tmp_path, prepared)
    capsys.readouterr()  # what the training printed
    show_checklist(2, last.checks)
    said = capsys.readouterr().out
    for text in ("learning_rate", "measured", "--learning-rate 1e-01"):
        assert text in said
    first_row = as_markdown(last.checks).splitlines()[2]
    assert first_row.startswith("| FAILED | learning_rate |")
    healthy = [replace(check, status="passed") for check in last.checks]
    show_checklist(2, healthy)
    assert capsys.readouterr().out.splitlines() == [
        f"checklist after iteration 2: {len(healthy)} of {len(healthy)} hold"
    ]


FULL = TrainConfig(
    backend="native", progress=False, preflight=False, env=EnvConfig(**FOUR), stl="off"
)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_default_training_has_no_failed_line(seed: int, tmp_path: Path) -> None:
    checked(replace(FULL, seed=seed), tmp_path, prepare(FULL.env))
    said = read_checklist(tmp_path).checked
    assert [one.iteration for one in said] == [10, 30, 50, 60]
    assert [failed(one) for one in said] == [set()] * 4
    assert {check.status for check in said[-1].checks} == {"passed"}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("broken", "name"),
    [
        (FlippedReward, "reward_sign"),
        (ShuffledLabels, "features"),
        (OneClass, "threat_share"),
        (None, "learning_rate"),
    ],
)
def test_what_a_broken_default_training_cannot_do_follows_from_its_cause(
    broken: type[TrafficVecEnv] | None,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = replace(FULL, iterations=30)
    if broken is None:
        config = replace(config, ppo=replace(config.ppo, learning_rate=0.1))
    else:
        monkeypatch.setattr(marl_stl_agents.algorithms.ppo, "TrafficVecEnv", broken)
    last = checked(config, tmp_path, prepare(config.env))
    assert last.diagnosis == name
    later = [check for check in last.checks if check.name in {"f1", "beats_constants"}]
    assert [check.cause for check in later] == [f"follows from {name!r}"] * 2


def test_synthetic_outliers_are_expected_among_the_threats() -> None:
    config = replace(
        CONFIG, env=replace(CONFIG.env, data=replace(CONFIG.env.data, synthetic_outliers=0.25))
    )
    prepared = prepare(config.env)
    rate = prepared.tables["train"].threat_rate
    assert setting_of(CONFIG, prepare(CONFIG.env)).threat_rate == rate
    assert setting_of(config, prepared).threat_rate == pytest.approx((rate + 0.25) / 1.25, abs=1e-3)

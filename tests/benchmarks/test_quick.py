"""Every benchmark runs, and its file has the rows it specifications."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from marl_stl_agents.algorithms.device.ppo import DevicePPO
from marl_stl_agents.algorithms.ppo import make_trainer

from benchmarks.common.measure import generated_table, rate
from benchmarks.common.peers import HORIZON, OrdinaryEnv, OrdinaryParallelEnv
from benchmarks.speed import checklist, cuda, cuda_parts, decide, growth, ratios, serve, throughput
from benchmarks.speed.training import __main__ as training
from benchmarks.speed.training.trainer import Stopwatch
from benchmarks.studies import device_learning
from benchmarks.studies.return_normalization import __main__ as return_normalization
from marl_stl_env.config import DataConfig, EnvConfig
from marl_stl_env.engine.engine import Engine
from tests.conftest import FOUR, UNWATCHED, make_table


@pytest.fixture
def own_cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MARL_STL_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def read(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.mark.long
def test_throughput(tmp_path: Path) -> None:
    out = tmp_path / "throughput.json"
    throughput.main(throughput.Settings(quick=True, out=out))
    result = read(out)
    names = [row["what"] for row in result["engine"] + result["adapters"] + result["trainer"]]
    assert {"engine, into a buffer", "TrafficVecEnv", "SB3 PPO on TrafficVecEnv"} <= set(names)
    assert "ordinary Gymnasium env, AsyncVectorEnv" in names
    assert sum(result["trainer_profile"].values()) == pytest.approx(1.0)


def test_decide(tmp_path: Path) -> None:
    out = tmp_path / "decide.json"
    decide.main(decide.Settings(rows=2_000, repeats=1, out=out))
    figures = read(out)["figures"]
    assert [row["file"] for row in figures] == ["CSV", "Parquet"]
    assert all(row["events/s"] > 0 for row in figures)


@pytest.mark.slow
def test_ratios(tmp_path: Path) -> None:
    out = tmp_path / "ratios.json"
    ratios.main(ratios.Settings(quick=True, out=out))
    result = read(out)
    assert [row["lanes"] for row in result["TrafficVecEnv beside its engine"]] == [4, 4]
    assert result["one PettingZoo step, seven sensors"][0]["of the first"] == 1.0
    assert [row["package"] for row in result["import"]] == ["gymnasium", "marl_stl_env"]


@pytest.mark.slow
def test_training(tmp_path: Path, own_cache_dir: Path) -> None:
    env = EnvConfig(data=DataConfig(dataset_options=("rows=1500",)), episode_length=50, **FOUR)
    out = tmp_path / "training.json"
    training.main(training.Settings(iterations=1, env=env, out=out))
    (run,) = read(out)["runs"]
    assert {"preflight", "rollouts", "updates", "final evaluation"} < run["parts"].keys()
    assert sum(run["parts"].values()) == pytest.approx(run["total"], rel=0.1)
    assert run["curve"][-1]["agent_steps"] == 64 * 64 * 4


def test_time_to_a_share_of_the_final_reward() -> None:
    rewards = [0.2, 0.96, 0.9, 0.97, 1.0]  # once reached, it was lost again
    curve = [{"seconds": float(i), "reward": reward} for i, reward in enumerate(rewards)]
    assert training.time_to(curve) == 3.0
    assert training.time_to(curve[-1:]) == 4.0
    assert training.time_to([{"seconds": 7.0, "reward": -2.0}]) == 7.0


@pytest.mark.slow
def test_growth(tmp_path: Path) -> None:
    out, image = tmp_path / "scaling.json", tmp_path / "scaling.png"
    growth.main(growth.Settings(quick=True, out=out, image=image))
    result = read(out)
    assert [entry["sensors"] for entry in result["sensors"]] == [1, 2]
    assert image.read_bytes().startswith(b"\x89PNG")


@pytest.mark.long
def test_cuda_on_the_cpu(tmp_path: Path) -> None:
    out = tmp_path / "cuda.json"
    cuda.main(cuda.Settings(device="cpu", quick=True, out=out))
    result = read(out)
    assert result["device"] == "cpu"
    assert set(result["synchronisation_free"].values()) == {None}  # only CUDA can tell
    assert {"engine", "engine, float16 table", "engine of a whole team"} < {
        row["what"] for row in result["engine"]
    }
    assert result["training"]["whole team, torch"]["agent_steps_per_s"] > 0.0
    assert result["training"]["torch"]["agent_steps_per_s"] > 0.0
    synthetic = result["synthetic"]
    assert synthetic["reward_of_best_constant"] == pytest.approx(1 - 11 * 0.109, abs=1e-3)
    seconds = synthetic["seconds_to_95_percent"]
    assert (seconds is None) == (
        synthetic["reward_per_event"] <= synthetic["reward_of_best_constant"]
    )


def test_the_parts_that_must_not_wait_run_on_the_cpu() -> None:
    settings = cuda.Settings(device="cpu", quick=True)
    config = cuda.train_config("torch", settings)
    table = generated_table(3000)
    model = make_trainer(config, table, torch.device("cpu"))
    assert isinstance(model, DevicePPO)
    model.learn(model.n_steps * model.n_envs)
    before = optimizer_steps(model)
    for part in cuda_parts.parts(model).values():
        part()
    assert model.num_timesteps == 2 * model.n_steps * model.n_envs
    assert optimizer_steps(model) == before + 1


@pytest.mark.slow
def test_device_learning(tmp_path: Path) -> None:
    out, image = tmp_path / "device.json", tmp_path / "device.png"
    device_learning.main(device_learning.Settings(quick=True, out=out, image=image))
    result = read(out)
    assert [len(curve) for curve in result["torch"]["rewards"]] == [3]
    assert result["native"]["rewards"][0][0] == result["torch"]["rewards"][0][0]  # untrained
    assert image.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_both_paths_learn_the_same() -> None:
    """Final scores within the noise of the seeds, and far above those of the untrained teams."""
    result = device_learning.study(device_learning.Settings(seeds=(0, 1, 2, 3), iterations=20))
    native, device = result["native"], result["torch"]
    spread = max(native["final_std"], device["final_std"])
    assert abs(native["final_mean"] - device["final_mean"]) < 2.0 * spread
    for path in (native, device):
        untrained = max(rewards[0] for rewards in path["rewards"])
        assert path["final_mean"] > untrained + 0.5


@pytest.mark.slow
def test_return_normalization(tmp_path: Path) -> None:
    out, image = tmp_path / "returns.json", tmp_path / "returns.png"
    return_normalization.main(return_normalization.Settings(quick=True, out=out, image=image))
    runs = read(out)["runs"]
    assert [(one["mode"], one["discount"]) for one in runs] == [
        (mode, discount) for discount in (0.99, 0.0) for mode in ("running", "batch", "none")
    ]
    curves = {(one["mode"], one["discount"]): one["curves"] for one in runs}
    for (mode, _), one in curves.items():
        assert len(one["value_loss"]) == 2
        assert (one["value_loss"] == one["value_loss_reward_units"]) == (mode == "none")
    assert curves["none", 0.0]["own_event_share"] == pytest.approx([1.0, 1.0])
    assert curves["none", 0.99]["own_event_share"][0] < 0.5
    assert image.read_bytes().startswith(b"\x89PNG")
    again = return_normalization.Settings(results=(out, out))
    assert return_normalization.study(again) == [*runs, *runs]


def optimizer_steps(model: DevicePPO) -> int:
    (steps,) = {int(moments["step"]) for moments in model.policy.optimizer.state.values()}
    return steps


def test_what_does_not_fit_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert growth.grow("rows", growth.Settings(quick=True, memory_gib=1e-6)) == []
    assert "left out" in capsys.readouterr().out


@pytest.mark.parametrize("agents", [1, 3, 4, 7])
def test_the_ordinary_environment_is_the_same_task(agents: int) -> None:
    table = make_table(HORIZON + 500)
    peer = OrdinaryParallelEnv(table, agents)
    seen, _ = peer.reset(seed=1)
    engine = Engine(EnvConfig(agents=agents, views="groups", stl=UNWATCHED), table, 1, 0)
    start = peer._row
    engine.place(np.array([start]), np.array([start + HORIZON]))
    rng = np.random.default_rng(0)
    while peer.agents:
        np.testing.assert_array_equal(engine.observe()[0], np.stack(list(seen.values())))
        actions = rng.integers(0, 4, (1, agents))
        record = engine.step(actions)
        seen, rewards, _, truncated, infos = peer.step(
            dict(zip(peer.possible_agents, actions[0].tolist(), strict=True))
        )
        assert list(rewards.values()) == record.rewards[0].tolist()
        assert infos["sensor_0"]["decision"] == record.decision_votes[0]
        assert set(truncated.values()) == {bool(record.truncated[0])}


def test_the_ordinary_analyst_is_the_same_task() -> None:
    table = make_table(HORIZON + 500)
    peer = OrdinaryEnv(table)
    seen, _ = peer.reset(seed=1)
    start = peer._row
    engine = Engine(EnvConfig(agents=1, views="full"), table, 1, 0)
    engine.place(np.array([start]), np.array([start + HORIZON]))
    for action in np.random.default_rng(0).integers(0, 4, HORIZON).tolist():
        np.testing.assert_array_equal(engine.observe()[0, 0], seen)
        seen, reward, _, over, _ = peer.step(action)
        record = engine.step(np.array([[action]]))
        assert (reward, over) == (record.rewards[0, 0], record.truncated[0])


def test_a_stopwatch_separates_nested_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 4.0, 10.0])  # outer from 0 to 10, inner from 1 to 4
    monkeypatch.setattr("benchmarks.speed.training.trainer.time.perf_counter", lambda: next(clock))

    class Work:
        def inner(self) -> None: ...

        def outer(self) -> None:
            self.inner()

    work, watch = Work(), Stopwatch()
    watch.watch(work, "inner", "inner")
    watch.watch(work, "outer", "outer")
    work.outer()
    assert watch.seconds == {"inner": 3.0, "outer": 7.0}


def test_a_rate_is_the_best_of_the_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two runs of one second each, with one step of 2 s and then two steps of 0.5 s.
    clock = iter([0.0, 0.0, 2.0, 10.0, 10.0, 10.5, 11.0])
    monkeypatch.setattr("benchmarks.common.measure.time.perf_counter", lambda: next(clock))
    assert rate(lambda: None, 8, seconds=1.0, repeats=2) == 16.0


def test_the_generated_table_has_its_views() -> None:
    table = generated_table(50, growth.view_sizes(10))
    assert table.features.shape == (50, 10)
    assert sorted(c for view in table.views.values() for c in view) == list(range(10))


def test_checklist(tmp_path: Path) -> None:
    out = tmp_path / "checklist.json"
    checklist.main(checklist.Settings(quick=True, out=out))
    rows = read(out)["paths"]
    assert [row["path"] for row in rows] == ["native", "supersuit", "torch"]
    assert min(row["plain"] for row in rows) > 0.0


@pytest.mark.slow
def test_serve(tmp_path: Path) -> None:
    out = tmp_path / "serve.json"
    serve.main(serve.Settings(replay_events=400, response_events=100, lines=200, out=out))
    figures = read(out)["figures"]
    assert [(one["team"], one["command"]) for one in figures] == [
        ("replay", "decide"), ("replay", "serve"), ("response", "serve"),
    ]  # fmt: skip
    assert all(one["events/s"] > 0 and one["MB at the end"] > 0 for one in figures)

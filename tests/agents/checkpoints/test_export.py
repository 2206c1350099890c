"""Exported policies say what the policy says."""

import json
import sys
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from marl_stl_agents.algorithms.ppo import make_vec_env
from marl_stl_agents.checkpoints import onnx as onnx_file
from marl_stl_agents.command_line import run_command
from marl_stl_agents.commands.export import ExportConfig, export, load_best, main, some_observations
from marl_stl_agents.config import ConstraintConfig, PPOConfig, TrainConfig
from marl_stl_agents.run_data import describe_data
from marl_stl_agents.run_directory import DATA, new_run, read_config, write_json
from marl_stl_agents.training.run import learn
from sb3_contrib import RecurrentPPO
from stable_baselines3 import PPO

from marl_stl_env.config import DataConfig, EnvConfig, StlConfig
from marl_stl_env.data.prepare import prepare
from marl_stl_env.errors import ExportError, RunError
from tests.conftest import FOUR

CONFIG = TrainConfig(
    env=EnvConfig(data=DataConfig(dataset_options=("rows=5000",)), deliberation=1, **FOUR),
    ppo=PPOConfig(n_steps=8, batch_size=32, width=8),
    backend="native",
    lanes=4,
    iterations=2,
    seed=1,
    progress=False,
    device="cpu",
    stl="off",
)
ANSWERS = ("probabilities", "value")


def short_run(config: TrainConfig, folder: Path) -> Path:
    config = replace(config, run_dir=folder)
    run, prepared = new_run(config), prepare(config.env)
    write_json(run / DATA, describe_data(prepared))
    assert learn(config, run, prepared, torch.device("cpu"))
    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    memory = replace(CONFIG, ppo=replace(CONFIG.ppo, policy="lstm"))
    alone = replace(CONFIG, ppo=replace(CONFIG.ppo, sharing="independent"))
    shielded = replace(
        CONFIG,
        env=EnvConfig(
            data=CONFIG.env.data,
            dynamics="response",
            episode_length=32,
            stl=StlConfig(monitor=True, shield=True),
            agents=4,
            views="groups",
        ),
        ppo=replace(CONFIG.ppo, discount=0.8, credit="entity"),
        constraints=ConstraintConfig(measure_episodes=4),
        stl="lagrangian",
    )
    configs = {
        "mlp": CONFIG,
        "lstm": memory,
        "independent": alone,
        "shielded": shielded,
    }
    return {name: short_run(config, folder / name) for name, config in configs.items()}


def trainer_and_observations(run: Path) -> tuple[Any, Any]:
    config = read_config(run)
    prepared = prepare(config.env)
    observations = some_observations(config, prepared)
    assert len(observations) == 1024
    return load_best(run, config, prepared), observations


@pytest.mark.parametrize("policy", ["mlp", "lstm", "independent", "shielded"])
def test_the_zip_file_is_loaded_by_sb3(runs: dict[str, Path], policy: str, tmp_path: Path) -> None:
    out = export(ExportConfig(runs[policy], "sb3", tmp_path / "policy.zip"))
    model, observations = trainer_and_observations(runs[policy])
    kind = RecurrentPPO if policy == "lstm" else PPO
    loaded: Any = kind.load(out, device="cpu")
    actions, _ = loaded.predict(observations, deterministic=True)
    np.testing.assert_array_equal(actions, model.predict(observations, deterministic=True)[0])
    for name, value in model.policy.state_dict().items():
        torch.testing.assert_close(loaded.policy.state_dict()[name], value, rtol=0, atol=0)
    # With its optimiser, so that it can be trained on.
    moments = loaded.policy.optimizer.state_dict()["state"]
    assert moments[0]["exp_avg"].abs().sum() > 0
    assert loaded.num_timesteps == model.num_timesteps > 0
    loaded.set_env(make_vec_env(read_config(runs[policy])))
    loaded.learn(8 * 16, reset_num_timesteps=False)


def session(path: Path) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    "policy", ["mlp", pytest.param("independent", marks=pytest.mark.long), "shielded"]
)
def test_the_onnx_file_says_the_same(runs: dict[str, Path], policy: str, tmp_path: Path) -> None:
    out = export(ExportConfig(runs[policy], "onnx", tmp_path / "policy.onnx"))
    model, observations = trainer_and_observations(runs[policy])
    probabilities, values = session(out).run(ANSWERS, {"observation": observations[:100]})
    assert probabilities.shape == (100, 4)
    actions, _ = model.predict(observations[:100], deterministic=True)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), actions)
    wanted = model.policy.predict_values(torch.from_numpy(observations[:100])).detach()
    np.testing.assert_allclose(values, wanted[:, 0], atol=1e-5)


def test_the_onnx_file_carries_the_memory(runs: dict[str, Path], tmp_path: Path) -> None:
    """Ten events in a row, against SB3's ``predict``, which keeps the policy's memory itself."""
    out = export(ExportConfig(runs["lstm"], "onnx", tmp_path / "policy.onnx"))
    model, observations = trainer_and_observations(runs["lstm"])
    file = session(out)
    names = [one.name for one in file.get_inputs()]
    assert names == ["observation", "hidden", "cell", "value_hidden", "value_cell"]
    memory = [np.zeros((7, 8), dtype=np.float32)] * 4
    state: Any = None
    for event in range(10):
        seen = observations[event * 7 : event * 7 + 7]
        feed = dict(zip(names, [seen, *memory], strict=True))
        probabilities, _, *memory = file.run(None, feed)
        actions, state = model.predict(seen, state, deterministic=True)
        np.testing.assert_array_equal(probabilities.argmax(axis=1), actions)
    np.testing.assert_allclose(memory[0], state[0][0], atol=1e-5)
    np.testing.assert_allclose(memory[1], state[1][0], atol=1e-5)


@pytest.mark.parametrize("policy", ["mlp", pytest.param("lstm", marks=pytest.mark.long)])
def test_a_file_that_says_something_else_is_not_left(
    runs: dict[str, Path], policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = onnx_file.Outputs if policy == "mlp" else onnx_file.RecurrentOutputs
    right = kind.forward

    @wraps(right)
    def wrong(*inputs: Any) -> tuple[torch.Tensor, ...]:
        probabilities, values, *memory = right(*inputs)
        return (probabilities, values + 1e-3, *memory)

    monkeypatch.setattr(kind, "forward", wrong)
    with pytest.raises(ExportError, match=r"differ by 0\.001 .*--format sb3"):
        export(ExportConfig(runs[policy], "onnx", tmp_path / "policy.onnx"))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_library_is_named(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ExportError, match=r"onnxruntime.*marl-stl-env\[export\]"):
        export(ExportConfig(runs["mlp"], "onnx", tmp_path / "policy.onnx"))
    assert list(tmp_path.iterdir()) == []


def test_other_data_is_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text((runs["mlp"] / "config.json").read_text())
    data = json.loads((runs["mlp"] / "data.json").read_text())
    data["splits"]["train"]["threats"] += 1
    (run / "data.json").write_text(json.dumps(data))
    with pytest.raises(RunError, match="differs from what"):
        export(ExportConfig(run, "sb3", tmp_path / "policy.zip"))


def test_the_command(
    runs: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "policy.zip"
    arguments = [str(runs["mlp"]), "--format", "sb3", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["export", *arguments])
    assert run_command(ExportConfig, main, "Export.") == 0
    assert str(out) in "".join(capsys.readouterr().out.split())
    assert out.is_file()


def test_the_file_is_named_after_its_format(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert [ExportConfig(format=name).file.name for name in ("sb3", "onnx")] == [
        "policy.zip",
        "policy.onnx",
    ]
    for name in ("config.json", "checkpoints/x.zip"):
        with pytest.raises(RunError, match="belongs to the run"):
            export(ExportConfig(runs["mlp"], "sb3", runs["mlp"] / name))

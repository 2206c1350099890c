import pickle
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from marl_stl_agents.checkpoints.policy import load_weights, read_architecture, saved_policy
from marl_stl_agents.checkpoints.store import (
    Checkpoint,
    best_checkpoint,
    list_checkpoints,
    load_trainer,
    save_checkpoint,
)
from marl_stl_agents.checkpoints.trainer_state import TrainerState
from marl_stl_agents.config import PPOConfig, TrainConfig
from marl_stl_agents.policies.architecture import architecture_of
from marl_stl_agents.policies.build import make_blueprint, make_policy
from marl_stl_agents.run_data import check_data, describe_data
from marl_stl_agents.run_directory import DATA, new_run, read_json, write_json
from marl_stl_agents.training.callbacks import RewardCallback
from marl_stl_agents.training.resume import resume
from marl_stl_agents.training.run import learn
from safetensors.numpy import load_file, save_file
from stable_baselines3.common.policies import ActorCriticPolicy

from marl_stl_env.config import DataConfig, EnvConfig
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.spaces import observation_space
from marl_stl_env.errors import RunError
from tests.conftest import FOUR, make_table

SPACE = spaces.Box(-5, 5, (14,), dtype=np.float32)
CPU = torch.device("cpu")
TRAINER = TrainerState({"x": np.arange(3, dtype=np.uint64)}, {"updates": 2})


def policy(seed: int, config: PPOConfig | None = None) -> ActorCriticPolicy:
    torch.manual_seed(seed)
    config = config or PPOConfig(width=8)
    return make_policy(
        TrainConfig(ppo=config, env=EnvConfig(**FOUR), stl="off"), SPACE, make_table(), CPU
    )


def weights(of: ActorCriticPolicy) -> dict[str, Any]:
    return {name: value.clone() for name, value in of.state_dict().items()}


def test_the_best_and_the_newest_are_kept(tmp_path: Path) -> None:
    rewards = [0.1, 0.9, 0.3, 0.2, 0.5, 0.4]
    for step, reward in enumerate(rewards):
        save_checkpoint(tmp_path, policy(step), step, {"reward_per_event": reward}, TRAINER)
    assert [one.timesteps for one in list_checkpoints(tmp_path)] == [1, 3, 4, 5]
    assert best_checkpoint(tmp_path).timesteps == 1


def test_weights_come_back(tmp_path: Path) -> None:
    saved, other = policy(0), policy(1)
    save_checkpoint(tmp_path, saved, 7, {"reward_per_event": 0.0}, TRAINER)
    load_weights(best_checkpoint(tmp_path), other)
    for name, value in weights(saved).items():
        torch.testing.assert_close(weights(other)[name], value, rtol=0, atol=0)


@pytest.mark.parametrize("config", [PPOConfig(width=8), PPOConfig(width=8, bins=0)])
def test_a_saved_policy_needs_no_training_data(tmp_path: Path, config: PPOConfig) -> None:
    saved = policy(0, config)
    save_checkpoint(tmp_path, saved, 7, {"reward_per_event": 0.0}, TRAINER)
    loaded = saved_policy(best_checkpoint(tmp_path), SPACE, CPU)
    assert loaded.state_dict().keys() == saved.state_dict().keys()
    for name, value in loaded.state_dict().items():
        torch.testing.assert_close(saved.state_dict()[name], value, rtol=0, atol=0)


def test_the_trainer_comes_back(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, policy(0), 7, {"reward_per_event": 0.0}, TRAINER)
    state = load_trainer(best_checkpoint(tmp_path))
    assert state.facts == TRAINER.facts
    assert state.arrays["x"].dtype == np.uint64
    np.testing.assert_array_equal(state.arrays["x"], TRAINER.arrays["x"])
    path = best_checkpoint(tmp_path).path / "trainer.safetensors"
    path.write_bytes(b"")
    with pytest.raises(RunError, match="does not hold a trainer"):
        load_trainer(best_checkpoint(tmp_path))
    path.unlink()
    with pytest.raises(RunError, match="does not hold a trainer"):
        load_trainer(best_checkpoint(tmp_path))


def test_other_shapes_are_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, policy(0), 7, {"reward_per_event": 0.0}, TRAINER)
    with pytest.raises(RunError, match="does not hold"):
        load_weights(best_checkpoint(tmp_path), policy(0, PPOConfig(width=9)))


def rewrite(checkpoint: Checkpoint, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what a checkpoint states."""
    path = checkpoint.path / "checkpoint.json"
    stated = read_json(path)
    change(stated)
    write_json(path, stated)


@pytest.mark.parametrize(
    ("task", "config"),
    [
        ({}, PPOConfig(width=8)),
        ({}, PPOConfig(width=8, bins=0, depth=0)),
        ({}, PPOConfig(width=8, policy="lstm", depth=0)),
        ({}, PPOConfig(width=8, sharing="independent")),
        ({"deliberation": 1}, PPOConfig(width=8, sharing="independent", bins=4)),
    ],
)
def test_the_stated_architecture_is_that_of_the_run(
    tmp_path: Path, task: dict[str, Any], config: PPOConfig
) -> None:
    run, table = TrainConfig(env=EnvConfig(**task), ppo=config, stl="off"), make_table()
    space = observation_space(Engine(run.task, table, lanes=1))
    planned = make_blueprint(run, space, table)
    save_checkpoint(tmp_path, planned.build(space, CPU), 7, {"reward_per_event": 0.0}, TRAINER)
    stated = read_architecture(best_checkpoint(tmp_path))
    assert stated == planned.architecture
    assert architecture_of(saved_policy(best_checkpoint(tmp_path), space, CPU)) == stated


def test_a_checkpoint_without_architecture_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, policy(0), 7, {"reward_per_event": 0.0}, TRAINER)
    rewrite(best_checkpoint(tmp_path), lambda stated: stated.pop("architecture"))
    with pytest.raises(RunError, match=r"does not state the architecture.*older version"):
        saved_policy(best_checkpoint(tmp_path), SPACE, CPU)
    with pytest.raises(RunError, match="does not state the architecture"):
        load_weights(best_checkpoint(tmp_path), policy(0))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"hidden_width": 10**9}, "hidden_width"),
        ({"hidden_width": "8"}, "hidden_width"),
        ({"kind": "other"}, "kind"),
        ({"agents": 4}, "contradicts kind='shared'"),
        ({"bins": [3]}, "bins has 1 numbers"),
        ({"unknown": 3}, "unknown"),
        ({"hidden_width": 9}, "not"),
        ({"observation_width": 15, "bins": []}, "observations of 15 columns, not 14"),
    ],
)
def test_a_wrong_architecture_is_refused(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    save_checkpoint(tmp_path, policy(0), 7, {"reward_per_event": 0.0}, TRAINER)
    rewrite(best_checkpoint(tmp_path), lambda stated: stated["architecture"].update(change))
    with pytest.raises(RunError, match=told):
        saved_policy(best_checkpoint(tmp_path), SPACE, CPU)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("columns", 14, "columns outside the observation"),
        ("columns", -1, "columns outside the observation"),
        ("action_net.bias", np.nan, "action_net.bias is not finite"),
        ("action_net.bias", None, "action_net.bias is missing"),
    ],
)
def test_wrong_weights_are_refused(
    tmp_path: Path, name: str, value: float | None, told: str
) -> None:
    save_checkpoint(tmp_path, policy(0), 7, {"reward_per_event": 0.0}, TRAINER)
    path = best_checkpoint(tmp_path).path / "policy.safetensors"
    arrays = load_file(path)
    (full,) = (one for one in arrays if one.endswith(name))
    if value is None:
        del arrays[full]
    else:
        arrays[full].flat[0] = value
    save_file(arrays, path)
    with pytest.raises(RunError, match=told):
        saved_policy(best_checkpoint(tmp_path), SPACE, CPU)


class _Bomb:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("damage", ["empty", "cut", "pickle"])
def test_damaged_weights_are_refused_and_never_unpickled(tmp_path: Path, damage: str) -> None:
    save_checkpoint(tmp_path, policy(0), 7, {"reward_per_event": 0.0}, TRAINER)
    checkpoint = best_checkpoint(tmp_path)
    path, mark = checkpoint.path / "policy.safetensors", tmp_path / "mark"
    content = {
        "empty": b"",
        "cut": path.read_bytes()[:-100],
        "pickle": pickle.dumps(_Bomb(mark)),
    }[damage]
    path.write_bytes(content)
    with pytest.raises(RunError, match="does not hold"):
        load_weights(checkpoint, policy(0))
    assert not mark.exists()


def short_run(folder: Path, iterations: int) -> tuple[TrainConfig, Path, PreparedData]:
    config = TrainConfig(
        env=EnvConfig(data=DataConfig(dataset_options=("rows=4000",)), **FOUR),
        ppo=PPOConfig(n_steps=8, batch_size=32, width=8),
        backend="native",
        lanes=4,
        iterations=iterations,
        evaluate_every=3,
        run_dir=folder,
        progress=False,
        stl="off",
    )
    run, prepared = new_run(config), prepare(config.env)
    write_json(run / DATA, describe_data(prepared))
    return config, run, prepared


@pytest.mark.parametrize(
    "name",
    ["policy.safetensors", "trainer.safetensors", "checkpoint.json", "config.json", "data.json"],
)
def test_no_file_of_a_run_may_be_a_pickle(tmp_path: Path, name: str) -> None:
    config, run, prepared = short_run(tmp_path / "run", iterations=1)
    learn(config, run, prepared, CPU)
    check_data(run, prepared)
    (path,) = run.rglob(name)
    mark = tmp_path / "mark"
    path.write_bytes(pickle.dumps(_Bomb(mark)))
    with pytest.raises(RunError, match=name):
        resume(run)
    assert not mark.exists()
    pickle.loads(path.read_bytes())
    assert mark.exists()  # the bomb is one


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{}",
        '{"timesteps": 7, "validation": {}, "trainer": {}}',
        '{"timesteps": "x", "validation": {"reward_per_event": 0}, "trainer": {}}',
        '{"timesteps": 7, "validation": {"reward_per_event": NaN}, "trainer": {}}',
        '{"timesteps": 7, "validation": 3, "trainer": {}}',
    ],
)
def test_damaged_facts_are_refused(tmp_path: Path, content: str) -> None:
    save_checkpoint(tmp_path, policy(0), 7, {"reward_per_event": 0.0}, TRAINER)
    (best_checkpoint(tmp_path).path / "checkpoint.json").write_text(content)
    with pytest.raises(RunError, match=r"does not describe a checkpoint|NaN"):
        best_checkpoint(tmp_path)


def test_nothing_here_can_unpickle() -> None:
    root = Path(__file__).parents[3]
    paths = [
        path for folder in ("agents", "marl_stl_env") for path in (root / folder).rglob("*.py")
    ]
    assert len(paths) > 50
    # The preflight's process reads what the process that began it writes into its pipe, no file.
    paths.remove(root / "agents" / "marl_stl_agents" / "diagnostics" / "background.py")
    for path in [*paths, root / "train.py", root / "evaluate.py"]:
        code = path.read_text()
        for word in ("import pickle", "cloudpickle", "joblib", "torch.load", "allow_pickle=True"):
            assert word not in code, f"{path} can unpickle"
        assert "PPO.load(" not in code or path.name == "export.py"  # in its docstrings


def checkpoints_at(run: Path) -> list[int]:
    """The iterations after which the checkpoints were made."""
    return [one.timesteps // (8 * 4 * 4) for one in list_checkpoints(run)]


def test_a_checkpoint_every_few_iterations_and_at_the_end(tmp_path: Path) -> None:
    config, run, prepared = short_run(tmp_path / "run", iterations=7)
    assert learn(config, run, prepared, CPU)
    assert checkpoints_at(run) == [3, 6, 7]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_at_once_and_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    config, run, prepared = short_run(tmp_path / "run", iterations=7)
    handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    steps: list[int] = []

    def count(callback: RewardCallback) -> bool:
        steps.append(callback.num_timesteps)
        if len(steps) == 12:  # in the second iteration
            signal.raise_signal(number)
        return True

    monkeypatch.setattr(RewardCallback, "_on_step", count)
    assert not learn(config, run, prepared, CPU)
    assert checkpoints_at(run) == [2]
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert learn(config, run, prepared, CPU)
    assert checkpoints_at(run) == [2, 3, 6, 7]


def test_a_run_without_checkpoints_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no checkpoint"):
        best_checkpoint(tmp_path)

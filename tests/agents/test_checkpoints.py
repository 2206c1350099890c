import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy

from agents.checkpoints import (
    best_checkpoint,
    list_checkpoints,
    load_trainer,
    load_weights,
    save_checkpoint,
)
from agents.config import PPOConfig
from agents.ppo import bin_edges, make_policy, saved_policy
from agents.trainer_state import TrainerState
from marl_stl_env.errors import RunError
from tests.conftest import make_table

SPACE = spaces.Box(-5, 5, (14,), dtype=np.float32)
CPU = torch.device("cpu")
TRAINER = TrainerState({"x": np.arange(3, dtype=np.uint64)}, {"updates": 2})


def policy(seed: int, config: PPOConfig | None = None) -> ActorCriticPolicy:
    torch.manual_seed(seed)
    config = config or PPOConfig(width=8)
    return make_policy(config, SPACE, bin_edges(config, SPACE, make_table().features), CPU)


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
    load_weights(best_checkpoint(tmp_path), other, CPU)
    for name, value in weights(saved).items():
        torch.testing.assert_close(weights(other)[name], value, rtol=0, atol=0)


@pytest.mark.parametrize("config", [PPOConfig(width=8), PPOConfig(width=8, bins=0)])
def test_a_saved_policy_needs_no_training_data(tmp_path: Path, config: PPOConfig) -> None:
    saved = policy(0, config)
    save_checkpoint(tmp_path, saved, 7, {"reward_per_event": 0.0}, TRAINER)
    loaded = saved_policy(config, SPACE, best_checkpoint(tmp_path), CPU)
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
        load_weights(best_checkpoint(tmp_path), policy(0, PPOConfig(width=9)), CPU)


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
        load_weights(checkpoint, policy(0), CPU)
    assert not mark.exists()


def test_a_run_without_checkpoints_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no checkpoint"):
        best_checkpoint(tmp_path)

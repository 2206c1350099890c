import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy

from agents.checkpoints import best_checkpoint, list_checkpoints, load_weights, save_checkpoint
from agents.config import PPOConfig
from agents.ppo import make_policy
from marl_stl_env.errors import RunError
from tests.conftest import make_table

SPACE = spaces.Box(-5, 5, (14,), dtype=np.float32)
CPU = torch.device("cpu")


def policy(seed: int, config: PPOConfig | None = None) -> ActorCriticPolicy:
    torch.manual_seed(seed)
    return make_policy(config or PPOConfig(width=8), SPACE, make_table().features, CPU)


def weights(of: ActorCriticPolicy) -> dict[str, Any]:
    return {name: value.clone() for name, value in of.state_dict().items()}


def test_the_best_and_the_newest_are_kept(tmp_path: Path) -> None:
    rewards = [0.1, 0.9, 0.3, 0.2, 0.5, 0.4]
    for step, reward in enumerate(rewards):
        save_checkpoint(tmp_path, policy(step), step, {"reward_per_event": reward})
    assert [one.timesteps for one in list_checkpoints(tmp_path)] == [1, 3, 4, 5]
    assert best_checkpoint(tmp_path).timesteps == 1


def test_weights_come_back(tmp_path: Path) -> None:
    saved, other = policy(0), policy(1)
    save_checkpoint(tmp_path, saved, 7, {"reward_per_event": 0.0})
    load_weights(best_checkpoint(tmp_path), other, CPU)
    for name, value in weights(saved).items():
        torch.testing.assert_close(weights(other)[name], value, rtol=0, atol=0)


def test_other_shapes_are_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, policy(0), 7, {"reward_per_event": 0.0})
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
    save_checkpoint(tmp_path, policy(0), 7, {"reward_per_event": 0.0})
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

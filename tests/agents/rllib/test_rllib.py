"""The parts of the RLlib backend and of the sweep that need no Ray."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from marl_stl_agents.commands.options import TrainCommand
from marl_stl_agents.commands.sweep import Range, ranked, read_space, sweep
from marl_stl_agents.config import ClusterConfig, PPOConfig, TrainConfig
from marl_stl_agents.rllib.algorithm import reward_scale
from marl_stl_agents.rllib.cluster import cluster
from marl_stl_agents.rllib.env import TeamVectorEnv

from marl_stl_env.config import EnvConfig, FaultConfig, RewardConfig
from marl_stl_env.envs.sb3 import TrafficVecEnv
from marl_stl_env.errors import ClusterError, ConfigError, MissingLibraryError, UnknownNameError
from tests.conftest import FOUR

CONFIG = EnvConfig(episode_length=40, **FOUR)


def test_runners_replay_the_lanes_of_the_native_backend() -> None:
    """Runner w has its own part of the lanes: none is replayed twice."""
    seed, lanes, agents = 5, 3, CONFIG.agents
    whole = TrafficVecEnv(CONFIG, 2 * lanes, seed)
    parts = [TeamVectorEnv(CONFIG, lanes, seed, reward_scale=10.0) for _ in range(2)]
    expected = whole.reset()
    observed = [part.reset(seed=seed + 1 + number)[0] for number, part in enumerate(parts)]
    actions = np.random.default_rng(0).integers(0, 4, (40, 2 * lanes * agents))
    for step, row in enumerate(actions):
        np.testing.assert_array_equal(np.concatenate(observed), expected)
        results = [part.step(half) for part, half in zip(parts, np.split(row, 2), strict=True)]
        observed = [result[0] for result in results]
        expected, rewards, dones, infos = whole.step(row)
        np.testing.assert_allclose(10 * np.concatenate([r[1] for r in results]), rewards, rtol=1e-6)
        assert not any(result[2].any() for result in results)
        np.testing.assert_array_equal(np.concatenate([r[3] for r in results]), dones)
        assert dones.all() == (step == 39)
    final = np.stack([info["terminal_observation"] for info in infos])
    np.testing.assert_array_equal(np.concatenate(observed), final)
    begun = [part.step(half)[0] for part, half in zip(parts, np.split(row, 2), strict=True)]
    np.testing.assert_array_equal(np.concatenate(begun), expected)


def test_rewards_are_scaled_by_the_largest() -> None:
    assert reward_scale(RewardConfig()) == 10.0
    assert reward_scale(RewardConfig(false_positive=-25.0)) == 25.0


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"lanes": 64, "cluster": ClusterConfig(runners=3)}, "lanes=64 .* runners=3"),
        ({"ppo": PPOConfig(policy="lstm")}, "policy='lstm'"),
        ({"ppo": PPOConfig(sharing="independent")}, "sharing='independent'"),
        ({"env": EnvConfig(faults=FaultConfig(faulty=1), **FOUR)}, "faulty=1"),
        ({"env": EnvConfig(deliberation=1, **FOUR)}, "deliberation=1"),
    ],
)
def test_what_the_cluster_cannot_train_is_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        TrainConfig(backend="rllib", **settings)
    TrainConfig(backend="native", **settings)


def test_without_ray_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(MissingLibraryError, match=r"pip install 'marl-stl-env\[rllib\]'"),
        cluster(TrainConfig(backend="rllib")),
    ):
        pass


def test_an_address_without_a_cluster_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**settings: Any) -> None:
        raise ConnectionError(f"nobody at {settings['address']}")

    ray = SimpleNamespace(is_initialized=lambda: False, init=refuse)
    monkeypatch.setitem(sys.modules, "ray", ray)
    config = TrainConfig(backend="rllib", cluster=ClusterConfig(address="ray://head:10001"))
    with pytest.raises(ClusterError, match=r"ray://head:10001.*ray start --head"), cluster(config):
        pass


def write(folder: Path, content: Any) -> Path:
    path = folder / "space.json"
    path.write_text(json.dumps(content))
    return path


def test_a_space_is_read(tmp_path: Path) -> None:
    rate = {"low": 1e-3, "high": 1e-2, "log": True}
    space = read_space(write(tmp_path, {"trials": 3, "ppo": {"learning_rate": rate, "width": [8]}}))
    assert (space.trials, space.seed) == (3, 0)
    assert space.ppo == {"learning_rate": Range(low=1e-3, high=1e-2, log=True), "width": [8]}


@pytest.mark.parametrize(
    ("content", "error", "problem"),
    [
        ({"ppo": {}}, ConfigError, "trials"),
        ({"trials": 0, "ppo": {}}, ConfigError, "trials"),
        ({"trials": 1, "ppo": {"width": {"low": 1}}}, ConfigError, "high"),
        ({"trials": 1, "ppo": {"breadth": [1]}}, UnknownNameError, "breadth.*known: .*width"),
    ],
)
def test_a_malformed_space_is_refused(
    tmp_path: Path, content: Any, error: type[Exception], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        read_space(write(tmp_path, content))


def test_a_sweep_needs_its_folder_and_a_backend_in_one_process(tmp_path: Path) -> None:
    path = write(tmp_path, {"trials": 1, "ppo": {}})
    for config in (TrainConfig(), TrainConfig(backend="rllib", run_dir=tmp_path)):
        with pytest.raises(ConfigError, match="--run-dir"):
            sweep(config, path)


def test_trials_of_equal_reward_are_ranked_by_name() -> None:
    rewards = {"a": 1.0, "b": 2.0, "c": 1.0, "d": 1.0}
    for names in ("abcd", "dcba", "cadb"):
        trials = [{"run": name, "reward_per_event": rewards[name]} for name in names]
        assert [trial["run"] for trial in ranked(trials)] == ["b", "a", "c", "d"]


def test_a_sweep_is_not_a_resumption(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--resume"):
        TrainCommand(sweep=tmp_path, resume=tmp_path)
    command = TrainCommand(sweep=tmp_path, lanes=8)
    assert command.settings() == replace(TrainConfig(), lanes=8)

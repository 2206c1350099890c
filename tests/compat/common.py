"""The snippets of docs/guide/libraries.md, and what every library must hand on unharmed."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from marl_stl_env.config import EnvConfig
from marl_stl_env.envs.parallel import TrafficParallelEnv
from marl_stl_env.types import AnyArray

DOCS = Path(__file__).parents[2] / "docs" / "guide" / "libraries.md"
#: The environment of every snippet.
CONFIG = EnvConfig(episode_length=100)
#: Warnings in a library's own code are not ours to fix.
COMPAT = [pytest.mark.compat, pytest.mark.filterwarnings("default")]


def snippets() -> dict[str, str]:
    """The first Python block of every section, by the section's title."""
    found = {}
    for section in re.split(r"^## ", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        block = re.search(r"```python\n(.*?)```", section, re.DOTALL)
        if block:
            found[section.split("\n", 1)[0]] = block[1]
    return found


def run_snippet(title: str, module: str, extra: str) -> dict[str, Any]:
    """Run a section's snippet where its library is installed, and return its names."""
    pytest.importorskip(module, reason=f"{module} is not here: pip install -e '.[{extra}]'")
    script = ModuleType("snippet")
    sys.modules["snippet"] = script  # so that what the snippet defines can be pickled
    exec(compile(snippets()[title], f"{DOCS.name}: {title}", "exec"), vars(script))
    return vars(script)


@dataclass(frozen=True)
class Episode:
    """One episode of the parallel environment under random actions.

    Attributes:
        seed: What it was reset with.
        actions: (steps, agents) int64
        observations: (steps + 1, agents, width) float32
        states: (steps + 1, features) float32
        rewards: (steps, agents) float64
    """

    seed: int
    actions: AnyArray
    observations: AnyArray
    states: AnyArray
    rewards: AnyArray

    def __len__(self) -> int:
        return len(self.actions)

    def named(self, step: int) -> dict[str, int]:
        """The actions of a step by the sensors' names."""
        return {f"sensor_{i}": int(action) for i, action in enumerate(self.actions[step])}


def play(config: EnvConfig = CONFIG, seed: int = 7) -> Episode:
    """Play one whole episode, as PettingZoo does."""
    env = TrafficParallelEnv(config)
    actions = np.random.default_rng(seed).integers(0, 4, (config.episode_length, config.agents))
    observations, states, rewards = [env.reset(seed=seed)[0]], [env.state()], []
    for row in actions:
        observed, earned, _, truncated, _ = env.step(dict(zip(env.agents, row, strict=True)))
        observations.append(observed)
        states.append(env.state())
        rewards.append(list(earned.values()))
    assert all(truncated.values())
    return Episode(
        seed,
        actions,
        np.stack([np.stack(list(each.values())) for each in observations]),
        np.stack(states),
        np.array(rewards),
    )


def check_vec_env(venv: Any) -> None:
    """Lane 0 of a Stable-Baselines3 ``VecEnv`` of CONFIG replays the episode of its seed."""
    episode, lanes = play(), venv.num_envs // CONFIG.agents
    venv.seed(episode.seed)
    observed = venv.reset()
    for step in range(len(episode)):
        np.testing.assert_array_equal(observed[: CONFIG.agents], episode.observations[step])
        observed, rewards, dones, infos = venv.step(np.tile(episode.actions[step], lanes))
        np.testing.assert_allclose(rewards[: CONFIG.agents], episode.rewards[step])
        assert dones.tolist() == [step == len(episode) - 1] * venv.num_envs
    for sensor, info in enumerate(infos[: CONFIG.agents]):
        assert info["TimeLimit.truncated"] is True
        np.testing.assert_array_equal(
            info["terminal_observation"], episode.observations[-1, sensor]
        )


def check_torchrl(env: Any) -> None:
    """TorchRL's view of CONFIG replays the episode of its seed."""
    import torch

    assert env.group_map == {"sensor": [f"sensor_{i}" for i in range(CONFIG.agents)]}
    episode = play()
    seen = env.reset(seed=episode.seed)
    for step in range(len(episode) + 1):
        observed = seen["sensor", "observation"]
        np.testing.assert_array_equal(observed, episode.observations[step])
        np.testing.assert_array_equal(seen["state"], episode.states[step])
        if step == len(episode):
            break
        seen["sensor", "action"] = torch.from_numpy(episode.actions[step])
        seen = env.step(seen)["next"]
        rewards = seen["sensor", "reward"][:, 0]
        np.testing.assert_allclose(rewards, episode.rewards[step])
        assert not seen["terminated"].any()
        assert bool(seen["truncated"]) == (step == len(episode) - 1)

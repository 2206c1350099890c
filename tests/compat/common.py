"""The snippets of docs/guide/libraries.md, and what every library must hand on unharmed."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from marl_stl_env.config import EnvConfig, StlConfig
from marl_stl_env.envs.parallel import TrafficParallelEnv
from marl_stl_env.types import AnyArray

DOCS = Path(__file__).parents[2] / "docs" / "guide" / "libraries.md"
#: The environment of every snippet.
CONFIG = EnvConfig(episode_length=100)
#: One with masks and costs: two specifications are enforced, two are violated at some step.
SHIELDED = EnvConfig(
    episode_length=100,
    dynamics="response",
    stl=StlConfig(
        shield=True,
        specs=(
            "two alerts=G (alerts_5 <= 2)",
            "no flapping=G (requarantined_benign_20 <= 0.5)",
            "detects=G (misses_9 <= 1)",
            "quiet=G (false_alarms_9 <= 4)",
        ),
    ),
)
#: The keys of its costs.
COSTS = ("cost_two_alerts", "cost_no_flapping", "cost_detects", "cost_quiet", "cost_sum")
#: Warnings in a library's own code are not ours to fix.
COMPAT = [pytest.mark.compat, pytest.mark.filterwarnings("default")]


def snippets() -> dict[str, str]:
    """The first Python block of every section and subsection, by its title."""
    found = {}
    for section in re.split(r"^###? ", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        block = re.search(r"```python\n(.*?)```", section, re.DOTALL)
        if block:
            found[section.split("\n", 1)[0]] = block[1]
    return found


def run_snippet(
    title: str, module: str, extra: str, changes: dict[str, str] | None = None
) -> dict[str, Any]:
    """Run a section's snippet, with some texts replaced, and return its names."""
    pytest.importorskip(module, reason=f"{module} is not here: pip install -e '.[{extra}]'")
    script = ModuleType("snippet")
    sys.modules["snippet"] = script  # so that what the snippet defines can be pickled
    code = snippets()[title]
    for old, new in (changes or {}).items():
        assert code.count(old) == 1
        code = code.replace(old, new)
    exec(compile(code, f"{DOCS.name}: {title}", "exec"), vars(script))
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
        masks: What a shield allows every sensor; without one everything.  # (steps + 1, 4) int8
        costs: Of every step by their keys; none in CONFIG.  # (steps,) float64 each
    """

    seed: int
    actions: AnyArray
    observations: AnyArray
    states: AnyArray
    rewards: AnyArray
    masks: AnyArray
    costs: dict[str, AnyArray]

    def __len__(self) -> int:
        return len(self.actions)

    def named(self, step: int) -> dict[str, int]:
        """The actions of a step by the sensors' names."""
        return {f"sensor_{i}": int(action) for i, action in enumerate(self.actions[step])}


def play(config: EnvConfig = CONFIG, seed: int = 7) -> Episode:
    """Play one whole episode, as PettingZoo does; with a shield the sensors agree."""
    env, shielded = TrafficParallelEnv(config), config.stl.shield
    size = (config.episode_length, 1 if shielded else config.agents)
    actions = np.random.default_rng(seed).integers(0, 4, size).repeat(config.agents // size[1], 1)
    observed, infos = env.reset(seed=seed)
    observations, states, rewards, told = [observed], [env.state()], [], [infos["sensor_0"]]
    for row in actions:
        observed, earned, _, truncated, infos = env.step(dict(zip(env.agents, row, strict=True)))
        observations.append(observed)
        states.append(env.state())
        rewards.append(list(earned.values()))
        told.append(infos["sensor_0"])
    assert all(truncated.values())
    masks = np.stack([info.get("action_mask", np.ones(4, np.int8)) for info in told])
    costs = {name: np.array([info[name] for info in told[1:]]) for name in COSTS if shielded}
    assert not shielded or (1 < costs["cost_sum"].sum() < 4 and not masks.all())
    return Episode(
        seed,
        actions,
        np.stack([np.stack(list(each.values())) for each in observations]),
        np.stack(states),
        np.array(rewards),
        masks,
        costs,
    )


def check_vec_env(venv: Any, config: EnvConfig = CONFIG) -> None:
    """Lane 0 of a Stable-Baselines3 ``VecEnv`` of this configuration replays its seed's episode."""
    episode, lanes = play(config), venv.num_envs // config.agents
    venv.seed(episode.seed)
    observed = venv.reset()
    for step in range(len(episode)):
        np.testing.assert_array_equal(observed[: config.agents], episode.observations[step])
        masks = np.stack(venv.env_method("action_masks", indices=range(config.agents)))
        np.testing.assert_array_equal(masks, episode.masks[[step] * config.agents])
        observed, rewards, dones, infos = venv.step(np.tile(episode.actions[step], lanes))
        np.testing.assert_allclose(rewards[: config.agents], episode.rewards[step])
        assert dones.tolist() == [step == len(episode) - 1] * venv.num_envs
        for info in infos[: config.agents]:
            assert ("action_mask" in info) == config.stl.shield
            for name, costs in episode.costs.items():
                assert info.get(name, 0.0) == costs[step]
    for sensor, info in enumerate(infos[: config.agents]):
        assert info["TimeLimit.truncated"] is True
        np.testing.assert_array_equal(
            info["terminal_observation"], episode.observations[-1, sensor]
        )


def check_torchrl(env: Any, config: EnvConfig = CONFIG) -> None:
    """TorchRL's view of this configuration replays the episode of its seed."""
    import torch

    assert env.group_map == {"sensor": [f"sensor_{i}" for i in range(config.agents)]}
    episode = play(config)
    seen = env.reset(seed=episode.seed)
    for step in range(len(episode) + 1):
        observed = seen["sensor", "observation"]
        np.testing.assert_array_equal(observed, episode.observations[step])
        np.testing.assert_array_equal(seen["state"], episode.states[step])
        assert (("sensor", "action_mask") in seen.keys(True)) == config.stl.shield
        if config.stl.shield:
            masks = seen["sensor", "action_mask"]
            np.testing.assert_array_equal(masks, episode.masks[[step] * config.agents])
        if step == len(episode):
            break
        seen["sensor", "action"] = torch.from_numpy(episode.actions[step])
        seen = env.step(seen)["next"]
        rewards = seen["sensor", "reward"][:, 0]
        np.testing.assert_allclose(rewards, episode.rewards[step])
        for name, costs in episode.costs.items():
            assert seen["sensor", "info", name].tolist() == [costs[step]] * config.agents
        assert not seen["terminated"].any()
        assert bool(seen["truncated"]) == (step == len(episode) - 1)

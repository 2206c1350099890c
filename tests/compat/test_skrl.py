from typing import Any

import numpy as np
import torch

from marl_stl_env.config import EnvConfig
from tests.compat.common import COMPAT, CONFIG, SHIELDED, play, run_snippet

pytestmark = COMPAT


def test_skrl() -> None:
    names = run_snippet("skrl", "skrl", "skrl")
    agent = names["runner"].agent
    optimizer = agent.optimizers["sensor_0"]
    assert {int(state["step"]) for state in optimizer.state.values()} == {2 * 8 * 2}
    for config in (CONFIG, SHIELDED):
        names["set_seed"](play(config).seed)
        env = names["wrap_env"](names["mse"].parallel_env(config), wrapper="pettingzoo")
        check_skrl(env, config)


def check_skrl(env: Any, config: EnvConfig) -> None:
    """skrl's view of this configuration, seeded already, replays the episode of its seed."""
    episode = play(config)
    observed, infos = env.reset()
    for step in range(len(episode)):
        stacked = torch.cat([observed[sensor] for sensor in env.possible_agents])
        np.testing.assert_array_equal(stacked, episode.observations[step])
        np.testing.assert_array_equal(env.state()["sensor_1"][0], episode.states[step])
        if config.stl.shield:
            np.testing.assert_array_equal(infos["sensor_1"]["action_mask"], episode.masks[step])
            np.testing.assert_array_equal(observed["sensor_1"][0, -4:], episode.masks[step])
        actions = {name: torch.tensor([[a]]) for name, a in episode.named(step).items()}
        observed, rewards, terminated, truncated, infos = env.step(actions)
        earned = torch.cat(list(rewards.values()))[:, 0]
        np.testing.assert_allclose(earned, episode.rewards[step])
        for name, costs in episode.costs.items():
            assert infos["sensor_1"][name] == costs[step]
        assert not any(terminated.values())
        assert all(truncated.values()) == (step == len(episode) - 1)
    stacked = torch.cat([observed[sensor] for sensor in env.possible_agents])
    np.testing.assert_array_equal(stacked, episode.observations[-1])

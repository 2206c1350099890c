from typing import Any

import numpy as np

from marl_stl_env.config import EnvConfig
from tests.compat.common import COMPAT, CONFIG, SHIELDED, play, run_snippet

pytestmark = COMPAT


def test_rllib() -> None:
    names = run_snippet("RLlib", "ray.rllib", "rllib")
    try:
        result = names["result"]
        assert result["num_env_steps_sampled_lifetime"] >= 400
        assert np.isfinite(result["learners"]["team"]["total_loss"])
        for config in (CONFIG, SHIELDED):
            check_rllib(names["ParallelPettingZooEnv"](names["mse"].parallel_env(config)), config)
    finally:
        names["algorithm"].stop()
        names["ray"].shutdown()


def check_rllib(env: Any, config: EnvConfig) -> None:
    """RLlib's view of this configuration replays the episode of its seed."""
    episode = play(config)
    observed, infos = env.reset(seed=episode.seed)
    for step in range(len(episode)):
        np.testing.assert_array_equal(list(observed.values()), episode.observations[step])
        if config.stl.shield:
            np.testing.assert_array_equal(infos["sensor_1"]["action_mask"], episode.masks[step])
            np.testing.assert_array_equal(observed["sensor_1"][-4:], episode.masks[step])
        observed, rewards, terminated, truncated, infos = env.step(episode.named(step))
        np.testing.assert_allclose(list(rewards.values()), episode.rewards[step])
        for name, costs in episode.costs.items():
            assert infos["sensor_1"][name] == costs[step]
        assert not any(terminated.values())
        assert set(truncated.values()) == {step == len(episode) - 1}
        assert truncated.keys() == {*env.possible_agents, "__all__"}
    np.testing.assert_array_equal(list(observed.values()), episode.observations[-1])

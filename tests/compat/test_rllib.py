from typing import Any

import numpy as np

from tests.compat.common import COMPAT, CONFIG, play, run_snippet

pytestmark = COMPAT


def test_rllib() -> None:
    names = run_snippet("RLlib", "ray.rllib", "rllib")
    try:
        result = names["result"]
        assert result["num_env_steps_sampled_lifetime"] >= 400
        assert np.isfinite(result["learners"]["team"]["total_loss"])
        check_rllib(names["ParallelPettingZooEnv"](names["mse"].parallel_env(CONFIG)))
    finally:
        names["algorithm"].stop()
        names["ray"].shutdown()


def check_rllib(env: Any) -> None:
    """RLlib's view of CONFIG replays the episode of its seed."""
    episode = play()
    observed, _ = env.reset(seed=episode.seed)
    for step in range(len(episode)):
        np.testing.assert_array_equal(list(observed.values()), episode.observations[step])
        observed, rewards, terminated, truncated, _ = env.step(episode.named(step))
        np.testing.assert_allclose(list(rewards.values()), episode.rewards[step])
        assert not any(terminated.values())
        assert set(truncated.values()) == {step == len(episode) - 1}
        assert truncated.keys() == {*env.possible_agents, "__all__"}
    np.testing.assert_array_equal(list(observed.values()), episode.observations[-1])

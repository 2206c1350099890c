import numpy as np

from tests.compat.common import COMPAT, play, run_snippet

pytestmark = COMPAT


def test_agilerl() -> None:
    names = run_snippet("AgileRL", "agilerl", "agilerl")
    (agent,) = names["population"]
    assert np.sum(agent.steps) >= 400

    episode = play()
    env = names["AsyncPettingZooVecEnv"]([names["make"], names["make"]])
    try:
        observed, _ = env.reset(seed=episode.seed - 1)  # environment i gets this plus i
        for step in range(len(episode)):
            stacked = np.stack([observed[sensor][1] for sensor in env.agents])
            np.testing.assert_array_equal(stacked, episode.observations[step])
            actions = {name: np.array([action] * 2) for name, action in episode.named(step).items()}
            observed, rewards, terminated, truncated, _ = env.step(actions)
            earned = [rewards[sensor][1] for sensor in env.agents]
            np.testing.assert_allclose(earned, episode.rewards[step])
            assert not any(terminated[sensor].any() for sensor in env.agents)
            over = step == len(episode) - 1
            assert all(truncated[sensor].all() == over for sensor in env.agents)
    finally:
        env.close()

import numpy as np
import torch

from tests.compat.common import COMPAT, CONFIG, play, run_snippet

pytestmark = COMPAT


def test_skrl() -> None:
    names = run_snippet("skrl", "skrl", "skrl")
    agent = names["runner"].agent
    optimizer = agent.optimizers["sensor_0"]
    assert {int(state["step"]) for state in optimizer.state.values()} == {2 * 8 * 2}

    episode = play()
    names["set_seed"](episode.seed)
    env = names["wrap_env"](names["mse"].parallel_env(CONFIG), wrapper="pettingzoo")
    observed, _ = env.reset()
    for step in range(len(episode)):
        stacked = torch.cat([observed[sensor] for sensor in env.possible_agents])
        np.testing.assert_array_equal(stacked, episode.observations[step])
        np.testing.assert_array_equal(env.state()["sensor_1"][0], episode.states[step])
        actions = {name: torch.tensor([[a]]) for name, a in episode.named(step).items()}
        observed, rewards, terminated, truncated, _ = env.step(actions)
        earned = torch.cat(list(rewards.values()))[:, 0]
        np.testing.assert_allclose(earned, episode.rewards[step])
        assert not any(terminated.values())
        assert all(truncated.values()) == (step == len(episode) - 1)
    stacked = torch.cat([observed[sensor] for sensor in env.possible_agents])
    np.testing.assert_array_equal(stacked, episode.observations[-1])

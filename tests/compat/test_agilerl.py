from typing import Any

import numpy as np

from marl_stl_env.config import EnvConfig
from tests.compat.common import COMPAT, CONFIG, SHIELDED, play, run_snippet

pytestmark = COMPAT


def test_agilerl() -> None:
    names = run_snippet("AgileRL", "agilerl", "agilerl")
    (agent,) = names["population"]
    assert np.sum(agent.steps) >= 400
    parallel_env = names["mse"].parallel_env
    env = names["AsyncPettingZooVecEnv"]([lambda: parallel_env(CONFIG)] * 2)
    try:
        check_agilerl(env, CONFIG)
    finally:
        env.close()


def test_with_a_shield() -> None:
    names = run_snippet("AgileRL with a shield", "agilerl", "agilerl")
    (agent,) = names["population"]
    assert np.sum(agent.steps) >= 400
    parallel_env = names["mse"].parallel_env
    env = names["AsyncPettingZooVecEnv"]([lambda: parallel_env(SHIELDED)] * 2)
    try:
        check_agilerl(env, SHIELDED)
        check_masked(agent, env)
        from agilerl import algorithms

        for name in ("MADDPG", "MATD3"):
            sensors = env.agents
            spaces = (env.single_observation_space, env.single_action_space)
            of_all = [[space(sensor) for sensor in sensors] for space in spaces]
            made = getattr(algorithms, name)(*of_all, agent_ids=sensors, vect_noise_dim=2)
            check_masked(made, env)
    finally:
        env.close()


def check_masked(agent: Any, env: Any) -> None:
    """The agent never chooses what is masked."""
    observed, infos = env.reset(seed=7)
    episode, masked = play(SHIELDED), 0
    for step in range(len(episode)):
        chosen, *_ = agent.get_action(observed, infos)
        for sensor in env.agents:
            mask = infos[sensor]["action_mask"]
            assert mask[[0, 1], np.ravel(chosen[sensor])].all()
            masked += int((mask == 0).sum())
        # The lanes do not act alike, so that their masks differ.
        acting = {name: np.array([a, 3 - a]) for name, a in episode.named(step).items()}
        observed, *_, infos = env.step(acting)
    assert masked


def check_agilerl(env: Any, config: EnvConfig) -> None:
    """Environment 1 of AgileRL's vector replays the episode of its seed."""
    episode = play(config)
    observed, infos = env.reset(seed=episode.seed - 1)  # environment i gets this plus i
    for step in range(len(episode)):
        stacked = np.stack([observed[sensor][1] for sensor in env.agents])
        np.testing.assert_array_equal(stacked, episode.observations[step])
        for sensor in env.agents:
            assert ("action_mask" in infos[sensor]) == config.stl.shield
            if config.stl.shield:
                np.testing.assert_array_equal(infos[sensor]["action_mask"][1], episode.masks[step])
        actions = {name: np.array([action] * 2) for name, action in episode.named(step).items()}
        observed, rewards, terminated, truncated, infos = env.step(actions)
        earned = [rewards[sensor][1] for sensor in env.agents]
        np.testing.assert_allclose(earned, episode.rewards[step])
        assert not any(terminated[sensor].any() for sensor in env.agents)
        over = step == len(episode) - 1
        assert all(truncated[sensor].all() == over for sensor in env.agents)
        for name, costs in episode.costs.items():
            wanted = 0.0 if over else costs[step]  # a reset's infos replace those of a last step
            assert {infos[sensor][name][1] for sensor in env.agents} == {wanted}

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import marl_stl_env as mse
from marl_stl_env.envs.single import TrafficEnv
from marl_stl_env.errors import ConfigError, InvalidActionError, ResetNeededError
from tests.conftest import make_table, with_entities

TABLE = with_entities(make_table(), 30)


@pytest.mark.parametrize("name", ["Traffic-v0", "TrafficResponse-v0"])
def test_gymnasium_checker(name: str) -> None:
    env = gymnasium.make(f"marl_stl_env/{name}", table=TABLE, episode_length=40)
    check_env(env.unwrapped, skip_render_check=True)


def test_what_an_analyst_is_told() -> None:
    env = gymnasium.make("marl_stl_env/TrafficResponse-v0", table=TABLE, episode_length=40)
    layout = env.unwrapped.observation_layout  # type: ignore[attr-defined]
    assert layout[-7:-5] == ("isolated", "isolation_left")
    assert env.observation_space.shape == (len(layout),)
    env.reset(seed=0)
    told = [env.step(2)[0][-7:] for _ in range(20)]
    assert max(observation[0] for observation in told) == 1.0


def test_sb3_checker() -> None:
    sb3_check_env(TrafficEnv(table=TABLE, episode_length=40))


def test_equals_the_one_sensor_team() -> None:
    env = gymnasium.make("marl_stl_env/Traffic-v0", table=TABLE, episode_length=40)
    team = mse.parallel_env(table=TABLE, agents=1, views="full", episode_length=40)
    rng = np.random.default_rng(0)
    observation, info = env.reset(seed=4)
    observations, infos = team.reset(seed=4)
    over = False
    while not over:
        np.testing.assert_array_equal(observation, observations["sensor_0"])
        np.testing.assert_equal(info, infos["sensor_0"])
        action = int(rng.integers(4))
        observation, reward, terminated, over, info = env.step(action)
        observations, rewards, _, truncations, infos = team.step({"sensor_0": action})
        assert reward == rewards["sensor_0"]
        assert (terminated, over) == (False, truncations["sensor_0"])
    assert team.agents == []


def test_time_limit_of_gymnasium_applies() -> None:
    env = gymnasium.make("marl_stl_env/Traffic-v0", table=TABLE, max_episode_steps=3)
    env.reset(seed=0)
    assert [env.step(0)[3] for _ in range(3)] == [False, False, True]


def test_an_analyst_is_alone() -> None:
    with pytest.raises(ConfigError, match="parallel_env"):
        TrafficEnv(table=TABLE, agents=4)
    with pytest.raises(ConfigError, match="views"):
        TrafficEnv(table=TABLE, views="groups")


def test_wrong_steps_are_refused() -> None:
    env = TrafficEnv(table=TABLE, episode_length=1)
    with pytest.raises(ResetNeededError):
        env.step(np.int64(0))
    env.reset(seed=0)
    with pytest.raises(InvalidActionError):
        env.step(np.int64(4))
    env.step(np.int64(0))
    with pytest.raises(ResetNeededError):
        env.step(np.int64(0))

import pickle
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test

import marl_stl_env as mse
from marl_stl_env.config import StlConfig
from marl_stl_env.envs.infos import INFO_KEYS
from marl_stl_env.envs.parallel import TrafficParallelEnv
from marl_stl_env.errors import ConfigError, InvalidActionError, ResetNeededError, UnknownNameError
from tests.conftest import UNWATCHED, make_table, with_entities
from tests.oracles import ScalarEnv

TABLE = with_entities(make_table(), 30)


def make(**settings: Any) -> TrafficParallelEnv:
    return mse.parallel_env(table=TABLE, **settings)


def play(env: TrafficParallelEnv, seed: int | None, actions_seed: int = 0) -> list[Any]:
    """One whole episode with fixed random actions: all that the environment said."""
    rng, (observations, infos) = np.random.default_rng(actions_seed), env.reset(seed=seed)
    said: list[Any] = [observations, infos, env.state()]
    while env.agents:
        step = env.step({agent: int(rng.integers(4)) for agent in env.agents})
        said += [*step, env.state()]
    return said


def assert_same(one: Any, other: Any) -> None:
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key, value in one.items():
            assert_same(value, other[key])
    else:
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("agents", [1, 3, 4, 7])
def test_pettingzoo_parallel_api(agents: int) -> None:
    parallel_api_test(make(agents=agents, episode_length=50), num_cycles=120)


def test_pettingzoo_seed() -> None:
    parallel_seed_test(lambda: make(episode_length=50))


@pytest.mark.parametrize("dynamics", ["replay", "response"])
def test_pettingzoo_aec_api(dynamics: str) -> None:
    env = mse.aec_env(table=TABLE, episode_length=30, dynamics=dynamics)
    api_test(env, num_cycles=100)


def test_whole_episodes_are_deterministic() -> None:
    one, other = make(episode_length=60), make(episode_length=60)
    for said in zip(play(one, 5), play(other, 5), strict=True):
        assert_same(*said)
    # The next episode goes on with the stream: the same in both, not the same as before.
    first, second = play(one, None), play(other, None)
    for said in zip(first, second, strict=True):
        assert_same(*said)
    assert not np.array_equal(first[2], play(make(episode_length=60), 5)[2])


def test_a_second_reset_with_the_seed_repeats_the_episode() -> None:
    env = make(episode_length=60)
    for said in zip(play(env, 5), play(env, 5), strict=True):
        assert_same(*said)


def test_episode_against_the_scalar_oracle() -> None:
    env, rng = make(episode_length=60), np.random.default_rng(0)
    env.reset(seed=2)
    oracle = ScalarEnv(env.config, env.engine.table, int(env.engine.get_state()["positions"][0]))
    for _ in range(60):
        actions = {agent: int(rng.integers(4)) for agent in env.agents}
        _, rewards, terminations, truncations, infos = env.step(actions)
        wanted = oracle.step(list(actions.values()))
        assert list(rewards.values()) == pytest.approx(wanted.rewards)
        assert not any(terminations.values())
        assert set(truncations.values()) == {wanted.truncated}
        for agent, info in infos.items():
            assert info["label"] == wanted.label
            assert info["vote"] == (actions[agent] in (1, 2))
            assert info["decision"] == wanted.decision
            assert info["decision_vote"] == (wanted.decision in (1, 2))
            assert env.engine.table.family_names[info["family"]] != "benign" or not wanted.label
    assert env.agents == []


def test_what_is_said_is_plain_and_stable() -> None:
    env = make(episode_length=5, stl=UNWATCHED)
    observations, infos = env.reset(seed=0)
    for agent in env.possible_agents:
        assert tuple(infos[agent]) == INFO_KEYS
        assert set(infos[agent].values()) == {-1}
        assert env.observation_space(agent).contains(observations[agent])
        assert env.observation_space(agent) is env.observation_spaces[agent]
        assert env.action_space(agent) is env.action_spaces[agent]
    assert env.state_space.contains(env.state())
    _, rewards, _, truncations, infos = env.step(dict.fromkeys(env.agents, 0))
    for agent in env.possible_agents:
        assert sorted(infos[agent]) == sorted(INFO_KEYS)
        assert {type(value) for value in infos[agent].values()} == {int}
        assert type(rewards[agent]) is float
        assert type(truncations[agent]) is bool


def test_last_observation_survives() -> None:
    env = make(episode_length=1)
    env.reset(seed=0)
    row = int(env.engine.get_state()["positions"][0])
    observations, *_ = env.step(dict.fromkeys(env.agents, 0))
    wanted = env.engine.observations.observe(np.array([row + 1]))[0]
    assert list(observations) == env.possible_agents
    np.testing.assert_array_equal(np.stack(list(observations.values())), wanted)


def test_agents_are_known_before_the_first_reset() -> None:
    env = make(agents=5)
    assert env.agents == env.possible_agents == [f"sensor_{i}" for i in range(5)]
    assert env.metadata["name"] == "traffic_v0"
    assert env.observation_layout[-5:] == tuple(env.agents)


@pytest.mark.parametrize("settings", [{}, {"dynamics": "response", "stl": StlConfig(shield=True)}])
@pytest.mark.parametrize("copied", [deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_continue_alike(
    settings: dict[str, Any], copied: Callable[[TrafficParallelEnv], TrafficParallelEnv]
) -> None:
    env, rng = make(episode_length=90, **settings), np.random.default_rng(0)
    env.reset(seed=1)
    other: TrafficParallelEnv | None = None
    for step in range(90):
        actions = {agent: int(rng.integers(4)) for agent in env.agents}
        said = env.step(actions)
        if other is not None:
            for one, another in zip(said, other.step(actions), strict=True):
                assert_same(one, another)
        if step == 40:
            other = copied(env)
    assert other is not None
    for name, array in env.get_state().items():
        np.testing.assert_array_equal(array, other.get_state()[name], name)


def test_wrong_steps_are_refused() -> None:
    env = make(episode_length=2)
    with pytest.raises(ResetNeededError):
        env.step(dict.fromkeys(env.agents, 0))
    env.reset(seed=0)
    with pytest.raises(InvalidActionError, match="sensor_3"):
        env.step({"sensor_0": 0})
    with pytest.raises(InvalidActionError, match=r"0\.\.3"):
        env.step(dict.fromkeys(env.agents, 7))
    for _ in range(2):
        env.step(dict.fromkeys(env.agents, 0))
    with pytest.raises(ResetNeededError):
        env.step({})


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="episode_length"):
        make(episode_lenght=3)
    with pytest.raises(ConfigError, match="agents"):
        make(agents=0)
    with pytest.raises(UnknownNameError, match="train, validation, test"):
        make(split="tset")
    with pytest.raises(UnknownNameError, match="render_mode"):
        mse.parallel_env(table=TABLE, render_mode="hologram")

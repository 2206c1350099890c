from dataclasses import fields
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecMonitor

from marl_stl_env.config import EnvConfig, FaultConfig, StlConfig
from marl_stl_env.envs.base import team_env
from marl_stl_env.envs.parallel import TrafficParallelEnv
from marl_stl_env.envs.sb3 import TrafficVecEnv
from marl_stl_env.envs.supersuit import supersuit_vec_env
from marl_stl_env.errors import ConfigError, InvalidActionError, ResetNeededError
from tests.conftest import FOUR, UNWATCHED, make_table, with_entities
from tests.oracles import gae

TABLE = with_entities(make_table(), 30)


CONFIGS = {
    **{
        f"{agents} sensors": EnvConfig(
            agents=agents, episode_length=13, views="groups", stl=UNWATCHED
        )
        for agents in (1, 3, 4, 7)
    },
    "byzantine": EnvConfig(
        agents=7,
        episode_length=13,
        faults=FaultConfig(2, "mixed", 4),
        views="groups",
        stl=UNWATCHED,
    ),
    "response": EnvConfig(
        dynamics="response",
        episode_length=13,
        stl=StlConfig(monitor=True, observe=True),
        agents=4,
        views="groups",
    ),
    "deliberation": EnvConfig(
        episode_length=7, faults=FaultConfig(1, "random"), deliberation=1, **FOUR
    ),
    "specified deliberation": EnvConfig(
        dynamics="response",
        episode_length=9,
        stl=StlConfig(True, True),
        deliberation=1,
        agents=4,
        views="groups",
    ),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_native_supersuit_and_one_lane_say_the_same(config: EnvConfig) -> None:
    """Three implementations of the way to the engine, whole episodes, exact."""
    agents, lanes, seed = config.agents, 5, 21
    native = TrafficVecEnv(config, lanes, seed, TABLE)
    suit = supersuit_vec_env(config, lanes, seed, TABLE)
    alone = [TrafficParallelEnv(config, table=TABLE) for _ in range(lanes)]
    rng = np.random.default_rng(0)
    observed = native.reset()
    np.testing.assert_array_equal(observed, suit.reset())
    for lane, env in enumerate(alone):
        env.reset(seed=seed + lane)
    for _ in range(40):
        actions = rng.integers(0, 4, lanes * agents)
        one, other = native.step(actions), suit.step(actions)
        for mine, theirs in zip(one[:3], other[:3], strict=True):
            np.testing.assert_array_equal(mine, theirs)
            assert np.asarray(mine).dtype == np.asarray(theirs).dtype
        for mine, theirs, done in zip(one[3], other[3], one[2], strict=True):
            if done:  # batched infos are dictionaries at episode ends only
                assert sorted(mine) == sorted(theirs)
                for key, value in mine.items():
                    np.testing.assert_array_equal(value, theirs[key])
            else:
                assert mine.items() <= theirs.items()  # empty, or the costs of a violation
        for lane, env in enumerate(alone):
            per_lane = actions.reshape(lanes, agents)[lane].tolist()
            step = env.step(dict(zip(env.agents, per_lane, strict=True)))
            rewards = np.asarray(one[1]).reshape(lanes, agents)[lane]
            assert list(step[1].values()) == pytest.approx(rewards.tolist())
            if not env.agents:
                last = np.stack(
                    [one[3][lane * agents + i]["terminal_observation"] for i in range(agents)]
                )
                np.testing.assert_array_equal(last, np.stack(list(step[0].values())))
                env.reset()


def test_seeds_and_later_episodes_agree() -> None:
    config = EnvConfig(episode_length=3, **FOUR)
    venvs: list[VecEnv] = [
        TrafficVecEnv(config, 4, 0, TABLE),
        supersuit_vec_env(config, 4, 0, TABLE),
    ]
    seeds = [venv.seed(17) for venv in venvs]
    assert seeds[0] == seeds[1] == [17 + i // 4 for i in range(16)]
    for _ in range(3):
        one, other = (np.asarray(venv.reset()) for venv in venvs)
        np.testing.assert_array_equal(one, other)


def test_a_state_moves_between_the_paths() -> None:
    config, rng = CONFIGS["response"], np.random.default_rng(0)
    native, suit = (make(config, 3, 5, TABLE) for make in (TrafficVecEnv, supersuit_vec_env))
    for venv in (native, suit):
        venv.reset()
    for _ in range(7):
        native.step(rng.integers(0, 4, native.num_envs))
    suit.set_state(native.get_state())
    for _ in range(20):
        actions = rng.integers(0, 4, native.num_envs)
        for mine, theirs in zip(native.step(actions)[:3], suit.step(actions)[:3], strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("name", ["byzantine", "response", "deliberation"])
def test_the_last_step_is_the_same_record_in_both_views(name: str) -> None:
    config, lanes, rng = CONFIGS[name], 3, np.random.default_rng(0)
    native = TrafficVecEnv(config, lanes, 5, TABLE)
    wrapped = VecMonitor(supersuit_vec_env(config, lanes, 5, TABLE))
    entities = native.engine.table.entities
    native.reset()
    wrapped.reset()
    for _ in range(30):
        actions = rng.integers(0, 4, native.num_envs)
        native.step(actions)
        wrapped.step(actions)
        one, other = native.last_step, team_env(wrapped).last_step
        record = native.engine.last
        assert record is not None
        for item in fields(one):
            mine, theirs = getattr(one, item.name), getattr(other, item.name)
            np.testing.assert_array_equal(mine, theirs)
            assert mine.dtype == theirs.dtype
        for index in range(native.num_envs):
            lane, agent = divmod(index, config.agents)
            assert one.honest[index] == (not record.faulty[lane, agent])
            assert one.voting[index] == record.voting[lane]
            assert one.entities is not None
            assert entities is not None
            assert one.entities[index] == entities[record.rows[lane]]
        assert one.violated.shape == other.robustness.shape == (lanes, len(native.specs))


def test_a_last_step_needs_a_step_and_an_environment_of_ours() -> None:
    venv = TrafficVecEnv(EnvConfig(**FOUR), 2, 0, make_table())
    with pytest.raises(ResetNeededError):
        _ = venv.last_step
    venv.reset()
    venv.step(np.zeros(8, dtype=int))
    assert venv.last_step.entities is None
    foreign = DummyVecEnv([lambda: gymnasium.make("CartPole-v1")])
    for wrong in (foreign, VecMonitor(foreign), None):
        with pytest.raises(ConfigError, match="use TrafficVecEnv or supersuit_vec_env"):
            team_env(wrong)


def test_monitor_and_attributes() -> None:
    venv = TrafficVecEnv(EnvConfig(episode_length=3, **FOUR), 2, 0, TABLE)
    monitored = VecMonitor(venv)
    monitored.reset()
    for _ in range(3):
        *_, infos = monitored.step(np.ones(8, dtype=np.int64))
    assert all(info["episode"]["l"] == 3 for info in infos)
    assert venv.get_attr("lanes", indices=[0, 7]) == [2, 2]
    assert venv.has_attr("engine")
    assert not venv.has_attr("nothing")
    venv.set_attr("mark", 3)
    assert venv.env_method("get_attr", "mark", [0], indices=0) == [[3]]
    assert venv.env_is_wrapped(VecMonitor) == [False] * 8  # type: ignore[arg-type]


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ConfigError, match="lanes"):
        TrafficVecEnv(EnvConfig(**FOUR), 0, table=TABLE)
    venv = TrafficVecEnv(EnvConfig(**FOUR), 2, 0, TABLE)
    with pytest.raises(ResetNeededError):
        venv.step_wait()
    with pytest.raises(ResetNeededError):
        venv.step(np.zeros(8, dtype=int))
    venv.reset()
    with pytest.raises(InvalidActionError):
        venv.step(np.full(8, 9))


@pytest.mark.parametrize("make", [TrafficVecEnv, supersuit_vec_env])
def test_value_is_bootstrapped_at_truncation(make: Any) -> None:
    """SB3's advantages against an oracle that treats every episode end as a truncation."""
    gamma, lam, steps, length = 0.9, 0.8, 12, 5
    config = EnvConfig(episode_length=length, **FOUR)
    venv = make(config, 2, 3, TABLE)
    model = PPO(
        "MlpPolicy",
        venv,
        n_steps=steps,
        batch_size=8,
        gamma=gamma,
        gae_lambda=lam,
        seed=0,
        device="cpu",
    )
    model._setup_learn(steps * venv.num_envs)
    model.collect_rollouts(venv, model._init_callback(None), model.rollout_buffer, steps)

    def value(observation: Any) -> float:
        with torch.no_grad():
            batch = torch.as_tensor(np.asarray(observation, dtype=np.float32)[None])
            return float(model.policy.predict_values(batch)[0, 0])

    buffer = model.rollout_buffer
    replay = TrafficVecEnv(config, 2, 3, TABLE)
    replay.seed(0)
    replay.reset()
    for index in range(venv.num_envs):
        lane, agent = divmod(index, 4)
        alone = TrafficParallelEnv(config, table=TABLE)
        observations, _ = alone.reset(seed=lane)
        rewards, values, next_values, ends = [], [], [], []
        for t in range(steps):
            values.append(value(observations[f"sensor_{agent}"]))
            actions = buffer.actions[t].reshape(2, 4)[lane].astype(int).tolist()
            observations, earned, _, truncated, _ = alone.step(
                dict(zip(alone.possible_agents, actions, strict=True))
            )
            rewards.append(earned[f"sensor_{agent}"])
            ends.append(truncated[f"sensor_{agent}"])
            next_values.append(value(observations[f"sensor_{agent}"]))
            if ends[-1]:
                observations, _ = alone.reset()
        assert any(ends)
        wanted = gae(rewards, values, next_values, ends, gamma, lam)
        np.testing.assert_allclose(buffer.advantages[:, index], wanted, rtol=1e-3, atol=1e-3)

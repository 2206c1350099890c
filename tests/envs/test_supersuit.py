"""Each repair of the SuperSuit path, beside the fault of SuperSuit as shipped."""

from collections.abc import Iterator
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import numpy as np
import pytest
import supersuit
from gymnasium import spaces
from pettingzoo import ParallelEnv
from pettingzoo.utils.wrappers import BaseParallelWrapper
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv, VecMonitor, VecNormalize

from marl_stl_env.config import EnvConfig
from marl_stl_env.envs.parallel import TrafficParallelEnv
from marl_stl_env.envs.supersuit import SuperSuitVecEnv, supersuit_vec_env
from marl_stl_env.errors import ConfigError
from tests.conftest import FOUR, make_table

TABLE = make_table()
CONFIG = EnvConfig(episode_length=7, **FOUR)
COPIES, AGENTS = 3, 4


def shipped() -> Any:
    """The pipeline as SuperSuit's documentation has it."""
    return concatenated(TrafficParallelEnv(CONFIG, table=TABLE))


def concatenated(env: Any) -> Any:
    vector = supersuit.pettingzoo_env_to_vec_env_v1(env)
    with pytest.warns(UserWarning, match="envs.supersuit.SuperSuitVecEnv") as caught:
        venv = supersuit.concat_vec_envs_v1(vector, COPIES, 1, base_class="stable_baselines3")
    (warning,) = caught  # once, however many copies
    assert warning.filename == __file__
    return venv


@pytest.fixture
def venv() -> Iterator[SuperSuitVecEnv]:
    env = supersuit_vec_env(CONFIG, COPIES, seed=0, table=TABLE)
    yield env
    env.close()


def run_to_end(venv: VecEnv) -> Any:
    """The step at which the first episode ends."""
    venv.reset()
    for _ in range(CONFIG.episode_length):
        step = venv.step(np.zeros(venv.num_envs, dtype=np.int64))
    return step


def test_dones_are_bool(venv: SuperSuitVecEnv) -> None:
    assert run_to_end(venv)[2].dtype == np.bool_
    assert run_to_end(shipped())[2].dtype == np.uint8  # what the repair is for


def test_running_return_variance_is_right(venv: SuperSuitVecEnv) -> None:
    gamma, steps = 0.99, 50
    normalized = VecNormalize(venv, norm_obs=False, gamma=gamma)
    normalized.reset()
    returns, seen = np.zeros(venv.num_envs), []
    for _ in range(steps):
        _, _, dones, _ = normalized.step(np.zeros(venv.num_envs, dtype=np.int64))
        returns = returns * gamma + normalized.get_original_reward()
        seen.append(returns.copy())
        returns[dones] = 0.0
    # SB3's running variance starts from a count of 1e-4 at variance 1.
    assert normalized.ret_rms.var == pytest.approx(np.var(seen), rel=1e-3)


def test_seeds_reach_every_copy(venv: SuperSuitVecEnv) -> None:
    def first_observations(env: VecEnv, seed: int) -> Any:
        env.seed(seed)
        return env.reset()

    one, other = (supersuit_vec_env(CONFIG, COPIES, seed=99, table=TABLE) for _ in "ab")
    np.testing.assert_array_equal(first_observations(one, 5), first_observations(other, 5))
    assert not np.array_equal(first_observations(one, 5), first_observations(other, 6))
    alone = TrafficParallelEnv(CONFIG, table=TABLE)
    for copy, observed in enumerate(first_observations(venv, 5).reshape(COPIES, AGENTS, -1)):
        wanted = alone.reset(seed=5 + copy)[0]
        np.testing.assert_array_equal(observed, np.stack(list(wanted.values())))
    with pytest.raises(AttributeError, match="seed"):
        shipped().seed(5)  # what the repair is for


def test_ppo_takes_a_seed(venv: SuperSuitVecEnv) -> None:
    PPO("MlpPolicy", venv, n_steps=4, batch_size=12, seed=3, device="cpu").learn(48)


def test_unseeded_copies_are_not_reseeded_at_the_next_reset(venv: SuperSuitVecEnv) -> None:
    assert not np.array_equal(np.asarray(venv.reset()), np.asarray(venv.reset()))


def test_truncation_reaches_sb3(venv: SuperSuitVecEnv) -> None:
    infos = run_to_end(venv)[3]
    assert [info["TimeLimit.truncated"] for info in infos] == [True] * venv.num_envs
    assert all(info["terminal_observation"].shape == (14,) for info in infos)
    assert "TimeLimit.truncated" not in run_to_end(shipped())[3][0]  # what the repair is for


def test_infos_of_the_last_step_survive(venv: SuperSuitVecEnv) -> None:
    infos = run_to_end(venv)[3]
    assert all(info["label"] in (0, 1) for info in infos)
    assert {info["label"] for info in venv.reset_infos} == {-1}
    assert run_to_end(shipped())[3][0]["label"] == -1  # what the repair is for


class _Wrapper(BaseParallelWrapper):
    pass


def test_copies_can_be_asked(venv: SuperSuitVecEnv) -> None:
    venv.reset()
    assert venv.has_attr("observation_layout")
    assert not venv.has_attr("no_such_thing")
    assert venv.get_attr("agents", indices=[0, 5]) == [venv.envs[0].agents, venv.envs[1].agents]
    assert venv.get_attr("render_mode") == [None] * venv.num_envs
    states = venv.env_method("state", indices=[0, 1, 4])
    np.testing.assert_array_equal(states[0], states[1])
    assert not np.array_equal(states[0], states[2])
    venv.set_attr("mark", "x", indices=[4])
    assert venv.has_attr("mark") is False
    assert venv.envs[1].mark == "x"
    assert venv.env_is_wrapped(_Wrapper) == [False] * venv.num_envs
    wrapped = SuperSuitVecEnv(lambda: _Wrapper(TrafficParallelEnv(CONFIG, table=TABLE)), 2)
    assert wrapped.env_is_wrapped(_Wrapper) == [True] * 8
    with pytest.raises(AttributeError):
        shipped().get_attr("agents")  # what the repair is for


def test_copies_have_their_own_streams(venv: SuperSuitVecEnv) -> None:
    rows = np.asarray(venv.reset()).reshape(COPIES, -1)
    assert len(np.unique(rows, axis=0)) == COPIES
    # What the repair is for: clones of an environment that was reset replay the same events.
    env = TrafficParallelEnv(CONFIG, table=TABLE)
    env.reset(seed=0)
    replicated = concatenated(env)
    assert len(np.unique(replicated.reset().reshape(COPIES, -1), axis=0)) == 1


def test_wrapped_copies_are_warned_of_too() -> None:
    concatenated(supersuit.black_death_v3(TrafficParallelEnv(CONFIG, table=TABLE)))


def test_other_copies_are_nobodys_concern() -> None:
    env = TrafficParallelEnv(CONFIG, table=TABLE)
    env.reset(seed=3)
    copied = cloudpickle.loads(cloudpickle.dumps(env))
    actions = dict.fromkeys(env.agents, 1)
    assert copied.step(actions)[1] == env.step(actions)[1]


def test_copies_share_the_table(venv: SuperSuitVecEnv) -> None:
    tables = [env.engine.table for env in venv.envs]
    assert all(table is tables[0] for table in tables)


def test_behaves_as_an_sb3_vec_env(venv: SuperSuitVecEnv) -> None:
    monitored = VecMonitor(venv)
    infos = run_to_end(monitored)[3]
    assert all(info["episode"]["l"] == CONFIG.episode_length for info in infos)


def test_no_copies_are_refused() -> None:
    with pytest.raises(ConfigError, match="copies"):
        supersuit_vec_env(CONFIG, 0, table=TABLE)


def with_black_death() -> SuperSuitVecEnv:
    def make() -> Any:
        env = TrafficParallelEnv(CONFIG, table=TABLE)
        return _Wrapper(supersuit.black_death_v3(env))

    return SuperSuitVecEnv(make, COPIES, seed=0)


def test_black_death_ends_when_an_episode_truncates(venv: SuperSuitVecEnv) -> None:
    """Two episodes through the wrapper are those without it, their ends included."""
    wrapped, rng = with_black_death(), np.random.default_rng(0)
    np.testing.assert_array_equal(np.asarray(wrapped.reset()), np.asarray(venv.reset()))
    ends = 0
    for _ in range(2 * CONFIG.episode_length):
        actions = rng.integers(0, 4, venv.num_envs)
        one, other = wrapped.step(actions), venv.step(actions)
        for mine, theirs in zip(one[:3], other[:3], strict=True):
            np.testing.assert_array_equal(mine, theirs)
        for mine, theirs in zip(one[3], other[3], strict=True):
            assert mine.get("TimeLimit.truncated") == theirs.get("TimeLimit.truncated")
        ends += int(np.sum(one[2]))
    assert ends == 2 * venv.num_envs
    assert wrapped.env_is_wrapped(_Wrapper) == [True] * venv.num_envs
    black_death = type(supersuit.black_death_v3(TrafficParallelEnv(CONFIG, table=TABLE)))
    assert wrapped.env_is_wrapped(black_death) == [True] * venv.num_envs
    assert wrapped.last_step.honest.all()
    # What the repair is for: the wrapper as shipped never says that the episode is over.
    env = supersuit.black_death_v3(TrafficParallelEnv(CONFIG, table=TABLE))
    env.reset(seed=0)
    for _ in range(CONFIG.episode_length):
        _, _, terminations, truncations, _ = env.step(dict.fromkeys(env.possible_agents, 0))
    assert not any([*terminations.values(), *truncations.values()])


class _Leaving(ParallelEnv[str, Any, int]):
    """Agent ``i`` leaves at step ``i + 1``, terminated but for the last one, which is truncated."""

    metadata: dict[str, Any] = {"name": "leaving"}  # noqa: RUF012
    render_mode = None
    possible_agents = ["a", "b", "c"]  # noqa: RUF012

    def observation_space(self, agent: str) -> spaces.Box:
        del agent
        return spaces.Box(0.0, 9.0, (1,), np.float32)

    def action_space(self, agent: str) -> spaces.Discrete:
        del agent
        return spaces.Discrete(2)

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        del seed, options
        self.agents, self.time = list(self.possible_agents), 0
        return {a: np.ones(1, np.float32) for a in self.agents}, {a: {} for a in self.agents}

    def step(self, actions: dict[str, int]) -> Any:
        assert list(actions) == self.agents
        self.time += 1
        leaves, here = self.possible_agents[self.time - 1], self.agents
        self.agents = [agent for agent in here if agent != leaves]
        observations = {agent: np.full(1, self.time + 1, np.float32) for agent in here}
        ends = {agent: agent == leaves for agent in here}
        nobody = dict.fromkeys(here, False)
        last = not self.agents
        infos: dict[str, dict[str, Any]] = {agent: {} for agent in here}
        rewards = dict.fromkeys(here, 1.0)
        return observations, rewards, nobody if last else ends, ends if last else nobody, infos


def test_black_death_of_agents_that_leave_one_by_one() -> None:
    venv = SuperSuitVecEnv(lambda: supersuit.black_death_v3(_Leaving()), 1)
    for _ in range(2):  # the second episode does not remember the first one's ends
        venv.reset()
        steps = [venv.step(np.zeros(3, int)) for _ in range(3)]
        observations = [np.asarray(step[0]).ravel().tolist() for step in steps]
        assert observations == [[2, 2, 2], [0, 3, 3], [1, 1, 1]]  # the last: the next episode's
        assert [step[1].tolist() for step in steps] == [[1, 1, 1], [0, 1, 1], [0, 0, 1]]
        assert [step[2].tolist() for step in steps] == [[False] * 3, [False] * 3, [True] * 3]
        told = [info["TimeLimit.truncated"] for info in steps[-1][3]]
        assert told == [False, False, True]


@pytest.mark.parametrize("copies", [-1, 1.5, True, "2", None])
def test_copies_are_a_whole_number(copies: Any) -> None:
    with pytest.raises(ConfigError, match="copies"):
        supersuit_vec_env(CONFIG, copies, table=TABLE)

"""The SuperSuit path to Stable-Baselines3, with seven silent faults of SuperSuit 3.11 repaired.

SuperSuit still does the conversion: :class:`supersuit.vector.MarkovVectorEnv` turns one parallel
environment into a vector of agents and :class:`supersuit.vector.ConcatVecEnv` puts copies side by
side. The repairs:

1. ``dones`` are bool. SuperSuit gives uint8, with which ``VecNormalize`` does integer indexing and
   gets its running return variance wrong.
2. ``seed`` and ``reset`` pass the seed on, copy i getting ``seed + i``; SuperSuit raises.
3. ``TimeLimit.truncated`` is set, so that the value of the last observation is bootstrapped;
   SuperSuit lets every time limit be learned as a terminal state.
4. The infos of an episode's last step survive; SuperSuit overwrites them with those of the reset,
   which are kept in ``reset_infos`` here.
5. ``get_attr``, ``has_attr``, ``set_attr``, ``env_method`` and ``env_is_wrapped`` ask the copies;
   SuperSuit fails or always answers False.
6. Every copy is built by the factory; SuperSuit copies one environment, random stream included.
7. Under ``black_death_v3`` an episode ends when all agents are terminated or truncated; SuperSuit
   waits for agents that are both, which an episode that only truncates never gives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pettingzoo import ParallelEnv
from stable_baselines3.common.vec_env.base_vec_env import (
    VecEnvIndices,
    VecEnvObs,
    VecEnvStepReturn,
)
from supersuit.multiagent_wrappers.black_death import black_death_par
from supersuit.vector import ConcatVecEnv, MarkovVectorEnv

from marl_stl_env.config import EnvConfig, make_config
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.base import LANES_SHOWN, TeamVecEnv, check_pictures
from marl_stl_env.envs.parallel import TrafficParallelEnv
from marl_stl_env.envs.spaces import action_space
from marl_stl_env.errors import ConfigError
from marl_stl_env.types import AnyArray, as_actions
from marl_stl_env.validation import check_count


class _BlackDeath(black_death_par):
    """SuperSuit's ``black_death_v3``, whose episodes end however they end (repair 7)."""

    agents: list[str]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, AnyArray], dict[str, dict[str, Any]]]:
        self._terminated: set[str] = set()
        observed: tuple[dict[str, AnyArray], dict[str, dict[str, Any]]]
        observed = super().reset(seed=seed, options=options)
        return observed

    def step(self, actions: dict[str, Any]) -> tuple[dict[str, Any], ...]:
        living = {agent: actions[agent] for agent in self.env.agents}
        observations, rewards, terminations, truncations, infos = self.env.step(living)
        self._terminated.update(agent for agent, ended in terminations.items() if ended)
        over = all(terminations[agent] or truncations[agent] for agent in living)
        for agent in set(self.agents).difference(observations):
            observations[agent] = np.zeros_like(self.observation_space(agent).low)
            rewards[agent], infos[agent] = 0.0, {}
        ended = {agent: over and agent in self._terminated for agent in self.agents}
        cut = {agent: over and agent not in self._terminated for agent in self.agents}
        if over:
            self.agents = []
        return observations, rewards, ended, cut, infos


def _repaired(env: ParallelEnv[str, Any, Any]) -> ParallelEnv[str, Any, Any]:
    """The environment with every ``black_death_v3`` among its wrappers replaced."""
    wrapper: Any = env
    if wrapper is wrapper.unwrapped or not hasattr(wrapper, "env"):
        return env
    wrapper.env = _repaired(wrapper.env)
    return _BlackDeath(wrapper.env) if type(wrapper) is black_death_par else env


class _AgentsVectorEnv(MarkovVectorEnv):
    """SuperSuit's conversion of one environment, with the reset's infos kept apart (repair 4)."""

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[AnyArray, list[dict[str, Any]]]:
        observations, self.reset_infos = super().reset(seed=seed, options=options)
        # SuperSuit merges what is returned here over the infos of an episode's last step.
        return observations, [{} for _ in self.reset_infos]


class SuperSuitVecEnv(TeamVecEnv):
    """Copies of a PettingZoo parallel environment as one SB3 ``VecEnv``, through SuperSuit.

    Sub-environment ``copy * agents + agent`` is one agent of one copy. Copies may be wrapped;
    ``black_death_v3`` among the wrappers, whose episodes would never end, is repaired.

    Args:
        make_env: Builds one copy.
        copies: How many, at least 1.
        seed: Seed of copy 0, copy i gets ``seed + i``; None draws from the system.

    Attributes:
        envs: The copies.
    """

    def __init__(
        self,
        make_env: Callable[[], ParallelEnv[str, Any, Any]],
        copies: int,
        seed: int | None = None,
    ) -> None:
        check_count("copies", copies, 2**20)
        self.envs: list[ParallelEnv[str, Any, Any]] = [_repaired(make_env()) for _ in range(copies)]
        self._vectors = [_AgentsVectorEnv(env) for env in self.envs]
        self._venv = ConcatVecEnv([partial(_itself, vector) for vector in self._vectors])
        self._next_seed: int | None = None
        agents = len(self.envs[0].possible_agents)
        super().__init__(copies, agents, self._venv.observation_space, self._venv.action_space)
        self.seed(seed)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Give copy i the seed ``seed + i``, used at the next reset.

        Raises:
            ConfigError: If the seed is not a non-negative integer.
        """
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise ConfigError(f"seed must be a non-negative integer, not {seed!r:.80}")
        self._next_seed = seed
        return [seed + copy for copy in range(len(self.envs)) for _ in range(self.agents)]

    def reset(self) -> VecEnvObs:
        """Begin an episode in every copy.

        Returns:
            Observations.  # (copies * agents, width) float32
        """
        observations, _ = self._venv.reset(seed=self._next_seed)
        self._next_seed = None
        self.reset_infos = [info for vector in self._vectors for info in vector.reset_infos]
        return np.asarray(observations)

    def step_async(self, actions: AnyArray) -> None:
        """Take the actions for the next :meth:`step_wait`.

        Args:
            actions: Action of each agent.  # (copies * agents,) integer

        Raises:
            InvalidActionError: If there are too many or too few, or one is none of this
                environment's; actions of other kinds than :class:`~marl_stl_env.types.Action` are
                left to the copies.
        """
        if self.action_space == action_space():
            actions = as_actions(actions, (self.num_envs,)).astype(np.int64)
        self._venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Step every copy.

        Returns:
            Observations (copies * agents, width) float32, rewards (copies * agents,) float32,
            dones (copies * agents,) bool and a list of infos.
        """
        observations, rewards, terminated, truncated, infos = self._venv.step_wait()
        terminated, truncated = terminated.astype(np.bool_), truncated.astype(np.bool_)
        dones = terminated | truncated
        for index in np.flatnonzero(dones):
            infos[index]["TimeLimit.truncated"] = bool(truncated[index] and not terminated[index])
        return observations, rewards, dones, infos

    @property
    def engines(self) -> tuple[Engine, ...]:
        """The engine of each copy.

        Raises:
            ConfigError: If the copies are not :class:`TrafficParallelEnv`, wrapped or not.
        """
        return tuple(_engine_of(env) for env in self.envs)

    def get_state(self) -> dict[str, AnyArray]:
        """All that is needed to continue bit-identically: the copies' arrays, one after another."""
        states = [env.get_state() for env in self.envs]
        return {name: np.concatenate([state[name] for state in states]) for name in states[0]}

    def set_state(self, arrays: dict[str, AnyArray]) -> None:
        """Go back to a state that :meth:`get_state` gave, here or on the native path.

        Raises:
            StateError: If the arrays do not fit the copies.
        """
        for copy, env in enumerate(self.envs):
            env.set_state({name: array[copy : copy + 1] for name, array in arrays.items()})
        self._next_seed = None

    def _pictures(self) -> list[NDArray[np.uint8] | None]:
        return [env.render() for env in self.envs[:LANES_SHOWN]]

    def __repr__(self) -> str:
        """Number of copies, and the first one."""
        return f"{type(self).__name__}({len(self.envs)} copies of {self.envs[0]!r})"

    def close(self) -> None:
        """Close every copy."""
        self._venv.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute of the copy behind each index."""
        return [getattr(self._env_of(index), attr_name) for index in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the copy behind each index."""
        for index in self._get_indices(indices):
            setattr(self._env_of(index), attr_name, value)

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: VecEnvIndices = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Call a method of the copy behind each index, once per copy."""
        chosen = list(self._get_indices(indices))
        results = {
            copy: getattr(self.envs[copy], method_name)(*method_args, **method_kwargs)
            for copy in dict.fromkeys(index // self.agents for index in chosen)
        }
        return [results[index // self.agents] for index in chosen]

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """Whether the copy behind each index is wrapped with this PettingZoo wrapper."""
        return [
            _is_wrapped(self._env_of(index), wrapper_class) for index in self._get_indices(indices)
        ]

    def _env_of(self, index: int) -> ParallelEnv[str, Any, Any]:
        return self.envs[index // self.agents]


def _itself(vector: _AgentsVectorEnv) -> _AgentsVectorEnv:
    """ConcatVecEnv asks for functions."""
    return vector


def _engine_of(env: ParallelEnv[str, Any, Any]) -> Engine:
    inner = env.unwrapped
    if not isinstance(inner, TrafficParallelEnv):
        raise ConfigError(
            f"{type(inner).__name__} has no engine: only a TrafficParallelEnv knows faulty "
            "sensors, votes and specifications"
        )
    return inner.engine


def _is_wrapped(env: Any, wrapper_class: type[Any]) -> bool:
    while env is not env.unwrapped:
        if isinstance(env, wrapper_class):
            return True
        env = env.env
    return False


def supersuit_vec_env(
    config: EnvConfig | None = None,
    copies: int = 16,
    seed: int | None = None,
    table: TrafficTable | PreparedData | None = None,
    render_mode: str | None = None,
) -> SuperSuitVecEnv:
    """The environment through SuperSuit: the same trajectories as ``TrafficVecEnv``.

    Args:
        config: The environment; None is the default one.
        copies: Independent copies of the stream (lanes).
        seed: Seed of copy 0; None draws from the system.
        table: Prepared data, or a raw table, in place of what ``config.data`` names.
        render_mode: "rgb_array" lets ``render()`` tile pictures of the first four copies; or None.
    """
    check_pictures(render_mode)
    config = make_config(config, {})
    prepared = prepare(config, table)

    def make_env() -> TrafficParallelEnv:
        return TrafficParallelEnv(config, table=prepared, render_mode=render_mode)

    return SuperSuitVecEnv(make_env, copies, seed)

"""SB3's PPO end to end, its upper limit, and a profile of its time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from marl_stl_agents.algorithms.ppo import make_model, make_vec_env
from marl_stl_agents.config import Backend, PPOConfig, TrainConfig
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from benchmarks.common.partial import PARTIAL
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.types import AnyArray


class NoOpVecEnv(VecEnv):
    """Returns the same arrays at every step, so that only the trainer takes time.

    Args:
        num_envs: Sub-environments.
        observation_space: Space of one sub-environment.
        action_space: Space of one sub-environment.
    """

    def __init__(
        self, num_envs: int, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
    ) -> None:
        self.render_mode = None
        super().__init__(num_envs, observation_space, action_space)
        self._observations = np.stack([observation_space.sample() for _ in range(num_envs)])
        self._rewards = np.random.default_rng(0).normal(size=num_envs).astype(np.float32)
        self._dones = np.zeros(num_envs, dtype=np.bool_)
        self._infos: list[dict[str, Any]] = [{} for _ in range(num_envs)]

    def reset(self) -> AnyArray:
        """The observations."""
        return self._observations

    def step_async(self, actions: AnyArray) -> None:
        """Nothing."""

    def step_wait(self) -> VecEnvStepReturn:
        """The same arrays as at every step."""
        return self._observations, self._rewards, self._dones, self._infos

    def close(self) -> None:
        """Nothing to close."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The attribute, once per sub-environment."""
        del indices
        return [getattr(self, attr_name)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute."""
        del indices
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> Any:
        """Call a method."""
        del indices
        return [getattr(self, method_name)(*args, **kwargs)] * self.num_envs

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Never."""
        del wrapper_class, indices
        return [False] * self.num_envs


def train_config(backend: Backend, lanes: int) -> TrainConfig:
    """The default trainer on raw features, as in every row of the comparison."""
    return TrainConfig(
        PARTIAL, PPOConfig(bins=0), stl="off", backend=backend, lanes=lanes, progress=False
    )


def make_trainer(backend: Backend, table: TrafficTable, lanes: int) -> OnPolicyAlgorithm:
    """PPO on the environment, as ``train.py`` builds it."""
    config = train_config(backend, lanes)
    venv = make_vec_env(config, table)
    return make_model(config, venv, table, torch.device("cpu"))


def bare_trainer(table: TrafficTable, lanes: int, like: OnPolicyAlgorithm) -> OnPolicyAlgorithm:
    """PPO on a :class:`NoOpVecEnv` of the same shapes without wrappers: the upper limit."""
    venv = NoOpVecEnv(like.n_envs, like.observation_space, like.action_space)
    return make_model(train_config("native", lanes), venv, table, torch.device("cpu"))


def ppo_rates(trainers: Sequence[OnPolicyAlgorithm], rounds: int) -> list[float]:
    """Agent-steps per second of each trainer: the best of several interleaved rounds."""
    best = [0.0] * len(trainers)
    for turn in range(rounds + 1):
        for number, trainer in enumerate(trainers):
            steps = trainer.n_steps * trainer.n_envs
            start = time.perf_counter()
            trainer.learn(2 * steps)
            if turn:  # the first round warms up
                best[number] = max(best[number], 2 * steps / (time.perf_counter() - start))
    return best


class Stopwatch:
    """Self time of methods, without that of other measured methods that they call."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner = [0.0]

    def watch(self, owner: Any, method: str, name: str) -> None:
        """Measure a method under this name from now on."""
        setattr(owner, method, self._timed(getattr(owner, method), name))

    def _timed(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        @wraps(call)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._inner.append(0.0)
            start = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                elapsed = time.perf_counter() - start
                own = elapsed - self._inner.pop()
                self._inner[-1] += elapsed
                self.seconds[name] = self.seconds.get(name, 0.0) + own

        return timed


def ppo_profile(model: OnPolicyAlgorithm, iterations: int) -> dict[str, float]:
    """Shares of the training time on the native backend by part; they add up to 1."""
    normalizer = model.get_env()
    if not isinstance(normalizer, VecNormalize):
        raise TypeError(f"the trainer's environment is a VecNormalize, not {normalizer!r}")
    monitor = normalizer.venv
    steps = model.n_steps * model.n_envs
    model.learn(steps)
    watch = Stopwatch()
    for owner, method, name in [
        (monitor.venv, "step_wait", "engine and adapter"),  # type: ignore[attr-defined]
        (monitor, "step_wait", "VecMonitor"),
        (normalizer, "step_wait", "VecNormalize"),
        (model, "_update_info_buffer", "infos"),
        (model.policy, "forward", "policy in the rollout"),
        (model.rollout_buffer, "add", "rollout buffer"),
        (model.rollout_buffer, "compute_returns_and_advantage", "advantages"),
        (model, "train", "update"),
        (model, "learn", "loop and logging"),
    ]:
        watch.watch(owner, method, name)
    model.learn(iterations * steps)
    total = sum(watch.seconds.values())
    return {name: seconds / total for name, seconds in watch.seconds.items()}

"""The vector environment of RLlib's runners: one sub-environment per sensor and lane."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from marl_stl_env.config import EnvConfig
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.spaces import action_space, observation_space
from marl_stl_env.types import AnyArray, BoolArray, Float32Array, IntArray


class TeamVectorEnv(VectorEnv[AnyArray, AnyArray, AnyArray]):
    """The lanes of one environment runner.

    Sub-environment ``lane * agents + agent`` is one sensor of one lane. RLlib seeds runner w
    (counted from 1) with ``seed + w``. This runner then has lanes ``(w - 1) * lanes`` to
    ``w * lanes - 1`` of the whole training, so no two runners replay the same stream.

    All lanes begin together and their episodes have the same length, so they end together. The
    step after the last one only resets (``AutoresetMode.NEXT_STEP``).

    Args:
        config: The environment.
        lanes: Lanes of this runner.
        seed: Seed of lane 0 of the training.
        reward_scale: Divisor of all rewards.
    """

    def __init__(self, config: EnvConfig, lanes: int, seed: int, reward_scale: float) -> None:
        self.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}
        self.engine = Engine.from_config(config, lanes, seed)
        self.num_envs = lanes * config.agents
        self.single_observation_space = observation_space(self.engine)
        self.single_action_space = action_space()
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._seed, self._scale, self._ended = seed, reward_scale, True

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, dict[str, Any]]:
        """Begin an episode in every lane.

        Args:
            seed: Seed of the runner, ``seed + w``; anything but an integer continues the streams.
            options: Not used.

        Returns:
            Observations (lanes * agents, width) float32 and an empty info.
        """
        del options
        if isinstance(seed, int):
            first_lane = max(seed - self._seed - 1, 0) * self.engine.lanes
            self.engine.seed(self._seed + first_lane)
        self.engine.reset()
        self._ended = False
        return self._observations(), {}

    def step(
        self, actions: IntArray
    ) -> tuple[Float32Array, Float32Array, BoolArray, BoolArray, dict[str, Any]]:
        """Evaluate the current event of every lane.

        Args:
            actions: Action of each sensor.  # (lanes * agents,) integer

        Returns:
            Observations (lanes * agents, width) float32; scaled rewards (lanes * agents,) float32;
            terminations, always False, and truncations (lanes * agents,) bool; an empty info.
        """
        never = np.zeros(self.num_envs, dtype=np.bool_)
        if self._ended:
            observations, info = self.reset()
            return observations, np.zeros(self.num_envs, np.float32), never, never, info
        record = self.engine.step(np.asarray(actions).reshape(self.engine.lanes, -1))
        truncated = np.repeat(record.truncated, self.engine.agents)
        self._ended = bool(truncated.all())
        rewards = (record.rewards.ravel() / self._scale).astype(np.float32)
        return self._observations(), rewards, never, truncated, {}

    def _observations(self) -> Float32Array:
        return self.engine.observe().reshape(self.num_envs, -1)

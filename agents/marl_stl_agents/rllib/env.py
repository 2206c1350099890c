"""What RLlib's environment runners step: every sensor of every lane is one sub-environment."""

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
    (counted from 1) with ``seed + w``; its lanes then are lanes ``(w - 1) * lanes`` and following
    of the whole training, so that no two runners replay the same stream. All lanes begin together
    and their episodes are equally long, so they end together; the step after that only begins anew
    (Gymnasium's "NextStep").

    Args:
        config: The environment.
        lanes: Lanes of this runner.
        seed: Seed of lane 0 of the training.
        reward_scale: Rewards are divided by it.
    """

    def __init__(self, config: EnvConfig, lanes: int, seed: int, reward_scale: float) -> None:
        self.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}
        self.engine = Engine.from_config(config, lanes, seed)
        self.num_envs = lanes * config.agents
        self.single_observation_space = observation_space(self.engine)
        self.single_action_space = action_space()
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._seed, self._scale, self._over = seed, reward_scale, True

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, dict[str, Any]]:
        """Begin an episode in every lane; ``seed`` is the runner's.

        Returns:
            Observations (lanes * agents, width) float32 and an empty info.
        """
        del options
        if isinstance(seed, int):
            before = max(seed - self._seed - 1, 0) * self.engine.lanes
            self.engine.seed(self._seed + before)
        self.engine.reset()
        self._over = False
        return self._observations(), {}

    def step(
        self, actions: IntArray
    ) -> tuple[Float32Array, Float32Array, BoolArray, BoolArray, dict[str, Any]]:
        """Evaluate the current event of every lane.

        Args:
            actions: Action of each sensor.  # (lanes * agents,) integer

        Returns:
            Observations (lanes * agents, width) float32, scaled rewards, terminations (none) and
            truncations of shape (lanes * agents,), and an empty info.
        """
        never = np.zeros(self.num_envs, dtype=np.bool_)
        if self._over:
            observations, info = self.reset()
            return observations, np.zeros(self.num_envs, np.float32), never, never, info
        record = self.engine.step(np.asarray(actions).reshape(self.engine.lanes, -1))
        truncated = np.repeat(record.truncated, self.engine.agents)
        self._over = bool(truncated.all())
        rewards = (record.rewards.ravel() / self._scale).astype(np.float32)
        return self._observations(), rewards, never, truncated, {}

    def _observations(self) -> Float32Array:
        return self.engine.observe().reshape(self.num_envs, -1)

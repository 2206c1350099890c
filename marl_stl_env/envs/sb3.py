"""The native Stable-Baselines3 view: every sensor of every lane is one sub-environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from stable_baselines3.common.vec_env.base_vec_env import (
    VecEnvIndices,
    VecEnvObs,
    VecEnvStepReturn,
)

from marl_stl_env.config import EnvConfig
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.state import StepRecord
from marl_stl_env.envs.base import TeamVecEnv
from marl_stl_env.envs.infos import add_costs, mask_infos, step_infos
from marl_stl_env.envs.spaces import action_space, observation_space
from marl_stl_env.errors import ResetNeededError
from marl_stl_env.types import AnyArray, BoolArray, Float32Array


class TrafficVecEnv(TeamVecEnv):
    """All lanes and sensors in one batched engine.

    Sub-environment ``lane * agents + agent`` is one sensor of one lane. Lane i of seed s replays
    what :func:`~marl_stl_env.envs.parallel.parallel_env` replays after ``reset(seed=s + i)``.
    Infos are empty until an episode's last step, which carries the facts of
    :mod:`marl_stl_env.envs.infos`, ``terminal_observation`` and ``TimeLimit.truncated``; but costs
    are also there at the step of a violation, and with a shield ``action_mask`` at every step. The
    facts of every step are arrays on ``engine.last``, the masks those of ``action_masks()``.

    Args:
        config: The environment; None is the default one.
        lanes: Independent copies of the stream.
        seed: Seed of lane 0; None draws from the system.
        table: Prepared data, or a raw table, in place of what ``config.data`` names.

    Attributes:
        engine: The engine behind this view.
    """

    def __init__(
        self,
        config: EnvConfig | None = None,
        lanes: int = 256,
        seed: int | None = None,
        table: TrafficTable | PreparedData | None = None,
    ) -> None:
        self.config = config or EnvConfig()
        self.engine = Engine.from_config(self.config, lanes, seed, table)
        self.render_mode = None
        self._actions: AnyArray | None = None
        super().__init__(lanes, self.config.agents, observation_space(self.engine), action_space())

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Give lane i the seed ``seed + i``, used from the next reset on."""
        self.engine.seed(seed)
        lanes = self.engine.get_state()["seeds"]
        return [int(lane) for lane in np.repeat(lanes, self.agents)]

    def reset(self) -> VecEnvObs:
        """Begin an episode in every lane.

        Returns:
            Observations.  # (lanes * agents, width) float32
        """
        self.engine.reset()
        self.reset_infos = mask_infos(self.engine)
        return self._observations()

    def step_async(self, actions: AnyArray) -> None:
        """Take the actions for the next :meth:`step_wait`.

        Args:
            actions: Action of each sensor.  # (lanes * agents,) integer
        """
        self._actions = np.asarray(actions).reshape(self.lanes, self.agents)

    def step_wait(self) -> VecEnvStepReturn:
        """Evaluate the current event of every lane.

        Returns:
            Observations (lanes * agents, width) float32, rewards (lanes * agents,) float32,
            dones (lanes * agents,) bool and a list of infos.

        Raises:
            ResetNeededError: If no actions were given.
        """
        if self._actions is None:
            raise ResetNeededError("step_wait() needs the actions of step_async() first")
        record, self._actions = self.engine.step(self._actions), None
        infos = mask_infos(self.engine)
        add_costs(infos, self.engine)
        if record.truncated.any():
            self._end_episodes(record.truncated, infos)
        return self._observations(), record.rewards.ravel(), self._dones(record), infos

    @property
    def engines(self) -> tuple[Engine, ...]:
        """The one engine of all lanes."""
        return (self.engine,)

    def _end_episodes(self, over: BoolArray, infos: list[dict[str, Any]]) -> None:
        last = self.engine.observe()
        for lane in np.flatnonzero(over).tolist():
            for agent, facts in enumerate(step_infos(self.engine, lane)):
                infos[lane * self.agents + agent] = {
                    **facts,
                    "terminal_observation": last[lane, agent],
                    "TimeLimit.truncated": True,
                }
        self.engine.reset(over)

    def _dones(self, record: StepRecord) -> BoolArray:
        return np.repeat(record.truncated, self.agents)

    def _observations(self) -> Float32Array:
        return self.engine.observe().reshape(self.num_envs, -1)

    def get_state(self) -> dict[str, AnyArray]:
        """All that is needed to continue bit-identically: plain arrays over the lanes."""
        return self.engine.get_state()

    def set_state(self, arrays: dict[str, AnyArray]) -> None:
        """Go back to a state that :meth:`get_state` gave, here or on the SuperSuit path.

        Raises:
            StateError: If the arrays do not fit this environment.
        """
        self.engine.set_state(arrays)

    def close(self) -> None:
        """Nothing is held open."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute of this environment, once per index: all sub-environments share it."""
        value = getattr(self, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of this environment, for all sub-environments at once."""
        del indices
        setattr(self, attr_name, value)

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: VecEnvIndices = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Call a method of this environment once and return its result for every index.

        Of ``action_masks`` every index gets its own row.
        """
        result = getattr(self, method_name)(*method_args, **method_kwargs)
        chosen = self._get_indices(indices)
        # The one method whose result differs between sub-environments.
        by_index = method_name == "action_masks"
        return [result[index] if by_index else result for index in chosen]

    def env_is_wrapped(
        self,
        wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]],
        indices: VecEnvIndices = None,
    ) -> list[bool]:
        """Sub-environments are never wrapped."""
        del wrapper_class
        return [False for _ in self._get_indices(indices)]

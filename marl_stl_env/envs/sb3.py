"""The native Stable-Baselines3 view: every sensor of every lane is one sub-environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from marl_stl_env.config import EnvConfig, make_config
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.state import StepRecord
from marl_stl_env.envs.base import LANES_SHOWN, SharedAttributes, TeamVecEnv, check_pictures
from marl_stl_env.envs.describe import describe
from marl_stl_env.envs.infos import VectorInfos, step_infos
from marl_stl_env.envs.spaces import action_space, observation_space
from marl_stl_env.errors import ResetNeededError
from marl_stl_env.rendering import LaneRenderers
from marl_stl_env.types import AnyArray, BoolArray, Float32Array, as_integers
from marl_stl_env.validation import check_count


class TrafficVecEnv(SharedAttributes, TeamVecEnv):
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
        render_mode: "rgb_array" lets ``render()`` tile pictures of the first four lanes; or None.
        copy: False writes observations into two arrays in turn, and reuses infos: what a step
            returned is good until the step after the next, and not to be written into. That is
            all that Stable-Baselines3's trainers and wrappers need, and up to twice as fast.

    Attributes:
        engine: The engine behind this view.
    """

    def __init__(
        self,
        config: EnvConfig | None = None,
        lanes: int = 256,
        seed: int | None = None,
        table: TrafficTable | PreparedData | None = None,
        render_mode: str | None = None,
        *,
        copy: bool = True,
    ) -> None:
        check_count("lanes", lanes, 2**24)
        check_pictures(render_mode)
        self.config = make_config(config, {})
        self.engine = self._make_engine(lanes, seed, table)
        self.render_mode = render_mode
        self._shown: LaneRenderers | None = None
        if render_mode is not None:
            self._shown = LaneRenderers(self.engine, render_mode, min(lanes, LANES_SHOWN))
        self._actions: AnyArray | None = None
        self._infos = VectorInfos(self.engine, copy=copy)
        self._copy, self._buffers = copy, list[Float32Array]()
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
        if self._shown is not None:
            self._shown.reset()
        self.reset_infos = self._infos.next()
        return self._observations()

    def step_async(self, actions: AnyArray) -> None:
        """Take the actions for the next :meth:`step_wait`.

        Args:
            actions: Action of each sensor.  # (lanes * agents,) integer

        Raises:
            InvalidActionError: If the actions have the wrong shape or type.
        """
        self._actions = as_integers(actions, (self.num_envs,)).reshape(self.lanes, self.agents)

    def step_wait(self) -> VecEnvStepReturn:
        """Evaluate the current event of every lane.

        Returns:
            Observations (lanes * agents, width) float32, rewards (lanes * agents,) float32,
            dones (lanes * agents,) bool and a list of infos.

        Raises:
            ResetNeededError: If no actions were given, or before the first reset.
            InvalidActionError: If one of the actions is none.
        """
        if self._actions is None:
            raise ResetNeededError("step_wait() needs the actions of step_async() first")
        record, self._actions = self._evaluate(self._actions), None
        if self._shown is not None:
            self._shown.step()
        infos = self._infos.after_step()
        if record.truncated.any():
            self._end_episodes(record.truncated, infos)
        rewards = record.rewards.flatten() if self._copy else record.rewards.reshape(-1)
        return self._observations(), rewards, self._dones(record), infos

    def _make_engine(
        self, lanes: int, seed: int | None, table: TrafficTable | PreparedData | None
    ) -> Engine:
        """The engine behind this view."""
        return Engine.from_config(self.config, lanes, seed, table)

    def _evaluate(self, actions: AnyArray) -> StepRecord:
        """Step with the actions of all sensors.  # (lanes, agents) integer."""
        return self.engine.step(actions)

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
        if self._shown is not None:
            self._shown.reset(over)

    def _dones(self, record: StepRecord) -> BoolArray:
        return np.repeat(record.truncated, self.agents)

    def _observations(self) -> Float32Array:
        if self._copy:
            return self.engine.observe().reshape(self.num_envs, -1)
        if len(self._buffers) < 2:
            self._buffers.append(self.engine.observe())
        else:
            self._buffers.append(self.engine.observe(self._buffers.pop(0)))
        return self._buffers[-1].reshape(self.num_envs, -1)

    def get_state(self) -> dict[str, AnyArray]:
        """All that is needed to continue bit-identically: plain arrays over the lanes."""
        return self.engine.get_state()

    def set_state(self, arrays: dict[str, AnyArray]) -> None:
        """Go back to a state that :meth:`get_state` gave, here or on the SuperSuit path.

        Raises:
            StateError: If the arrays do not fit this environment.
        """
        self.engine.set_state(arrays)
        self._actions = None
        if self._shown is not None:
            self._shown.reset()

    def _pictures(self) -> list[NDArray[np.uint8] | None]:
        if self._shown is None:
            return []
        return [frame for frame in self._shown.render() if not isinstance(frame, str)]

    def __repr__(self) -> str:
        """Class, data, lanes, sensors, and what differs from the default."""
        return describe(self, self.engine, lanes=self.lanes)

    def close(self) -> None:
        """Nothing is held open."""

"""The native Stable-Baselines3 view: every agent of every lane is one sub-environment."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
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
from marl_stl_env.envs.infos import Info, VectorInfos, step_infos
from marl_stl_env.envs.spaces import action_space, observation_space
from marl_stl_env.errors import ResetNeededError
from marl_stl_env.rendering import LaneRenderers
from marl_stl_env.types import AnyArray, BoolArray, Float32Array, as_integers
from marl_stl_env.validation import check_count


class LanesVecEnv(SharedAttributes):
    """One batched engine whose sub-environment ``lane * agents + agent`` is an agent of a lane.

    Attributes:
        engine: The engine behind this view.
        lanes: Independent copies of the stream.
        agents: Agents of a lane.
    """

    engine: Engine
    lanes: int
    agents: int
    _actions: AnyArray | None = None

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
        self._begun(None)
        self.reset_infos = self._next_infos()
        return self._observations()

    def step_async(self, actions: AnyArray) -> None:
        """Take the actions for the next :meth:`step_wait`.

        Args:
            actions: Action of each agent.  # (lanes * agents,) integer

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
        self._stepped()
        infos = self._step_infos()
        if record.truncated.any():
            self._end_episodes(record.truncated, infos)
        dones = np.repeat(record.truncated, self.agents)
        return self._observations(), self._rewards(record), dones, infos

    def get_state(self) -> dict[str, AnyArray]:
        """All that is needed to continue bit-identically: plain arrays over the lanes."""
        return self.engine.get_state()

    def set_state(self, arrays: dict[str, AnyArray]) -> None:
        """Go back to a state that :meth:`get_state` gave, here or in another view of these lanes.

        Raises:
            StateError: If the arrays do not fit this environment.
        """
        self.engine.set_state(arrays)
        self._actions = None
        self._begun(None)

    def close(self) -> None:
        """Nothing is held open."""

    @abstractmethod
    def _evaluate(self, actions: AnyArray) -> StepRecord:
        """Step with the actions of all agents.  # (lanes, agents) integer."""

    @abstractmethod
    def _rewards(self, record: StepRecord) -> Float32Array:
        """Rewards of the last step.  # (lanes * agents,) float32."""

    @abstractmethod
    def _facts(self, lane: int) -> Iterable[Info]:
        """The facts of a lane's last step, agent by agent."""

    @abstractmethod
    def _seen(self) -> Float32Array:
        """What all agents see now, in a fresh array.  # (lanes, agents, width) float32."""

    def _observations(self) -> Float32Array:
        return self._seen().reshape(self.num_envs, -1)

    def _next_infos(self) -> list[dict[str, Any]]:
        return [{} for _ in range(self.num_envs)]

    def _step_infos(self) -> list[dict[str, Any]]:
        return self._next_infos()

    def _begun(self, mask: BoolArray | None) -> None:
        """The masked lanes, all without a mask, stand elsewhere."""

    def _stepped(self) -> None:
        """All lanes made a step."""

    def _end_episodes(self, over: BoolArray, infos: list[dict[str, Any]]) -> None:
        last = self._seen()
        for lane in np.flatnonzero(over).tolist():
            for agent, facts in enumerate(self._facts(lane)):
                infos[lane * self.agents + agent] = {
                    **facts,
                    "terminal_observation": last[lane, agent],
                    "TimeLimit.truncated": True,
                }
        self.engine.reset(over)
        self._begun(over)


class TrafficVecEnv(LanesVecEnv, TeamVecEnv):
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
        self._infos = VectorInfos(self.engine, copy=copy)
        self._copy, self._buffers = copy, list[Float32Array]()
        super().__init__(lanes, self.config.agents, observation_space(self.engine), action_space())

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

    def _rewards(self, record: StepRecord) -> Float32Array:
        return record.rewards.flatten() if self._copy else record.rewards.reshape(-1)

    def _facts(self, lane: int) -> Iterable[Info]:
        return step_infos(self.engine, lane)

    def _seen(self) -> Float32Array:
        return self.engine.observe()

    def _next_infos(self) -> list[dict[str, Any]]:
        return self._infos.next()

    def _step_infos(self) -> list[dict[str, Any]]:
        return self._infos.after_step()

    def _begun(self, mask: BoolArray | None) -> None:
        if self._shown is not None:
            self._shown.reset(mask)

    def _stepped(self) -> None:
        if self._shown is not None:
            self._shown.step()

    def _observations(self) -> Float32Array:
        if self._copy:
            return super()._observations()
        if len(self._buffers) < 2:
            self._buffers.append(self.engine.observe())
        else:
            self._buffers.append(self.engine.observe(self._buffers.pop(0)))
        return self._buffers[-1].reshape(self.num_envs, -1)

    def _pictures(self) -> list[NDArray[np.uint8] | None]:
        if self._shown is None:
            return []
        return [frame for frame in self._shown.render() if not isinstance(frame, str)]

    def __repr__(self) -> str:
        """Class, data, lanes, sensors, and what differs from the default."""
        return describe(self, self.engine, lanes=self.lanes)

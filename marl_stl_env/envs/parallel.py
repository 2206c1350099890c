"""The PettingZoo view of one lane."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from marl_stl_env.config import EnvConfig, make_config
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.state import StepRecord
from marl_stl_env.envs.describe import describe
from marl_stl_env.envs.dynamics import NAMES
from marl_stl_env.envs.infos import Info, reset_info, step_infos
from marl_stl_env.envs.spaces import action_space, observation_space, state_space
from marl_stl_env.errors import InvalidActionError, ResetNeededError
from marl_stl_env.rendering import RENDER_FPS, RENDER_MODES, Renderer
from marl_stl_env.types import AnyArray, BoolArray, Float32Array, as_actions, as_integers

_PerAgent = dict[str, Float32Array]


class TrafficParallelEnv(ParallelEnv[str, Float32Array, int]):
    """A team of sensors watches one stream of events; all act at once.

    Every sensor sees its own part of the current event and answers with an
    :class:`~marl_stl_env.types.Action`; the team's decision follows from the vote. The episode
    always ends by truncation, for all sensors together.

    Args:
        config: The environment.
        table: Prepared data, or a raw table, in place of what ``config.data`` names.
        render_mode: "ansi", "rgb_array", "human" or None.

    Attributes:
        engine: The engine behind this view; ``engine.last`` holds the last step's arrays.
    """

    metadata = {  # noqa: RUF012
        "name": NAMES["replay"],
        "render_modes": [*RENDER_MODES],
        "render_fps": RENDER_FPS,
        "is_parallelizable": True,
    }

    def __init__(
        self,
        config: EnvConfig | None = None,
        *,
        table: TrafficTable | PreparedData | None = None,
        render_mode: str | None = None,
    ) -> None:
        self.config = make_config(config, {})
        self.metadata = {**self.metadata, "name": NAMES[self.config.dynamics]}
        self.render_mode = render_mode
        self.engine = self._make_engine(table)
        self._renderer = Renderer(self.engine, render_mode) if render_mode is not None else None
        self.possible_agents = [f"sensor_{i}" for i in range(self.config.agents)]
        # Some libraries read the agents before the first reset.
        self.agents = list(self.possible_agents)
        self.observation_spaces = {
            agent: observation_space(self.engine) for agent in self.possible_agents
        }
        self.action_spaces = {agent: action_space() for agent in self.possible_agents}
        self.state_space = state_space(self.engine)
        self._running = self._warned = False
        self._np_random: np.random.Generator | None = None
        self._np_random_seed: int | None = None

    @property
    def np_random(self) -> np.random.Generator:
        """Seeded by ``reset(seed=)``; for wrappers, the environment draws nothing from it."""
        if self._np_random is None:
            self._np_random, self._np_random_seed = seeding.np_random()
        return self._np_random

    @property
    def np_random_seed(self) -> int | None:
        """The seed of :attr:`np_random`; None before there is one."""
        return self._np_random_seed

    @property
    def observation_layout(self) -> tuple[str, ...]:
        """The name of each column of an observation."""
        return self.engine.observations.layout

    def observation_space(self, agent: str) -> spaces.Box:
        """The space of this sensor's observations, always the same object."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Discrete:
        """The space of this sensor's actions, always the same object."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[_PerAgent, dict[str, Info]]:
        """Begin an episode.

        Args:
            seed: Starts the lane's random stream anew; None goes on with it.
            options: Not used.

        Returns:
            Observation (width,) float32 and info of every sensor, by name; the columns of an
            observation are those of :attr:`observation_layout`.

        Raises:
            ConfigError: If the seed is not a non-negative integer.
        """
        del options
        if seed is not None:
            self.engine.seed(seed)
            self._np_random, self._np_random_seed = seeding.np_random(int(seed))
        self.engine.reset()
        self.agents = list(self.possible_agents)
        self._running = True
        if self._renderer is not None:
            self._renderer.reset()
        return self._observations(), self._reset_infos()

    def step(
        self, actions: dict[str, int]
    ) -> tuple[
        _PerAgent, dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]
    ]:
        """Evaluate the current event.

        Args:
            actions: Every sensor's name to its action, an integer from 0 to 3.

        Returns:
            Of every sensor, by name: observation of the next event (width,) float32, reward
            (float), termination (always False), truncation (bool) and info (see
            :mod:`marl_stl_env.envs.infos`).

        Raises:
            ResetNeededError: If no episode is running.
            InvalidActionError: If a sensor is missing or unknown, or an action is not one.
        """
        if not self._running:
            raise ResetNeededError("no episode is running; call reset() before step()")
        if not isinstance(actions, Mapping):
            raise InvalidActionError(
                f"actions must map each of {self.agents} to an action, not {actions!r:.80}"
            )
        if actions.keys() != self.action_spaces.keys():
            raise InvalidActionError(
                f"actions must name the sensors {self.agents}, not {list(actions)!r:.200}"
            )
        chosen = as_integers([actions[agent] for agent in self.agents], (len(self.agents),))
        record = self._evaluate(chosen)
        if self._renderer is not None:
            self._renderer.step()
        agents, over = self.agents, bool(record.truncated[0])
        observations = self._observations()
        infos: dict[str, dict[str, Any]] = dict(zip(agents, self._step_infos(), strict=True))
        if over:
            self.agents, self._running = [], False
        return (
            observations,
            dict(zip(agents, self._rewards(record), strict=True)),
            dict.fromkeys(agents, False),
            dict.fromkeys(agents, over),
            infos,
        )

    def state(self) -> Float32Array:
        """What the team as a whole could see: for critics that are trained centrally.

        Returns:
            All features of the current event, then what all sensors share (``state_space`` has the
            bounds), in a fresh array.  # (features + shared,) float32
        """
        state: Float32Array = self.engine.global_state()[0]
        return state

    def action_masks(self) -> BoolArray:
        """The actions that the shield allows every sensor on the current event.

        Allow and Block always are; without a shield, and in a proposal round, all are.

        Returns:
            False for masked actions.  # (4,) bool
        """
        mask: BoolArray = self.engine.action_mask[0].copy()
        return mask

    def get_state(self) -> dict[str, AnyArray]:
        """All that is needed to continue bit-identically, as plain arrays of one lane."""
        return self.engine.get_state()

    def set_state(self, arrays: dict[str, AnyArray]) -> None:
        """Go back to a state that :meth:`get_state` gave.

        Raises:
            StateError: If the arrays do not fit this environment.
        """
        self.engine.set_state(arrays)
        self._running = bool((arrays["positions"] < arrays["ends"]).all())
        self.agents = list(self.possible_agents) if self._running else []
        if self._renderer is not None:
            self._renderer.reset(int(arrays["positions"][0] - arrays["starts"][0]))

    def __getstate__(self) -> dict[str, Any]:
        """What a copy is made of; SuperSuit's own copies are warned of once."""
        if not self._warned:
            self._warned = _warn_of_copies()
        return self.__dict__

    def __repr__(self) -> str:
        """Class, data, sensors, and what differs from the default."""
        return describe(self, self.engine)

    def render(self) -> str | NDArray[np.uint8] | None:
        """What the render mode shows; see :class:`~marl_stl_env.rendering.Renderer`."""
        return None if self._renderer is None else self._renderer.render()

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._renderer is not None:
            self._renderer.close()

    def checked_action(self, agent: str, action: Any) -> None:
        """Refuse what is no action of this agent.

        Raises:
            InvalidActionError: If it is none.
        """
        del agent
        as_actions(action, ())

    def _make_engine(self, table: TrafficTable | PreparedData | None) -> Engine:
        """The engine behind this view, of one lane."""
        return Engine.from_config(self.config, lanes=1, table=table)

    def _evaluate(self, chosen: AnyArray) -> StepRecord:
        """Step with the actions of all agents.  # (agents,) integer."""
        return self.engine.step(chosen[None])

    def _rewards(self, record: StepRecord) -> list[float]:
        """The reward of every agent."""
        rewards: list[float] = record.rewards[0].tolist()
        return rewards

    def _reset_infos(self) -> dict[str, Info]:
        """The infos before the first step."""
        return {agent: reset_info(self.engine) for agent in self.agents}

    def _step_infos(self) -> Iterable[Info]:
        """The facts of the last step, agent by agent."""
        return step_infos(self.engine, 0)

    def _observations(self) -> _PerAgent:
        return dict(zip(self.possible_agents, self.engine.observe()[0], strict=True))


def _warn_of_copies() -> bool:
    """Warn if SuperSuit's ``concat_vec_envs_v1`` is what copies the environment; whether it was.

    It says nothing itself, and what is wrong with its vector shows in no error either.
    """
    frame, depth = inspect.currentframe(), 0
    inside = False
    while frame is not None:
        of_supersuit = frame.f_globals.get("__name__", "").startswith("supersuit.")
        if inside and not of_supersuit:
            break  # who called it
        inside, frame, depth = of_supersuit or inside, frame.f_back, depth + 1
    if inside:
        warnings.warn(
            "SuperSuit's concat_vec_envs_v1 copies this environment with its random stream, gives "
            "dones as uint8, with which VecNormalize goes wrong, and tells no time limit; use "
            "marl_stl_env.envs.supersuit.SuperSuitVecEnv (or supersuit_vec_env), which repairs "
            "that, or TrafficVecEnv, which is faster",
            stacklevel=depth + 1,
        )
    return inside


def parallel_env(
    config: EnvConfig | None = None,
    *,
    table: TrafficTable | PreparedData | None = None,
    render_mode: str | None = None,
    **settings: Any,
) -> TrafficParallelEnv:
    """The PettingZoo parallel environment.

    Args:
        config: The environment; None is the default one.
        table: Prepared data, or a raw table, in place of what ``config.data`` names.
        render_mode: "ansi", "rgb_array", "human" or None.
        **settings: Fields of :class:`~marl_stl_env.config.EnvConfig` to replace.

    Raises:
        ConfigError: If a setting is not valid.
        DataError: If the data cannot be read, split or scaled.
    """
    return TrafficParallelEnv(make_config(config, settings), table=table, render_mode=render_mode)

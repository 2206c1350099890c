"""The Gymnasium view of one lane with one analyst who sees everything."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from marl_stl_env.config import EnvConfig, make_config
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.state import StepRecord
from marl_stl_env.envs.describe import describe
from marl_stl_env.envs.infos import Info, reset_info, step_infos
from marl_stl_env.envs.spaces import action_space, observation_space
from marl_stl_env.envs.spec import HasPlainSpec
from marl_stl_env.errors import ConfigError, ResetNeededError
from marl_stl_env.rendering import RENDER_FPS, RENDER_MODES, Renderer
from marl_stl_env.types import AnyArray, BoolArray, Float32Array, as_integers

#: Gymnasium's ``max_episode_steps`` for "no time limit".
_NO_LIMIT = -1


def analyst_config(
    config: EnvConfig | None, settings: dict[str, Any], max_episode_steps: int | None = None
) -> EnvConfig:
    """The configuration of one analyst who sees every view.

    Args:
        config: Where to start; None starts from the defaults.
        settings: Fields to replace.
        max_episode_steps: Replaces ``episode_length``; None and -1 leave it.

    Raises:
        ConfigError: If several agents or partial views are asked for, or a setting is not valid.
    """
    for name, only in (("agents", 1), ("views", "full")):
        if settings.get(name, only) != only:
            raise ConfigError(
                f"{name}={settings[name]!r}: the Gymnasium environment has one analyst who sees "
                f"every view ({name}={only!r}); use marl_stl_env.parallel_env for a team"
            )
    return limited(config, {**settings, "agents": 1, "views": "full"}, max_episode_steps)


def limited(
    config: EnvConfig | None, settings: dict[str, Any], max_episode_steps: int | None
) -> EnvConfig:
    """A configuration with Gymnasium's limit of an episode; None and -1 leave the length."""
    unlimited = isinstance(max_episode_steps, int) and max_episode_steps == _NO_LIMIT
    if max_episode_steps is not None and not unlimited:
        settings = {**settings, "episode_length": max_episode_steps}
    return make_config(config, settings)


class TrafficEnv(HasPlainSpec, gymnasium.Env[AnyArray, np.int64]):
    """One analyst evaluates a stream of events, one event a step.

    ## Description
    Labelled events are replayed; the analyst lets each pass (Allow, Alert) or stops it (Block,
    Quarantine). In ``Traffic-v0`` every event stands alone: this is a contextual bandit, and a
    discount near 0 is the right one. In ``TrafficResponse-v0`` quarantines last and alerts buy
    verdicts; ``docs/guide/environment.md`` has the rules.

    ## Action space
    ``Discrete(4)``: 0 Allow, 1 Block, 2 Quarantine, 3 Alert.

    ## Observation space
    ``Box((width,), float32)``: the event's scaled features in [-5, 5], a constant 1 and, in a
    response, what is known of the event's entity; ``observation_layout`` names the columns.

    ## Rewards
    +10 for a threat stopped, +1 for a benign event passed, -8 for a benign event stopped, -10 for
    a threat passed (:class:`~marl_stl_env.config.RewardConfig`), minus the action's cost.

    ## Episode end
    Never a termination; truncation after ``episode_length`` events.

    Args:
        config: The environment; ``agents`` and ``views`` are fixed.
        table: Prepared data, or a raw table, in place of what ``config.data`` names.
        render_mode: "ansi", "rgb_array", "human" or None.
        max_episode_steps: Replaces ``episode_length``; None and -1 leave it.
        **settings: Fields of :class:`~marl_stl_env.config.EnvConfig` to replace.

    ## Version history
    * v0: first version.
    """

    metadata = {"render_modes": [*RENDER_MODES], "render_fps": RENDER_FPS}  # noqa: RUF012

    def __init__(
        self,
        config: EnvConfig | None = None,
        *,
        table: TrafficTable | PreparedData | None = None,
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        **settings: Any,
    ) -> None:
        self.config = self._configured(config, settings, max_episode_steps)
        self.render_mode = render_mode
        self.engine = self._make_engine(table)
        self._renderer = Renderer(self.engine, render_mode) if render_mode is not None else None
        self.observation_space, self.action_space = self._spaces()
        self._running = False

    @property
    def observation_layout(self) -> tuple[str, ...]:
        """The name of each column of an observation."""
        return self.engine.observations.layout

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, Info]:
        """Begin an episode.

        Args:
            seed: Starts the random stream anew; None goes on with it.
            options: Not used.

        Returns:
            Observation (width,) float32 and info.

        Raises:
            ConfigError: If the seed is not a non-negative integer.
        """
        if seed is not None:
            self.engine.seed(seed)
            seed = int(seed)
        super().reset(seed=seed, options=options)
        self.engine.reset()
        self._running = True
        if self._renderer is not None:
            self._renderer.reset()
        return self._observation(), self._reset_info()

    def step(self, action: np.int64) -> tuple[Float32Array, float, bool, bool, dict[str, Any]]:
        """Evaluate the current event.

        Args:
            action: From 0 to 3.

        Returns:
            Observation of the next event (width,) float32, reward (float), termination (always
            False), truncation (bool) and info (see :mod:`marl_stl_env.envs.infos`).

        Raises:
            ResetNeededError: If no episode is running.
            InvalidActionError: If the action is not one.
        """
        if not self._running:
            raise ResetNeededError("no episode is running; call reset() before step()")
        record, reward = self._evaluate(as_integers(action, ()).reshape(1, 1))
        if self._renderer is not None:
            self._renderer.step()
        over = bool(record.truncated[0])
        self._running = not over
        return self._observation(), reward, False, over, self._step_info()

    def action_masks(self) -> BoolArray:
        """The actions that the shield allows on the current event, as sb3-contrib asks for them.

        Returns:
            False for masked actions, never for Allow and Block.  # (4,) bool
        """
        mask: BoolArray = self.engine.action_mask[0].copy()
        return mask

    def __repr__(self) -> str:
        """Class, data, what differs from the default, and Gymnasium's id where it has one."""
        return describe(self, self.engine, id=None if self.spec is None else self.spec.id)

    def render(self) -> Any:
        """What the render mode shows; see :class:`~marl_stl_env.rendering.Renderer`."""
        return None if self._renderer is None else self._renderer.render()

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._renderer is not None:
            self._renderer.close()

    def _configured(
        self, config: EnvConfig | None, settings: dict[str, Any], max_episode_steps: int | None
    ) -> EnvConfig:
        return analyst_config(config, settings, max_episode_steps)

    def _make_engine(self, table: TrafficTable | PreparedData | None) -> Engine:
        return Engine.from_config(self.config, lanes=1, table=table)

    def _spaces(self) -> tuple[spaces.Box, spaces.Discrete]:
        """The spaces of observations and actions."""
        return observation_space(self.engine), action_space()

    def _observation(self) -> Float32Array:
        observation: Float32Array = self.engine.observe()[0, 0]
        return observation

    def _evaluate(self, action: AnyArray) -> tuple[StepRecord, float]:
        """Step with one action (1, 1) integer; the record and the reward of who acts."""
        record = self.engine.step(action)
        return record, float(record.rewards[0, 0])

    def _reset_info(self) -> Info:
        return reset_info(self.engine)

    def _step_info(self) -> Info:
        return next(step_infos(self.engine, 0))

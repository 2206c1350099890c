"""The Gymnasium vector view: many lanes, each with one analyst who sees everything."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from marl_stl_env.config import EnvConfig
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.state import StepRecord
from marl_stl_env.envs.describe import describe
from marl_stl_env.envs.infos import costs_by_name
from marl_stl_env.envs.single import analyst_config
from marl_stl_env.envs.spaces import action_space, observation_space
from marl_stl_env.envs.spec import HasPlainSpec
from marl_stl_env.errors import ConfigError, ResetNeededError, UnknownNameError
from marl_stl_env.rendering import RENDER_FPS, RENDER_MODES, LaneRenderers
from marl_stl_env.types import AnyArray, BoolArray, Float32Array, IntArray, as_actions, as_integers
from marl_stl_env.validation import check_count

_MODES = {mode.value: mode for mode in AutoresetMode}


class TrafficVectorEnv(HasPlainSpec, VectorEnv[Float32Array, IntArray, AnyArray]):
    """Lane i of ``reset(seed=s)`` equals ``TrafficEnv`` reset with ``seed=s + i``.

    Args:
        num_envs: Lanes.
        config: The environment; ``agents`` and ``views`` are fixed.
        table: Prepared data, or a raw table, in place of what ``config.data`` names.
        render_mode: "ansi" or "rgb_array" lets ``render()`` give one frame for each lane, "human"
            shows lane 0 in a window; or None.
        max_episode_steps: Replaces ``episode_length``; None and -1 leave it.
        autoreset_mode: What happens after an episode's last event: "NextStep" (the next step's
            action is ignored and returns the new episode's first observation), "SameStep" (the
            last step returns it, with the last observation in ``infos["final_obs"]``) or
            "Disabled" (call ``reset(options={"reset_mask": mask})``).
        **settings: Fields of :class:`~marl_stl_env.config.EnvConfig` to replace.
    """

    def __init__(
        self,
        num_envs: int = 1,
        config: EnvConfig | None = None,
        *,
        table: TrafficTable | PreparedData | None = None,
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **settings: Any,
    ) -> None:
        check_count("num_envs", num_envs, 2**24)
        self._mode = _autoreset_mode(autoreset_mode)
        self.metadata = {
            "render_modes": [*RENDER_MODES],
            "render_fps": RENDER_FPS,
            "autoreset_mode": self._mode,
        }
        self.config = analyst_config(config, settings, max_episode_steps)
        self.render_mode = render_mode
        self.num_envs = num_envs
        self.engine = Engine.from_config(self.config, lanes=num_envs, table=table)
        self._shown: LaneRenderers | None = None
        if render_mode is not None:
            self._shown = LaneRenderers(self.engine, render_mode, num_envs)
        self.single_observation_space = observation_space(self.engine)
        self.single_action_space = action_space()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._over: BoolArray = np.ones(num_envs, dtype=np.bool_)
        self._started = False

    @property
    def observation_layout(self) -> tuple[str, ...]:
        """The name of each column of an observation."""
        return self.engine.observations.layout

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, dict[str, Any]]:
        """Begin an episode in every lane, or in those of ``options["reset_mask"]``.

        Args:
            seed: One seed s (lane i gets s + i) or one per lane; None goes on.
            options: ``{"reset_mask": (lanes,) bool}`` resets only some lanes, without a seed.

        Returns:
            Observations (lanes, width) float32; with a shield the ``action_mask`` (lanes, 4) int8.

        Raises:
            ConfigError: If the mask or the seeds are malformed.
        """
        mask = self._reset_mask(seed, options)
        if seed is not None:
            self.engine.seed(seed)  # type: ignore[arg-type] # a None among them is refused there
            super().reset(seed=int(np.asarray(seed).flat[0]))
        self._reset_lanes(mask)
        self._over = self._over & ~mask
        self._started = True
        return self._observations(), self._masks()

    def step(
        self, actions: IntArray
    ) -> tuple[Float32Array, AnyArray, AnyArray, AnyArray, dict[str, Any]]:
        """Evaluate the current event of every lane.

        Args:
            actions: One action per lane.  # (lanes,) integer

        Returns:
            Observations (lanes, width) float32, rewards (lanes,) float32, terminations and
            truncations (lanes,) bool, and infos as arrays: ``label``, ``family``, ``decision``,
            ``decision_vote``, ``isolated`` and costs, with ``_label`` and so on marking the lanes
            they hold for; with a shield the ``action_mask`` of the events to come, too.

        Raises:
            ResetNeededError: Before the first reset, or after an episode's end with "Disabled".
            InvalidActionError: If the actions have the wrong shape, type or values.
        """
        waiting = self._over
        if not self._started or (self._mode is AutoresetMode.DISABLED and waiting.any()):
            raise ResetNeededError("an episode is over or never began; call reset() before step()")
        chosen = as_integers(actions, (self.num_envs,))
        if waiting.all():
            as_actions(chosen, (self.num_envs,))
            self._reset_lanes(waiting)
            self._over = self._none()
            rewards = np.zeros(self.num_envs, np.float32)
            return self._observations(), rewards, self._none(), self._none(), self._masks()
        record = self.engine.step(chosen[:, None])
        if self._shown is not None:
            self._shown.step(~waiting)
        if waiting.any():
            self._reset_lanes(waiting)
        infos = self._infos(record, ~waiting)
        rewards = np.where(waiting, np.float32(0.0), record.rewards[:, 0])
        truncated = record.truncated & ~waiting
        self._over = truncated
        if self._mode is AutoresetMode.SAME_STEP and truncated.any():
            infos |= self._final(record, truncated)
            self._reset_lanes(truncated)
            self._over = self._none()
        observations = self._observations()
        return observations, rewards, self._none(), truncated.copy(), infos | self._masks()

    def render(self) -> tuple[Any, ...] | None:
        """Text, or pixels (height, width, 3) uint8, of each lane; None where nothing is returned.

        Raises:
            ResetNeededError: Before the first reset.
        """
        frames = None if self._shown is None else self._shown.render()
        return None if self.render_mode == "human" else frames

    def close_extras(self, **settings: Any) -> None:
        """Close the window, if there is one."""
        del settings
        if self._shown is not None:
            self._shown.close()

    def __repr__(self) -> str:
        """Class, data, lanes, what differs from the default, and the id where it has one."""
        name = None if self.spec is None else self.spec.id
        return describe(self, self.engine, id=name, num_envs=self.num_envs)

    def _none(self) -> BoolArray:
        return np.zeros(self.num_envs, dtype=np.bool_)

    def _reset_lanes(self, mask: BoolArray) -> None:
        self.engine.reset(mask)
        if self._shown is not None:
            self._shown.reset(mask)

    def _observations(self) -> Float32Array:
        return self.engine.observe()[:, 0]

    def _infos(self, record: StepRecord, lanes: BoolArray) -> dict[str, Any]:
        """The facts of a step, each beside a mask of the lanes that it holds for."""
        facts = {
            "label": record.labels.astype(np.int64),
            "family": self.engine.table.families[record.rows].astype(np.int64),
            "decision": record.decisions.astype(np.int64),
            "decision_vote": record.decision_votes.astype(np.int64),
            "isolated": record.isolated.astype(np.int64),
        }
        facts |= costs_by_name(self.engine)
        return facts | {f"_{name}": lanes.copy() for name in facts}

    def _masks(self) -> dict[str, Any]:
        """The ``action_mask`` of the events to come; nothing without a shield."""
        if not self.config.stl.shield:
            return {}
        every = np.ones(self.num_envs, dtype=np.bool_)
        return {"action_mask": self.action_masks().astype(np.int8), "_action_mask": every}

    def action_masks(self) -> BoolArray:
        """The actions that the shield allows on the current events.

        Returns:
            False for masked actions, never for Allow and Block.  # (lanes, 4) bool
        """
        return self.engine.action_mask.copy()

    def _final(self, record: StepRecord, truncated: BoolArray) -> dict[str, Any]:
        observations = np.full(self.num_envs, None, dtype=object)
        for lane, observation in zip(
            np.flatnonzero(truncated), self._observations()[truncated], strict=True
        ):
            observations[lane] = observation
        return {
            "final_obs": observations,
            "_final_obs": truncated.copy(),
            "final_info": self._infos(record, truncated),
            "_final_info": truncated.copy(),
        }

    def _reset_mask(
        self, seed: int | list[int | None] | None, options: dict[str, Any] | None
    ) -> BoolArray:
        if options is None or "reset_mask" not in options:
            return np.ones(self.num_envs, dtype=np.bool_)
        mask = np.asarray(options["reset_mask"])
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
            raise ConfigError(
                f"reset_mask must be ({self.num_envs},) bool with at least one True, not "
                f"{mask.dtype} of shape {mask.shape}"
            )
        if seed is not None:
            raise ConfigError("a seed applies to all lanes: reset with a seed or with a mask")
        return mask


def _autoreset_mode(mode: AutoresetMode | str) -> AutoresetMode:
    if isinstance(mode, AutoresetMode):
        return mode
    if not isinstance(mode, str) or mode not in _MODES:
        raise UnknownNameError("autoreset_mode", mode, _MODES)
    return _MODES[mode]

"""What both Stable-Baselines3 views share: their lanes, and the last step as a typed record."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.state import StepRecord
from marl_stl_env.envs.infos import last_record
from marl_stl_env.errors import ConfigError
from marl_stl_env.rendering import RENDER_FPS
from marl_stl_env.stl.specs import Specification
from marl_stl_env.types import AnyArray, BoolArray, Float32Array, IntArray

#: Lanes in the picture of a vector environment, which Stable-Baselines3 tiles.
LANES_SHOWN = 4
_PICTURES = "rgb_array"


@dataclass(frozen=True, eq=False)
class LastStep:
    """The facts of a step that a trainer needs and that rewards and infos do not carry.

    Attributes:
        honest: Whether each sensor was honest.  # (lanes * agents,) bool
        voting: Whether the step was a vote and not a proposal.  # (lanes * agents,) bool
        entities: The entity of the evaluated event; None where the table names no entities.
            # (lanes * agents,) int64
        violated: Whether each specification is violated, at an episode's end too.
            # (lanes, specifications) bool
        newly_violated: Whether this step violated it.  # (lanes, specifications) bool
        robustness: The least robustness of the episode so far, +inf before the first instant that
            counts.  # (lanes, specifications) float32
        action_mask: The actions that the shield allowed on the evaluated event; all without one.
            # (lanes * agents, 4) bool
        shielded: Whether the shield replaced the decision of the vote.  # (lanes,) bool
    """

    honest: BoolArray
    voting: BoolArray
    entities: IntArray | None
    violated: BoolArray
    newly_violated: BoolArray
    robustness: Float32Array
    action_mask: BoolArray
    shielded: BoolArray

    def __repr__(self) -> str:
        """Counts over the sub-environments, in one line."""
        return (
            f"LastStep({len(self.honest)} sensors in {len(self.shielded)} lanes: "
            f"{int(self.honest.sum())} honest, {int(self.voting.sum())} voting, "
            f"{int(self.newly_violated.sum())} new violations, {int(self.shielded.sum())} lanes "
            "shielded)"
        )

    @classmethod
    def of(cls, engines: Sequence[Engine]) -> LastStep:
        """The last step of engines that are stepped side by side.

        Raises:
            ResetNeededError: If there was none.
        """
        records = [last_record(engine) for engine in engines]
        agents = records[0].actions.shape[1]
        return cls(
            honest=~_joined(records, "faulty").ravel(),
            voting=np.repeat(_joined(records, "voting"), agents),
            entities=_entities(engines, agents),
            violated=_joined(records, "violated"),
            newly_violated=_joined(records, "newly_violated"),
            robustness=_joined(records, "robustness"),
            action_mask=np.repeat(_joined(records, "action_mask"), agents, axis=0),
            shielded=_joined(records, "shielded"),
        )


class SharedAttributes(VecEnv):
    """A vector environment whose sub-environments share all attributes: it is one object."""

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


class TeamVecEnv(VecEnv):
    """A vector environment whose sub-environment ``lane * agents + agent`` is one sensor.

    Args:
        lanes: Independent copies of the stream.
        agents: Sensors of a lane.
        observation_space: Of one sensor.  # (width,)
        action_space: Of one sensor.

    Attributes:
        lanes: Independent copies of the stream.
        agents: Sensors of a lane.
    """

    metadata: dict[str, Any]

    def __init__(
        self,
        lanes: int,
        agents: int,
        observation_space: spaces.Space[AnyArray],
        action_space: spaces.Space[np.int64],
    ) -> None:
        self.lanes, self.agents = lanes, agents
        super().__init__(lanes * agents, observation_space, action_space)
        self.metadata["render_fps"] = RENDER_FPS

    @property
    @abstractmethod
    def engines(self) -> tuple[Engine, ...]:
        """The engines behind the lanes, in their order: one of all lanes, or one for each."""

    @abstractmethod
    def get_state(self) -> dict[str, AnyArray]:
        """All that is needed to continue bit-identically: plain arrays over the lanes."""

    @abstractmethod
    def set_state(self, arrays: dict[str, AnyArray]) -> None:
        """Go back to a state that :meth:`get_state` gave, here or in the other view.

        Raises:
            StateError: If the arrays do not fit this environment.
        """

    @property
    def last_step(self) -> LastStep:
        """The facts of the last step.

        Raises:
            ResetNeededError: If there was none.
        """
        return LastStep.of(self.engines)

    def action_masks(self) -> BoolArray:
        """The actions that the shield allows on the current events, as sb3-contrib asks for them.

        Returns:
            False for masked actions, never for Allow and Block.  # (lanes * agents, 4) bool
        """
        masks = np.concatenate([engine.action_mask for engine in self.engines])
        return np.repeat(masks, self.agents, axis=0)

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """Pictures of the first four lanes, each of all its sensors.

        Without ``render_mode="rgb_array"`` they are None, one for each sub-environment, with a
        warning: as in Stable-Baselines3's own vector environments.

        Raises:
            ResetNeededError: Before the first reset.
        """
        if self.render_mode == _PICTURES:
            return self._pictures()
        warnings.warn(
            f"{type(self).__name__} has no pictures with render_mode={self.render_mode!r}; make it "
            f"with render_mode={_PICTURES!r}",
            stacklevel=2,
        )
        return [None] * self.num_envs

    @abstractmethod
    def _pictures(self) -> list[NDArray[np.uint8] | None]:
        """Pictures of the first lanes.  # (height, width, 3) uint8 each."""

    @property
    def specs(self) -> tuple[Specification, ...]:
        """The monitored specifications; none where nothing is monitored."""
        monitor = self.engines[0].spec_monitor
        return () if monitor is None else monitor.specifications


def team_env(venv: VecEnv | None) -> TeamVecEnv:
    """The environment inside Stable-Baselines3's wrappers.

    Raises:
        ConfigError: If it is not one of ours.
    """
    inner = None if venv is None else venv.unwrapped
    if not isinstance(inner, TeamVecEnv):
        raise ConfigError(
            f"{type(inner).__name__} does not know faulty sensors, votes and specifications; use "
            "TrafficVecEnv or supersuit_vec_env, wrapped as you like"
        )
    return inner


def check_pictures(render_mode: str | None) -> None:
    """Refuse what Stable-Baselines3 cannot show of many lanes.

    Raises:
        ConfigError: If the mode is neither "rgb_array" nor None.
    """
    if render_mode is not None and not (isinstance(render_mode, str) and render_mode == _PICTURES):
        raise ConfigError(
            f"render_mode={render_mode!r}: Stable-Baselines3 shows pictures only; use "
            f"render_mode={_PICTURES!r} (render('human') then opens a window), or "
            "marl_stl_env.parallel_env for text"
        )


def _joined(records: Sequence[StepRecord], name: str) -> AnyArray:
    """One field over all lanes, in a fresh array."""
    return np.concatenate([getattr(record, name) for record in records])


def _entities(engines: Sequence[Engine], agents: int) -> IntArray | None:
    parts = []
    for engine in engines:
        if engine.table.entities is None:
            return None
        parts.append(engine.table.entities[last_record(engine).rows])
    return np.repeat(np.concatenate(parts).astype(np.int64), agents)

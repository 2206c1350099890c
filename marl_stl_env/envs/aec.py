"""The PettingZoo view in which the sensors act one after another."""

from __future__ import annotations

from typing import Any

import numpy as np
from pettingzoo.utils.conversions import parallel_to_aec_wrapper
from pettingzoo.utils.wrappers import OrderEnforcingWrapper

from marl_stl_env.config import EnvConfig
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.envs.parallel import TrafficParallelEnv, parallel_env
from marl_stl_env.errors import InvalidActionError
from marl_stl_env.types import Float32Array


class RawAecEnv(parallel_to_aec_wrapper[str, Float32Array, int]):
    """PettingZoo's conversion; a wrong action is refused at once, not at the last sensor's turn."""

    def __init__(self, team: TrafficParallelEnv) -> None:
        super().__init__(team)
        self.team = team

    @property
    def np_random(self) -> np.random.Generator:
        """That of the parallel environment, seeded by ``reset(seed=)``."""
        return self.team.np_random

    def observe(self, agent: str) -> Float32Array:
        """What a sensor sees, in a fresh array.  # (width,) float32."""
        observed: Float32Array = super().observe(agent).copy()
        return observed

    def step(self, action: int | None) -> None:
        """Let the sensor whose turn it is act.

        Raises:
            InvalidActionError: If the action is invalid, or not None where the episode is over.
        """
        agent = self.agent_selection
        if not (self.terminations[agent] or self.truncations[agent]):
            self.team.checked_action(agent, action)
        elif action is not None:
            raise InvalidActionError(
                f"the episode of {agent} is over: its only action is None, not {action!r:.80}"
            )
        super().step(action)
        self._protect_infos()

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Begin an episode; the arguments are those of the parallel environment."""
        super().reset(seed, options)
        self._protect_infos()

    def _protect_infos(self) -> None:
        """Let nobody write into arrays that ``last()`` may give again.

        They cannot be copies: PettingZoo wants ``last()`` to equal ``infos``, and only the same
        array equals itself.
        """
        for info in self.infos.values():
            for value in info.values():
                if isinstance(value, np.ndarray):
                    value.setflags(write=False)

    def __repr__(self) -> str:
        """As the parallel environment, under this class's name."""
        return _renamed(self.team, self)


class TrafficAecEnv(OrderEnforcingWrapper[str, Float32Array, int]):
    """The parallel environment, sensor after sensor; :func:`aec_env` makes it.

    Args:
        team: The parallel environment.
    """

    def __init__(self, team: TrafficParallelEnv) -> None:
        super().__init__(RawAecEnv(team))
        self._team = team

    def last(
        self, observe: bool = True
    ) -> tuple[Float32Array | None, float, bool, bool, dict[str, Any]]:
        """Observation, reward, termination, truncation and info of the sensor whose turn it is."""
        observation, reward, terminated, truncated, info = super().last(observe)
        return observation, reward, terminated, truncated, dict(info)

    def __repr__(self) -> str:
        """As the parallel environment, under this class's name."""
        return _renamed(self._team, self)


def _renamed(team: TrafficParallelEnv, view: object) -> str:
    return repr(team).replace(type(team).__name__, type(view).__name__, 1)


def aec_env(
    config: EnvConfig | None = None,
    *,
    table: TrafficTable | PreparedData | None = None,
    render_mode: str | None = None,
    **settings: Any,
) -> TrafficAecEnv:
    """The PettingZoo AEC environment: the parallel one, sensor after sensor.

    ``step`` refuses an invalid action at the turn of its sensor, with
    :class:`~marl_stl_env.errors.InvalidActionError`. Arguments and other errors are those of
    :func:`~marl_stl_env.envs.parallel.parallel_env`.
    """
    return TrafficAecEnv(parallel_env(config, table=table, render_mode=render_mode, **settings))


def raw_aec_env(
    config: EnvConfig | None = None,
    *,
    table: TrafficTable | PreparedData | None = None,
    render_mode: str | None = None,
    **settings: Any,
) -> RawAecEnv:
    """As :func:`aec_env`, without the wrapper that refuses calls in a wrong order."""
    return RawAecEnv(parallel_env(config, table=table, render_mode=render_mode, **settings))

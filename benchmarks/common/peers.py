"""The same environment in the usual style, for comparison with the engine.

One object per copy, dictionaries per step and a Python loop over the copies, as in the tutorials of
PettingZoo and Gymnasium. Table, views, vote, rewards and horizon are the same.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv

from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.observation import sensor_groups
from marl_stl_env.types import AnyArray, Float32Array

HORIZON = 1000
_PAYOFFS = {
    (False, False): 1.0,
    (False, True): -8.0,
    (True, False): -10.0,
    (True, True): 10.0,
}


class OrdinaryParallelEnv(ParallelEnv):  # type: ignore[misc] # PettingZoo carries no types
    """A team of sensors as an ordinary PettingZoo environment.

    Args:
        table: A scaled table.
        agents: Number of sensors.
    """

    metadata = {"name": "ordinary_v0", "render_modes": []}  # noqa: RUF012
    render_mode = None

    def __init__(self, table: TrafficTable, agents: int) -> None:
        self.table = table
        self.possible_agents = [f"sensor_{i}" for i in range(agents)]
        self.agents = list(self.possible_agents)
        width = table.features.shape[1] + agents
        self._space = spaces.Box(-5.0, 5.0, (width,), np.float32)
        groups = sensor_groups(tuple(table.views), agents, "groups")
        self._columns = [[c for name in names for c in table.views[name]] for names in groups]
        self._random = np.random.default_rng()

    def observation_space(self, agent: str) -> spaces.Box:
        """The space of a sensor's observations."""
        del agent
        return self._space

    def action_space(self, agent: str) -> spaces.Discrete:
        """The space of a sensor's actions."""
        del agent
        return spaces.Discrete(4)

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Float32Array], dict[str, dict[str, Any]]]:
        """Begin an episode."""
        del options
        if seed is not None:
            self._random = np.random.default_rng(seed)
        self.agents = list(self.possible_agents)
        self._row = int(self._random.integers(0, len(self.table) - HORIZON))
        self._end = self._row + HORIZON
        return self._observe(), {agent: {} for agent in self.agents}

    def step(self, actions: dict[str, int]) -> tuple[dict[str, Any], ...]:
        """Evaluate the current event."""
        label = bool(self.table.labels[self._row])
        votes = [int(actions[agent]) in (1, 2) for agent in self.agents]
        decision = 2 * sum(votes) >= len(votes)
        reward = _PAYOFFS[label, decision]
        self._row += 1
        over = self._row >= self._end
        agents = self.agents
        infos = {
            agent: {"label": int(label), "vote": int(vote), "decision": int(decision)}
            for agent, vote in zip(agents, votes, strict=True)
        }
        if over:
            self.agents = []
        return (
            self._observe(),
            dict.fromkeys(agents, reward),
            dict.fromkeys(agents, False),
            dict.fromkeys(agents, over),
            infos,
        )

    def _observe(self) -> dict[str, Float32Array]:
        event = self.table.features[self._row]
        observations = {}
        for number, agent in enumerate(self.possible_agents):
            observation = np.zeros(self._space.shape, np.float32)
            observation[self._columns[number]] = event[self._columns[number]]
            observation[len(event) + number] = 1.0
            observations[agent] = observation
        return observations


class OrdinaryEnv(gymnasium.Env[Float32Array, int]):
    """One analyst with all columns, as an ordinary Gymnasium environment.

    Args:
        table: A scaled table.
    """

    def __init__(self, table: TrafficTable) -> None:
        self.table = table
        self.observation_space = spaces.Box(-5.0, 5.0, (table.features.shape[1] + 1,), np.float32)
        self.action_space = spaces.Discrete(4)  # type: ignore[assignment] # numpy or int

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed, options=options)
        self._row = int(self.np_random.integers(0, len(self.table) - HORIZON))
        self._end = self._row + HORIZON
        return self._observe(), {}

    def step(self, action: int) -> tuple[Float32Array, float, bool, bool, dict[str, Any]]:
        """Evaluate the current event."""
        label = bool(self.table.labels[self._row])
        reward = _PAYOFFS[label, int(action) in (1, 2)]
        self._row += 1
        return self._observe(), reward, False, self._row >= self._end, {"label": int(label)}

    def _observe(self) -> Float32Array:
        observation = np.ones(self.observation_space.shape or (), np.float32)
        observation[:-1] = self.table.features[self._row]
        return observation


class NothingParallelEnv(OrdinaryParallelEnv):
    """Returns the same dictionaries at every step, so that only the caller takes time."""

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Float32Array], dict[str, dict[str, Any]]]:
        """Make the dictionaries."""
        observations, infos = super().reset(seed, options)
        false = dict.fromkeys(self.agents, False)
        self._step = (observations, dict.fromkeys(self.agents, 1.0), false, false, infos)
        return observations, infos

    def step(self, actions: dict[str, int]) -> tuple[dict[str, Any], ...]:
        """Nothing."""
        del actions
        return self._step


def gymnasium_vector(
    kind: str, table: TrafficTable, lanes: int
) -> gymnasium.vector.VectorEnv[AnyArray, AnyArray, AnyArray]:
    """Ordinary environments in one process ("sync") or one process each ("async")."""
    make = [lambda: OrdinaryEnv(table)] * lanes
    if kind == "sync":
        return gymnasium.vector.SyncVectorEnv(make)
    return gymnasium.vector.AsyncVectorEnv(make)

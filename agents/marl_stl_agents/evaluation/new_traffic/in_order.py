"""Deciding on new events: all at once, or one after the other where the past matters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np
from stable_baselines3.common.policies import ActorCriticPolicy

from marl_stl_agents.evaluation.rollouts import (
    Choose,
    RecurrentGreedy,
    Rollout,
    Watch,
    collect_rollout,
    greedy,
    rollout_of,
)
from marl_stl_env.config import EnvConfig
from marl_stl_env.data.entities import EntityDirectory
from marl_stl_env.data.ingest.incoming import Chunk
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.state import StepRecord
from marl_stl_env.envs.stream import StreamEngine
from marl_stl_env.errors import DecidingError, StateError
from marl_stl_env.types import AnyArray, Float64Array, Int8Array

_ENGINE, _ENTITIES, _MEMORY, _TIME = "engine.", "entities.", "memory.", "time"


class Decider(Protocol):
    """Decides on the events of a stream, some thousand at a time."""

    def decide(self, chunk: Chunk, watch: Watch | None = None) -> Rollout:
        """Votes and decisions on the next events."""

    def learn(self, event: int, entity: str | None, actions: Int8Array, threat: bool) -> None:
        """Learn a verdict that came after its event; see :meth:`StreamEngine.learn`."""

    def get_state(self) -> dict[str, AnyArray]:
        """What is remembered of the events before, as plain arrays."""

    def set_state(self, arrays: Mapping[str, AnyArray]) -> None:
        """Go back to a state that :meth:`get_state` gave."""


class EachAlone:
    """For teams whose decision on an event depends on nothing else.

    Args:
        env: The environment of the team.
        policy: The network of its sensors.
        blank: A scaled table with the columns of the team's.
    """

    def __init__(self, env: EnvConfig, policy: ActorCriticPolicy, blank: TrafficTable) -> None:
        self._env, self._act = env, greedy(policy)
        self._one_by_one = InOrder(env, policy, blank)

    def decide(self, chunk: Chunk, watch: Watch | None = None) -> Rollout:
        """Votes and decisions on the next events, many at once.

        A single event takes the engine that stands ready: another one would cost more than the
        decision.
        """
        if len(chunk.table) == 1:
            return self._one_by_one.decide(replace(chunk, times=None), watch)
        return collect_rollout(self._env, chunk.table, self._act, watch)

    def learn(self, event: int, entity: str | None, actions: Int8Array, threat: bool) -> None:
        """Nothing: no decision depends on what was found out."""

    def get_state(self) -> dict[str, AnyArray]:
        """Nothing."""
        return {}

    def set_state(self, arrays: Mapping[str, AnyArray]) -> None:
        """Nothing to go back to.

        Raises:
            StateError: If there are arrays.
        """
        if arrays:
            raise StateError(
                f"this team remembers nothing, but the state has {', '.join(sorted(arrays))}; it "
                "belongs to another team"
            )


class InOrder:
    """For teams that remember: entities and quarantines, calls of the analyst, votes, monitors.

    Args:
        env: The environment of the team.
        policy: The network of its sensors.
        blank: A scaled table with the columns of the team's.
    """

    def __init__(self, env: EnvConfig, policy: ActorCriticPolicy, blank: TrafficTable) -> None:
        self._engine = StreamEngine(env, blank)
        self._act = greedy(policy)
        self._entities = EntityDirectory()
        self._isolates = env.dynamics == "response"
        self._time = -np.inf

    def decide(self, chunk: Chunk, watch: Watch | None = None) -> Rollout:
        """Votes and decisions on the next events, one after the other.

        Raises:
            DecidingError: If they are not in the order of time.
        """
        if chunk.times is not None:
            self._check_times(chunk.times, chunk)
        rows, agents, most = len(chunk.table), self._engine.agents, self._entities.most

        def steps(choose: Choose) -> Iterator[StepRecord]:
            for start in range(0, rows, most):
                self._follow(chunk, slice(start, min(start + most, rows)))
                while self._engine.waiting:
                    record = self._engine.step(choose(self._engine))
                    yield record._replace(rows=record.rows + start) if start else record

        return rollout_of(steps, rows, agents, self._act, watch)

    def _follow(self, chunk: Chunk, part: slice) -> None:
        table = chunk.table
        if part.stop - part.start < len(table):
            table = table.take(np.arange(part.start, part.stop))
        slots = None
        if self._isolates and chunk.entities is not None:
            slots = self._entities.place(chunk.entities[part])
        self._engine.follow(table, chunk.verdicts[part], slots)

    def _check_times(self, times: Float64Array, chunk: Chunk) -> None:
        steps = np.diff(times, prepend=self._time)
        if (steps < 0).any():
            at = int((steps < 0).argmax())
            raise DecidingError(
                f"event {chunk.events[at]} (counted from 0) is {-steps[at]:g} s earlier than the "
                "one before, and this team remembers what it met; sort the events by time"
            )
        self._time = float(times[-1])

    def learn(self, event: int, entity: str | None, actions: Int8Array, threat: bool) -> None:
        """Learn a verdict that came after its event; see :meth:`StreamEngine.learn`."""
        slot = self._entities.slot_of(entity) if self._isolates and entity is not None else None
        self._engine.learn(event, slot, actions, threat)

    def get_state(self) -> dict[str, AnyArray]:
        """What is remembered of the events before, as plain arrays."""
        memory = self._act.get_state() if isinstance(self._act, RecurrentGreedy) else {}
        parts = {
            _ENGINE: self._engine.get_state(),
            _ENTITIES: self._entities.get_state(),
            _MEMORY: memory,
        }
        state = {f"{prefix}{n}": a for prefix, arrays in parts.items() for n, a in arrays.items()}
        return state | {_TIME: np.array([self._time])}

    def set_state(self, arrays: Mapping[str, AnyArray]) -> None:
        """Go back to a state that :meth:`get_state` gave.

        Raises:
            StateError: If it belongs to another team.
        """

        def part(prefix: str) -> dict[str, AnyArray]:
            return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}

        if _TIME not in arrays or arrays[_TIME].shape != (1,):
            raise StateError("the state of a stream has the time of its last event")
        self._engine.set_state(part(_ENGINE))
        self._entities.set_state(part(_ENTITIES))
        if isinstance(self._act, RecurrentGreedy):
            self._act.set_state(part(_MEMORY))
        self._time = float(arrays[_TIME][0])

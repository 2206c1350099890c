"""Attackers and teams that act on an engine: fixed ones, greedy ones, and mixtures of trained ones.

Every random choice comes from the lanes' own streams, so a lane does the same in every batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

import numpy as np

from marl_stl_env.adversary.engine import AdversarialEngine, Attack
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.state import is_threat_vote
from marl_stl_env.errors import ConfigError, UnknownNameError
from marl_stl_env.types import Float32Array, Float64Array, Int8Array, IntArray

#: Chooses the actions of an engine's sensors on their current events.  # (lanes, agents) int8
Team: TypeAlias = Callable[[Engine], Int8Array]
#: Maps observations (batch, width) to actions (batch,) int8.
Choose: TypeAlias = Callable[[Float32Array], Int8Array]
#: Maps an attacker's observations (batch, width) to probabilities of its actions
#: (batch, actions) float64.
Probabilities: TypeAlias = Callable[[Float32Array], Float64Array]

_T = TypeVar("_T")
#: Numbers of the draws of one step: attackers' actions come first, there are at most 63.
_MEMBER_DRAW = 63


def no_attack(engine: AdversarialEngine) -> Int8Array:
    """Everything is sent as it is."""
    return np.zeros((engine.lanes, engine.attackers), np.int8)


def random_disguise(engine: AdversarialEngine) -> Int8Array:
    """Every attack gets one of the disguises, each with the same probability."""
    count = engine.attack_actions - 2
    draws = [engine.uniforms(j) for j in range(engine.attackers)]
    return (1 + np.floor(np.stack(draws, axis=1) * count)).astype(np.int8)


class GreedyEvasion:
    """The best answer to a team that the attacker can ask, one event ahead.

    It lets the team vote on every disguise of the event to come, and takes the one that is worth
    most of those that pass; where none passes, it sends the event as it is. Against a team that
    does not deliberate, in a replay, without faulty sensors, no attacker earns more.

    Args:
        choose: The policy of every sensor.
    """

    def __init__(self, choose: Choose) -> None:
        self._choose = choose

    def __call__(self, engine: AdversarialEngine) -> Int8Array:
        """Actions.  # (lanes, attackers) int8."""
        chosen = np.zeros((engine.lanes, engine.attackers), np.int8)
        mine = engine.attack_mask[:, :, 1].any(axis=1)
        if not mine.any():
            return chosen
        worth = np.tile(engine.effectiveness, (int(mine.sum()), 1))
        for disguise in range(len(engine.effectiveness)):
            seen = engine.observe_next(disguise)[mine]
            actions = self._choose(seen.reshape(-1, seen.shape[2])).astype(np.int8)
            stopped = is_threat_vote(engine.rule(actions.reshape(len(worth), -1)))
            worth[stopped, disguise] = 0.0
        # Where none passes the first maximum is 0: as it is.
        chosen[mine] = worth.argmax(axis=1)[:, None]
        return chosen


class AttackMixture:
    """Every lane draws one of several attackers at its reset, each with the same probability.

    Args:
        members: The attackers.

    Raises:
        ConfigError: If there is none.
    """

    def __init__(self, members: Sequence[Attack]) -> None:
        self._members = _some(members)

    def __call__(self, engine: AdversarialEngine) -> Int8Array:
        """Actions.  # (lanes, attackers) int8."""
        member = _drawn(engine, len(self._members))
        chosen = np.zeros((engine.lanes, engine.attackers), np.int8)
        for number in np.unique(member).tolist():
            here = member == number
            chosen[here] = self._members[number](engine)[here]
        return chosen


class TeamMixture:
    """Every lane draws one of several teams at its reset, each with the same probability.

    Args:
        members: The policy of every sensor of each team.

    Raises:
        ConfigError: If there is none.
    """

    def __init__(self, members: Sequence[Choose]) -> None:
        self._members = _some(members)

    def __call__(self, engine: Engine) -> Int8Array:
        """Actions.  # (lanes, agents) int8."""
        seen = engine.observe()
        chosen = np.zeros(seen.shape[:2], np.int8)
        member = np.zeros(engine.lanes, np.int64)
        if isinstance(engine, AdversarialEngine):
            member = _drawn(engine, len(self._members))
        for number in np.unique(member).tolist():
            here = member == number
            actions = self._members[number](seen[here].reshape(-1, seen.shape[2]))
            chosen[here] = actions.reshape(-1, seen.shape[1])
        return chosen


class SampledAttack:
    """A trained attacker, which draws its actions.

    Args:
        probabilities: Those of its actions.
    """

    def __init__(self, probabilities: Probabilities) -> None:
        self._probabilities = probabilities

    def __call__(self, engine: AdversarialEngine) -> Int8Array:
        """Actions.  # (lanes, attackers) int8."""
        chosen = np.zeros((engine.lanes, engine.attackers), np.int8)
        lanes, attackers = engine.attack_mask[:, :, 1].nonzero()  # elsewhere nothing changes
        if len(lanes):
            chances = self._probabilities(engine.observe_attackers()[lanes, attackers])
            draws = np.stack([engine.uniforms(j) for j in range(engine.attackers)], axis=1)
            above = draws[lanes, attackers, None] >= chances.cumsum(axis=1)[:, :-1]
            chosen[lanes, attackers] = above.sum(axis=1)
        return chosen


def linear_team(engine: Engine, ridge: float = 1e-2) -> Choose:
    """Sensors that vote by one linear score of what they see, fitted by least squares.

    It is a team to begin with where none was trained: every sensor regresses the label on its
    columns and votes Block at the cost-optimal threshold.

    Args:
        engine: Its table is fitted to, without disguises.
        ridge: Weight of the penalty on the coefficients, per event.
    """
    table, agents = engine.table, engine.agents
    count = len(table)
    if isinstance(engine, AdversarialEngine):
        count = engine.disguised.events
    rows = np.arange(count)
    labels = table.labels[rows].astype(np.float64)
    visible, width = engine.observations.visible(), table.features.shape[1]
    weights = np.zeros((agents, width + 1))
    events = np.column_stack([table.features[rows].astype(np.float64), np.ones(len(rows))])
    for sensor in range(agents):
        seen = events * np.append(visible[sensor], True)
        gram = seen.T @ seen + ridge * len(rows) * np.eye(width + 1)
        weights[sensor] = np.linalg.solve(gram, seen.T @ labels)
    threshold = engine.config.reward.threshold

    def choose(observations: Float32Array) -> Int8Array:
        sensor = np.arange(len(observations)) % agents
        scores = (observations[:, :width] * weights[sensor, :-1]).sum(axis=1) + weights[sensor, -1]
        stops: Int8Array = (scores >= threshold).astype(np.int8)  # Block, or else Allow
        return stops

    return choose


#: The attackers that a setting may name.
ATTACKS: dict[str, Attack] = {"none": no_attack, "random": random_disguise}


def find_attack(attack: str | Attack) -> Attack:
    """An attacker by its name, or as it is given.

    Raises:
        UnknownNameError: If there is no such attacker.
    """
    if not isinstance(attack, str):
        return attack
    if attack not in ATTACKS:
        raise UnknownNameError("attack", attack, ATTACKS)
    return ATTACKS[attack]


def _drawn(engine: AdversarialEngine, members: int) -> IntArray:
    """Which member each lane has drawn for its episode.  # (lanes,) int64."""
    draws = engine.uniforms(_MEMBER_DRAW, per_episode=True)
    return np.floor(draws * members).astype(np.int64)


def _some(members: Sequence[_T]) -> list[_T]:
    if not members:
        raise ConfigError("a mixture needs at least one member")
    return [*members]

"""What an event is worth, by its label and the action on it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol, TypeVar, overload

import numpy as np

from marl_stl_env.arrays import NUMPY, Arrays
from marl_stl_env.config import PAYOFFS, Dynamics, RewardConfig
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import PluginError
from marl_stl_env.registry import Registry, as_callable, blamed
from marl_stl_env.types import (
    ACTIONS,
    THREAT_VOTE,
    Action,
    AnyArray,
    BoolArray,
    Float32Array,
    Float64Array,
    Int8Array,
    IntArray,
)

#: Proposals from surely benign to surely a threat.
CONFIDENCE = [Action.ALLOW, Action.ALERT, Action.BLOCK, Action.QUARANTINE]
#: Ratio of the odds at which one level of confidence gives way to the next
#: (benchmarks/studies/symbols.py: ideal sensors would earn 0.883 with four, 0.865 with two, 0.891
#: with eight).
LEVEL = 4.0


class Reward(Protocol):
    """A reward: what each action is worth on each event of a table.

    It is a pure function, called once for a table, before anything is replayed. So it costs
    nothing in a step, and every backend can take it.
    """

    def __call__(self, table: TrafficTable, payoffs: Float32Array, /) -> Float32Array:
        """The payoffs of a table's events.

        Args:
            table: The scaled table: labels, families, entities, times, features; read-only.
            payoffs: What the settings pay, action costs included; the function's own copy.
                # (rows, 4) float32, a column per member of ``Action``

        Returns:
            The payoffs.  # (rows, 4) float32, finite
        """


_Mine = TypeVar("_Mine", bound=Reward)
#: Name to every known reward.
REWARDS: Registry[Reward] = Registry("reward")


@overload
def register_reward(
    name: str, reward: None = None, *, replace: bool = False
) -> Callable[[_Mine], _Mine]: ...
@overload
def register_reward(name: str, reward: _Mine, *, replace: bool = False) -> _Mine: ...
def register_reward(name: str, reward: Any = None, *, replace: bool = False) -> Any:
    """Register a reward under a name, which ``--reward-function`` then takes.

    Args:
        name: The name.
        reward: A :class:`Reward`; without it, a decorator is returned.
        replace: Put it in the place of one of your own.

    Returns:
        The reward, or the decorator.

    Raises:
        PluginError: If the name is taken or malformed, or the reward cannot be called.
    """
    return REWARDS.decorator(name, reward, as_callable, replace=replace)


@register_reward(PAYOFFS)
def as_set(table: TrafficTable, payoffs: Float32Array) -> Float32Array:
    """What the settings pay: it depends on the label and the action alone."""
    del table
    return payoffs


def event_payoffs(
    config: RewardConfig, table: TrafficTable, dynamics: Dynamics = "replay"
) -> Float32Array:
    """The payoff of each action on each event of a table.

    Returns:
        Payoffs, shared and read-only.  # (rows, 4) float32

    Raises:
        UnknownNameError: If there is no such reward.
        PluginError: If an own reward fails, or returns something else.
    """
    REWARDS.find(config.reward_function)
    return _event_payoffs(config, table, dynamics, REWARDS.version(config.reward_function))


@lru_cache(maxsize=4)  # the engines of many lanes share a table
def _event_payoffs(
    config: RewardConfig, table: TrafficTable, dynamics: Dynamics, version: int
) -> Float32Array:
    del version  # tells a reward that was registered anew from the old one
    reward = REWARDS.find(config.reward_function)
    usual = payoff_table(config, dynamics)[table.labels.astype(np.int64)]
    payoffs = apply_reward(reward, table, usual, REWARDS.described(config.reward_function))
    payoffs.setflags(write=False)
    return payoffs


def apply_reward(
    reward: Reward, table: TrafficTable, payoffs: Float32Array, what: str
) -> Float32Array:
    """The payoffs of an own reward, checked.

    Args:
        reward: The reward.
        table: The scaled table.
        payoffs: What the settings pay; may be changed.  # (rows, 4) float32
        what: The reward as messages name it.

    Returns:
        Payoffs.  # (rows, 4) float32

    Raises:
        PluginError: If the reward fails, or returns something else.
    """
    shape = payoffs.shape
    with blamed(what):
        given: AnyArray = np.asarray(reward(table, payoffs))
    if given.shape != shape or given.dtype.kind not in "iuf":
        raise PluginError(
            f"{what} returns {given.dtype} of shape {given.shape}; a reward returns a number for "
            f"every event and action, {shape} float32"
        )
    found: Float32Array = given.astype(np.float32)
    if not np.isfinite(found).all():
        row, action = np.argwhere(~np.isfinite(found))[0].tolist()
        raise PluginError(
            f"{what} pays {found[row, action]} for {Action(action).name} on event {row}; every "
            "payoff must be finite"
        )
    return found


def payoff_table(config: RewardConfig, dynamics: Dynamics = "replay") -> Float32Array:
    """The payoff of each action on a benign event (row 0) and on a threat (row 1).

    Args:
        config: The rewards.
        dynamics: Those of the environment, which decide on costs that are not given.

    Returns:
        Payoffs, action costs included.  # (2, actions) float32
    """
    stopped = np.array([config.false_positive, config.true_positive])[:, None]
    passed = np.array([config.true_negative, config.false_negative])[:, None]
    costs = np.array(config.action_costs(dynamics))
    table: Float32Array = (np.where(THREAT_VOTE, stopped, passed) - costs).astype(np.float32)
    return table


def confidence_thresholds(config: RewardConfig) -> Float64Array:
    """The probabilities of a threat that part the levels of confidence.  # (3,) float64."""
    odds = config.threshold / (1.0 - config.threshold) * np.array([1 / LEVEL, 1.0, LEVEL])
    thresholds: Float64Array = odds / (1.0 + odds)
    return thresholds


def proposal_table(config: RewardConfig) -> Float32Array:
    """What each action earns as a proposal, on a benign event (row 0) and on a threat (row 1).

    The actions are levels of confidence. Passing the level at threshold t earns 1 - t on a threat
    and costs t on a benign event, which pays iff P(threat) >= t: a sensor does best to say how
    likely it thinks a threat is. This is a proper score with its weight on three thresholds
    (Schervish 1989, "A general method for comparing probability assessors", Annals of Statistics
    17(4)): the cost-optimal one, and those of a quarter of its odds and of four times them. The
    scale is that of the payoffs of votes.

    Returns:
        Payoffs.  # (2, actions) float32
    """
    thresholds = confidence_thresholds(config)
    climbed = np.concatenate([np.zeros((2, 1)), np.cumsum([-thresholds, 1.0 - thresholds], 1)], 1)
    stakes = config.true_positive - config.false_negative
    stakes += config.true_negative - config.false_positive
    table = np.empty((2, ACTIONS))
    table[:, CONFIDENCE] = config.proposal_weight * stakes / len(thresholds) * climbed
    return table.astype(np.float32)


class Payoffs:
    """Looks rewards up for whole batches.

    Args:
        config: The rewards.
        arrays: The library of the arrays.
        dynamics: Those of the environment.
        table: The scaled table; only a registered reward needs it.

    Attributes:
        matrix: Payoff of each action; events are benign (0) and threat (1), or with a registered
            reward those of the table.  # (events, 4) float32

    Raises:
        PluginError: If a registered reward has no table, or fails.
    """

    def __init__(
        self,
        config: RewardConfig,
        arrays: Arrays = NUMPY,
        dynamics: Dynamics = "replay",
        table: TrafficTable | None = None,
    ) -> None:
        self._arrays, self._by_row = arrays, config.reward_function != PAYOFFS
        costs = config.action_costs(dynamics)
        if self._by_row and table is None:
            raise PluginError(
                f"reward {config.reward_function!r} depends on the events: their table is needed"
            )
        self.matrix = payoff_table(config, dynamics)
        if self._by_row and table is not None:
            self.matrix = event_payoffs(config, table, dynamics)
        self._table = arrays.asarray(self.matrix.ravel())
        self._actions = arrays.asarray(np.array(ACTIONS))
        contained = np.array([config.false_positive, config.true_positive], np.float32)
        if self._by_row:  # an isolated event is stopped, as by Quarantine, at no further cost
            quarantined = self.matrix[:, Action.QUARANTINE]
            contained = quarantined + np.float32(costs[Action.QUARANTINE])
        self._contained = arrays.asarray(contained)
        self._refused = float(costs[Action.ALERT])
        self._proposals = arrays.asarray(proposal_table(config).ravel())
        self._team_share = config.team_share

    def events(self, rows: IntArray, labels: BoolArray) -> AnyArray:
        """The events as indices into :attr:`matrix`.

        Args:
            rows: Rows of the table.  # (lanes,) int64
            labels: True labels.  # (lanes,) bool
        """
        return rows if self._by_row else labels

    def of_actions(self, events: AnyArray, actions: Int8Array) -> Float32Array:
        """The payoff of each action on an event.

        Args:
            events: Indices into :attr:`matrix`, so labels without a registered reward.
                # broadcastable to the actions, bool or integer
            actions: Actions.  # any shape, int8

        Returns:
            Payoffs.  # the actions' shape, float32
        """
        payoffs: Float32Array = self._arrays.take(self._table, events * self._actions + actions)
        return payoffs

    def of_table(self, table: TrafficTable, actions: Int8Array) -> Float32Array:
        """The payoff of one action on every event of the table.

        Args:
            table: The scaled table.
            actions: Actions.  # (rows,) int8

        Returns:
            Payoffs.  # (rows,) float32
        """
        return self.of_actions(self.events(np.arange(len(table)), table.labels), actions)

    def of_response(
        self, events: AnyArray, team: Float32Array, isolated: BoolArray, refused: BoolArray
    ) -> Float32Array:
        """The team's payoff, given what earlier decisions left behind.

        Args:
            events: As for :meth:`of_actions`.  # (lanes,) bool or int64
            team: Payoff of the decision if the entity were free.  # (lanes,) float32
            isolated: Whether isolation contained the event, which costs nothing.  # (lanes,) bool
            refused: Whether an alert came above the budget, which costs once more.
                # (lanes,) bool

        Returns:
            Payoffs.  # (lanes,) float32
        """
        arrays, free = self._arrays, team
        if not arrays.surely_none(refused):
            free = arrays.where(refused, team - self._refused, team)
        if arrays.surely_none(isolated):
            return free
        contained = arrays.take(self._contained, events * 1)
        payoffs: Float32Array = arrays.where(isolated, contained, free)
        return payoffs

    def of_proposals(self, labels: BoolArray, actions: Int8Array) -> Float32Array:
        """What each sensor's proposal earns it.

        Args:
            labels: True labels.  # (lanes,) bool
            actions: What each sensor proposed.  # (lanes, agents) int8

        Returns:
            Payoffs.  # (lanes, agents) float32
        """
        places = labels[:, None] * ACTIONS + actions
        payoffs: Float32Array = self._arrays.take(self._proposals, places)
        return payoffs

    def of_sensors(
        self, events: AnyArray, actions: Int8Array, team: Float32Array, isolated: BoolArray
    ) -> Float32Array:
        """Each sensor's reward: its own payoff and the team's, mixed by ``team_share``.

        Args:
            events: As for :meth:`of_actions`.  # (lanes,) bool or int64
            actions: What each sensor wanted.  # (lanes, agents) int8
            team: Payoff of the decision.  # (lanes,) float32
            isolated: Where what the sensors want changes nothing, the team's payoff is theirs.
                # (lanes,) bool

        Returns:
            Rewards.  # (lanes, agents) float32
        """
        share = self._team_share
        if share == 1.0:  # its own payoff counts for nothing and need not be looked up
            rewards: Float32Array = self._arrays.columns(team, actions.shape[1])
            return rewards
        own = self.of_actions(events[:, None], actions)
        if not self._arrays.surely_none(isolated):
            own = self._arrays.where(isolated[:, None], team[:, None], own)
        mixed: Float32Array = (1.0 - share) * own + share * team[:, None]
        return mixed

"""What an event is worth, by its label and the action on it."""

from __future__ import annotations

import numpy as np

from marl_stl_env.config import Dynamics, RewardConfig
from marl_stl_env.engine.backend import NUMPY, Arrays
from marl_stl_env.types import ACTIONS, THREAT_VOTE, Action, BoolArray, Float32Array, Int8Array

#: Proposals from surely benign to surely a threat.
CONFIDENCE = [Action.ALLOW, Action.ALERT, Action.BLOCK, Action.QUARANTINE]
#: Ratio of the odds at which one level of confidence gives way to the next
#: (benchmarks/studies/symbols.py: ideal sensors would earn 0.883 with four, 0.865 with two, 0.891
#: with eight).
LEVEL = 4.0


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
    odds = config.threshold / (1.0 - config.threshold) * np.array([1 / LEVEL, 1.0, LEVEL])
    thresholds = odds / (1.0 + odds)
    climbed = np.concatenate([np.zeros((2, 1)), np.cumsum([-thresholds, 1.0 - thresholds], 1)], 1)
    stakes = config.true_positive - config.false_negative
    stakes += config.true_negative - config.false_positive
    table = np.empty((2, ACTIONS))
    table[:, CONFIDENCE] = config.proposal_weight * stakes / len(odds) * climbed
    return table.astype(np.float32)


class Payoffs:
    """Looks rewards up for whole batches.

    Args:
        config: The rewards.
        arrays: The library of the arrays.
        dynamics: Those of the environment.
    """

    def __init__(
        self, config: RewardConfig, arrays: Arrays = NUMPY, dynamics: Dynamics = "replay"
    ) -> None:
        self._arrays = arrays
        self._table = arrays.asarray(payoff_table(config, dynamics).ravel())
        self._contained: Float32Array = np.array(
            [config.false_positive, config.true_positive], np.float32
        )
        self._refused = np.float32(config.action_costs(dynamics)[Action.ALERT])
        self._proposals = arrays.asarray(proposal_table(config).ravel())
        self._team_share = config.team_share

    def of_actions(self, labels: BoolArray, actions: Int8Array) -> Float32Array:
        """The payoff of each action on an event with this label.

        Args:
            labels: True labels.  # broadcastable to the actions, bool
            actions: Actions.  # any shape, int8

        Returns:
            Payoffs.  # the actions' shape, float32
        """
        payoffs: Float32Array = self._arrays.take(self._table, labels * ACTIONS + actions)
        return payoffs

    def of_response(
        self, labels: BoolArray, team: Float32Array, isolated: BoolArray, refused: BoolArray
    ) -> Float32Array:
        """The team's payoff, given what earlier decisions left behind.

        Args:
            labels: True labels.  # (lanes,) bool
            team: Payoff of the decision if the entity were free.  # (lanes,) float32
            isolated: Whether isolation contained the event, which costs nothing.  # (lanes,) bool
            refused: Whether an alert came above the budget, which costs once more.
                # (lanes,) bool

        Returns:
            Payoffs.  # (lanes,) float32
        """
        free = team - self._refused * refused
        contained = self._contained.take(labels.astype(np.int64))
        payoffs: Float32Array = np.where(isolated, contained, free)
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
        self, labels: BoolArray, actions: Int8Array, team: Float32Array, isolated: BoolArray
    ) -> Float32Array:
        """Each sensor's reward: its own payoff and the team's, mixed by ``team_share``.

        Args:
            labels: True labels.  # (lanes,) bool
            actions: What each sensor wanted.  # (lanes, agents) int8
            team: Payoff of the decision.  # (lanes,) float32
            isolated: Where what the sensors want changes nothing, the team's payoff is theirs.
                # (lanes,) bool

        Returns:
            Rewards.  # (lanes, agents) float32
        """
        share = self._team_share
        if share == 1.0:  # its own payoff counts for nothing and need not be looked up
            rewards: Float32Array = self._arrays.zeros(*actions.shape)
            rewards += team[:, None]
            return rewards
        own = self.of_actions(labels[:, None], actions)
        own = self._arrays.where(isolated[:, None], team[:, None], own)
        mixed: Float32Array = (1.0 - share) * own + share * team[:, None]
        return mixed

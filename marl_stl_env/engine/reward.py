"""What an event is worth, by its label and the action on it."""

from __future__ import annotations

import numpy as np

from marl_stl_env.config import RewardConfig
from marl_stl_env.engine.backend import NUMPY, Arrays
from marl_stl_env.types import ACTIONS, THREAT_VOTE, BoolArray, Float32Array, Int8Array


def payoff_table(config: RewardConfig) -> Float32Array:
    """The payoff of each action on a benign event (row 0) and on a threat (row 1).

    Returns:
        Payoffs, action costs included.  # (2, actions) float32
    """
    stopped = np.array([config.false_positive, config.true_positive])[:, None]
    passed = np.array([config.true_negative, config.false_negative])[:, None]
    costs = [config.allow_cost, config.block_cost, config.quarantine_cost, config.alert_cost]
    table: Float32Array = (np.where(THREAT_VOTE, stopped, passed) - costs).astype(np.float32)
    return table


class Payoffs:
    """Looks rewards up for whole batches.

    Args:
        config: The rewards.
        arrays: The library of the arrays.
    """

    def __init__(self, config: RewardConfig, arrays: Arrays = NUMPY) -> None:
        self._arrays = arrays
        self._table = arrays.asarray(payoff_table(config).ravel())
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

    def of_sensors(self, labels: BoolArray, actions: Int8Array, team: Float32Array) -> Float32Array:
        """Each sensor's reward: its own payoff and the team's, mixed by ``team_share``.

        Args:
            labels: True labels.  # (lanes,) bool
            actions: What each sensor wanted.  # (lanes, agents) int8
            team: Payoff of the decision.  # (lanes,) float32

        Returns:
            Rewards.  # (lanes, agents) float32
        """
        share = self._team_share
        if share == 1.0:  # its own payoff counts for nothing and need not be looked up
            rewards: Float32Array = self._arrays.zeros(*actions.shape)
            rewards += team[:, None]
            return rewards
        own = self.of_actions(labels[:, None], actions)
        return (1.0 - share) * own + share * team[:, None]

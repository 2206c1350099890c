"""What an event is worth, by its label and the action on it."""

from __future__ import annotations

import numpy as np

from marl_stl_env.config import RewardConfig
from marl_stl_env.types import ACTIONS, THREAT_VOTE, AnyArray, BoolArray, Float32Array, Int8Array


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
    """

    def __init__(self, config: RewardConfig) -> None:
        self._table = payoff_table(config).ravel()
        self._team_share = np.float32(config.team_share)

    def of_actions(self, labels: BoolArray, actions: Int8Array) -> Float32Array:
        """The payoff of each action on an event with this label.

        Args:
            labels: True labels.  # broadcastable to the actions, bool
            actions: Actions.  # any shape, int8

        Returns:
            Payoffs.  # the actions' shape, float32
        """
        index: AnyArray = labels * np.intp(ACTIONS) + actions
        return self._table.take(index)

    def shared(self, own: Float32Array, team: Float32Array) -> Float32Array:
        """Each sensor's reward: its own payoff and the team's, mixed by ``team_share``.

        Args:
            own: Payoff of each sensor's own action.  # (lanes, agents) float32
            team: Payoff of the decision.  # (lanes,) float32

        Returns:
            Rewards.  # (lanes, agents) float32
        """
        share = self._team_share
        return (np.float32(1.0) - share) * own + share * team[:, None]

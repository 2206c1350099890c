"""How much a sensor's vote is worth, learned from events whose truth was audited.

A vote weighs as much as it tells threats and benign events apart: the log-likelihood ratio of
Chair and Varshney (1986), "Optimal data fusion in multiple sensor detection systems", IEEE
Transactions on Aerospace and Electronic Systems 22(1). It is kept for each class of
vote, so a sensor that always allows weighs nothing, however rare threats are. Weights by
accuracy would trust it most: at 5 % threats it is right 95 % of the time.
"""

from __future__ import annotations

import numpy as np

from marl_stl_env.config import check_range
from marl_stl_env.consensus.rules import SILENT
from marl_stl_env.errors import ConfigError
from marl_stl_env.types import THREAT_VOTE, BoolArray, Float64Array, Int8Array, IntArray

#: No sensor weighs more than this, so that one who earned trust and turns has one vote's worth.
CAP = 2.0


class Reliability:
    """Counts of audited votes, and the weights that follow from them.

    Args:
        agents: Number of sensors, 1 to 64.

    Attributes:
        counts: Audited votes, ``counts[agent, label, vote]``.  # (agents, 2, 2) int64
    """

    def __init__(self, agents: int) -> None:
        check_range("agents", agents, 1, 64)
        self.counts: IntArray = np.zeros((agents, 2, 2), np.int64)

    def audit(self, actions: Int8Array, labels: BoolArray) -> None:
        """Count what each sensor said on events whose truth is known; silence counts nowhere.

        Args:
            actions: 0 to 3, or -1 for silence.  # (events, agents) int8
            labels: True for a threat.  # (events,) bool

        Raises:
            ConfigError: If the actions are not those of this team.
        """
        self._check(actions)
        spoke, threat = actions != SILENT, THREAT_VOTE[actions]
        for label in (False, True):
            here = spoke & (labels == label)[:, None]
            self.counts[:, int(label), 0] += (here & ~threat).sum(axis=0)
            self.counts[:, int(label), 1] += (here & threat).sum(axis=0)

    def weights(self) -> Float64Array:
        """The evidence for "threat" in each vote of each sensor: log-odds, clipped to ±``CAP``.

        Rates are the means of Beta(1, 1) posteriors, so a sensor never audited weighs 0.

        Returns:
            ``weights[agent, vote]``: negative where the vote speaks for "benign".
            # (agents, 2) float64
        """
        rates = (self.counts + 1) / (self.counts.sum(axis=2, keepdims=True) + 2)
        log_odds: Float64Array = np.log(rates[:, 1]) - np.log(rates[:, 0])
        return log_odds.clip(-CAP, CAP)

    def evidence(self, actions: Int8Array) -> Float64Array:
        """The sum of the weights of all votes on each event; silence adds nothing.

        Add the prior log-odds of a threat to get the posterior ones, if errors are independent.

        Args:
            actions: 0 to 3, or -1 for silence.  # (events, agents) int8

        Returns:
            Log-odds for "threat".  # (events,) float64

        Raises:
            ConfigError: If the actions are not those of this team.
        """
        self._check(actions)
        said = self.weights()[np.arange(len(self.counts)), THREAT_VOTE[actions].astype(np.int8)]
        total: Float64Array = np.where(actions == SILENT, 0.0, said).sum(axis=1)
        return total

    def _check(self, actions: Int8Array) -> None:
        if actions.ndim != 2 or actions.shape[1] != len(self.counts):
            raise ConfigError(
                f"actions of shape {actions.shape} are not (events, agents) of a team of "
                f"{len(self.counts)} sensors"
            )

"""Reliability weights: votes weighed by each sensor's past votes on events with label feedback.

The weight of a vote is the log-likelihood ratio of Chair and Varshney (1986), "Optimal data fusion
in multiple sensor detection systems", IEEE Transactions on Aerospace and Electronic Systems 22(1).
Votes for "threat" and for "benign" have weights of their own, so a sensor that always allows has
weight 0, however rare threats are. Weights by accuracy would trust it most: with 5 % threats it is
right 95 % of the time.

Votes with label feedback are counted in arrays ``counts[..., agent, label, kind]``. The kind of a
vote is 0 for silence, 1 for "benign" and 2 for "threat".
"""

from __future__ import annotations

import math

import numpy as np

from marl_stl_env.arrays import NUMPY, Arrays
from marl_stl_env.consensus.rules import SILENT, DecisionRule, of_class, supporters
from marl_stl_env.types import Action, BoolArray, Float64Array, Int8Array, IntArray

#: The largest weight, so that a trusted sensor that turns faulty has a bounded influence.
CAP = 2.0
#: Number of kinds of votes: silence, "benign" and "threat".
VOTE_KINDS = 3
_BENIGN, _THREAT = 1, 2
_KINDS, _CLASSES = np.arange(VOTE_KINDS), np.array([False, True])


def vote_kinds(actions: Int8Array, arrays: Arrays = NUMPY) -> Int8Array:
    """The kind of each vote: 0 for silence, 1 for "benign" and 2 for "threat".

    Args:
        actions: 0 to 3, or -1 for silence.  # any shape, int8
        arrays: The library of the arrays.
    """
    threat = (actions == int(Action.BLOCK)) | (actions == int(Action.QUARANTINE))
    kinds: Int8Array = arrays.cast(arrays.where(actions == SILENT, 0, _BENIGN + threat), np.int8)
    return kinds


def tally(actions: Int8Array, labels: BoolArray, arrays: Arrays = NUMPY) -> BoolArray:
    """One-hot votes on events with label feedback, to be summed into counts.

    Args:
        actions: 0 to 3, or -1 for silence.  # (events, agents) int8
        labels: True for a threat.  # (events,) bool
        arrays: The library of the arrays.

    Returns:
        True at one entry for each sensor and event.  # (events, agents, 2, 3) bool
    """
    kinds = vote_kinds(actions, arrays)[:, :, None] == arrays.constant(_KINDS)
    classes = labels[:, None] == arrays.constant(_CLASSES)
    one_hot: BoolArray = kinds[:, :, None, :] & classes[:, None, :, None]
    return one_hot


def vote_weights(counts: IntArray, arrays: Arrays = NUMPY) -> Float64Array:
    """The evidence for "threat" in each kind of vote, as log-odds.

    Rates are the means of Beta(1, 1) posteriors, so a sensor without label feedback has weight 0.
    A vote never counts against its own class. A sensor that is wrong more often than right has
    weight 0 rather than a negative one, which a Byzantine sensor could exploit.

    Args:
        counts: Votes with label feedback.  # (..., agents, 2, 3) integer
        arrays: The library of the arrays.

    Returns:
        ``weights[..., agent, kind]``: 0 for silence, in [-``CAP``, 0] for "benign" and in
        [0, ``CAP``] for "threat".  # (..., agents, 3) float64
    """
    votes = arrays.cast(counts[..., _BENIGN:] + 1, np.float64)
    logs = arrays.log(votes / votes.sum(axis=-1)[..., None])
    log_odds = logs[..., 1, :] - logs[..., 0, :]
    weights: Float64Array = arrays.cast(0 * counts[..., 0, :], np.float64)
    weights[..., _BENIGN] = log_odds[..., 0].clip(-CAP, 0.0)
    weights[..., _THREAT] = log_odds[..., 1].clip(0.0, CAP)
    return weights


class ReliabilityRule:
    """A weighted vote with the guarantees of a count.

    The class is the one with the larger expected reward if errors are independent: "threat" iff
    the sum of the weights reaches ``log(p / (1 - p)) - log(threats / benign)``. Here p is the
    cost-optimal threshold, and ``threats`` and ``benign`` count the events with label feedback,
    plus one each. Counts bound the class, so that f Byzantine sensors cannot pass them: at most f
    threat votes are "benign", at least n - f are "threat". Until an event of each class had label
    feedback, ``rule`` decides. Within the class the action is chosen as by ``rule``.

    Args:
        rule: The unweighted vote of the same team.
        threshold: P(threat) from which stopping an event pays, in (0, 1).
        arrays: The library of the arrays.
    """

    def __init__(self, rule: DecisionRule, threshold: float, arrays: Arrays = NUMPY) -> None:
        self.rule, self._arrays = rule, arrays
        self._threshold_log_odds = math.log(threshold) - math.log1p(-threshold)

    def __call__(self, actions: Int8Array, counts: IntArray) -> Int8Array:
        """One decision per lane.

        Args:
            actions: 0 to 3, or -1 for silence.  # (lanes, agents) int8
            counts: Votes with label feedback of each lane.  # (lanes, agents, 2, 3) integer

        Returns:
            The decisions.  # (lanes,) int8
        """
        rule, arrays, support = self.rule, self._arrays, supporters(actions)
        votes = support[1] + support[2]
        # Every sensor has as many; silence counts too.
        benign, threats = counts[:, 0, 0].sum(axis=-1), counts[:, 0, 1].sum(axis=-1)
        required = self._threshold_log_odds - self._log_odds(benign, threats)
        threat = arrays.where(
            (benign > 0) & (threats > 0),
            self.evidence(actions, counts, arrays) >= required,
            votes >= rule.threshold,
        )
        threat &= votes > rule.max_faulty
        threat |= votes >= rule.agents - rule.max_faulty
        decisions: Int8Array = arrays.cast(of_class(threat, support, rule.max_faulty), np.int8)
        return decisions

    @staticmethod
    def evidence(actions: Int8Array, counts: IntArray, arrays: Arrays = NUMPY) -> Float64Array:
        """The sum of the weights of all votes on each event.

        Args:
            actions: 0 to 3, or -1 for silence.  # (lanes, agents) int8
            counts: Votes with label feedback of each lane.  # (lanes, agents, 2, 3) integer
            arrays: The library of the arrays.

        Returns:
            Log-odds for "threat".  # (lanes,) float64
        """
        kinds, weights = vote_kinds(actions, arrays), vote_weights(counts, arrays)
        total: Float64Array = 0.0 * weights[:, 0, 0]
        for agent in range(actions.shape[1]):  # in this order in every library
            for kind in (_BENIGN, _THREAT):
                total = total + weights[:, agent, kind] * (kinds[:, agent] == kind)
        return total

    def _log_odds(self, benign: IntArray, threats: IntArray) -> Float64Array:
        """Log-odds of a threat, each class counted once more.  # (lanes,) float64."""
        logs = [
            self._arrays.log(self._arrays.cast(events + 1, np.float64))
            for events in (threats, benign)
        ]
        odds: Float64Array = logs[0] - logs[1]
        return odds

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

from marl_stl_env.consensus.rules import SILENT, DecisionRule, of_class, supporters
from marl_stl_env.types import THREAT_VOTE, BoolArray, Float64Array, Int8Array, IntArray

#: The largest weight, so that a trusted sensor that turns faulty has a bounded influence.
CAP = 2.0
#: Number of kinds of votes: silence, "benign" and "threat".
VOTE_KINDS = 3
_BENIGN, _THREAT = 1, 2


def vote_kinds(actions: Int8Array) -> Int8Array:
    """The kind of each vote: 0 for silence, 1 for "benign" and 2 for "threat".

    Args:
        actions: 0 to 3, or -1 for silence.  # any shape, int8
    """
    kinds = np.where(actions == SILENT, 0, _BENIGN + THREAT_VOTE[actions])
    return kinds.astype(np.int8)


def tally(actions: Int8Array, labels: BoolArray) -> BoolArray:
    """One-hot votes on events with label feedback, to be summed into counts.

    Args:
        actions: 0 to 3, or -1 for silence.  # (events, agents) int8
        labels: True for a threat.  # (events,) bool

    Returns:
        True at one entry for each sensor and event.  # (events, agents, 2, 3) bool
    """
    kinds = vote_kinds(actions)[:, :, None] == np.arange(VOTE_KINDS)
    classes = labels[:, None] == np.array([False, True])
    one_hot: BoolArray = kinds[:, :, None, :] & classes[:, None, :, None]
    return one_hot


def vote_weights(counts: IntArray) -> Float64Array:
    """The evidence for "threat" in each kind of vote, as log-odds.

    Rates are the means of Beta(1, 1) posteriors, so a sensor without label feedback has weight 0.
    A vote never counts against its own class. A sensor that is wrong more often than right has
    weight 0 rather than a negative one, which a Byzantine sensor could exploit.

    Args:
        counts: Votes with label feedback.  # (..., agents, 2, 3) integer

    Returns:
        ``weights[..., agent, kind]``: 0 for silence, in [-``CAP``, 0] for "benign" and in
        [0, ``CAP``] for "threat".  # (..., agents, 3) float64
    """
    votes = counts[..., _BENIGN:] + 1
    rates = votes / votes.sum(axis=-1, keepdims=True)
    log_odds = np.log(rates[..., 1, :]) - np.log(rates[..., 0, :])
    weights = np.zeros((*counts.shape[:-2], VOTE_KINDS))
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
    """

    def __init__(self, rule: DecisionRule, threshold: float) -> None:
        self.rule = rule
        self._threshold_log_odds = math.log(threshold) - math.log1p(-threshold)

    def __call__(self, actions: Int8Array, counts: IntArray) -> Int8Array:
        """One decision per lane.

        Args:
            actions: 0 to 3, or -1 for silence.  # (lanes, agents) int8
            counts: Votes with label feedback of each lane.  # (lanes, agents, 2, 3) integer

        Returns:
            The decisions.  # (lanes,) int8
        """
        rule, support = self.rule, supporters(actions)
        votes = support[1] + support[2]
        with_feedback = counts[:, 0].sum(axis=-1)  # every sensor has as many; silence counts too
        required = self._threshold_log_odds - _log_odds(with_feedback)
        threat = np.where(
            with_feedback.min(axis=1) > 0,
            self.evidence(actions, counts) >= required,
            votes >= rule.threshold,
        )
        threat &= votes > rule.max_faulty
        threat |= votes >= rule.agents - rule.max_faulty
        decisions: IntArray = of_class(threat, support, rule.max_faulty)
        return decisions.astype(np.int8)

    @staticmethod
    def evidence(actions: Int8Array, counts: IntArray) -> Float64Array:
        """The sum of the weights of all votes on each event.

        Args:
            actions: 0 to 3, or -1 for silence.  # (lanes, agents) int8
            counts: Votes with label feedback of each lane.  # (lanes, agents, 2, 3) integer

        Returns:
            Log-odds for "threat".  # (lanes,) float64
        """
        kinds = vote_kinds(actions)[:, :, None]
        weights = np.take_along_axis(vote_weights(counts), kinds, axis=2)
        total: Float64Array = weights.sum(axis=(1, 2))
        return total


def _log_odds(events: IntArray) -> Float64Array:
    """Log-odds of a threat, each class counted once more.  # (lanes, 2) to (lanes,)."""
    logs = np.log(events + 1.0)
    odds: Float64Array = logs[:, 1] - logs[:, 0]
    return odds

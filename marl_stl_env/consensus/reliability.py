"""A vote that trusts sensors by what they said on events whose truth had label feedback.

A vote weighs as much as it tells threats and benign events apart: the log-likelihood ratio of
Chair and Varshney (1986), "Optimal data fusion in multiple sensor detection systems", IEEE
Transactions on Aerospace and Electronic Systems 22(1). It is kept for each class of
vote, so a sensor that always allows weighs nothing, however rare threats are. Weights by
accuracy would trust it most: at 5 % threats it is right 95 % of the time.

WithFeedback votes are counted in arrays ``counts[..., agent, label, said]``, where ``said`` is 0
for silence, 1 for a vote for "benign" and 2 for one for "threat".
"""

from __future__ import annotations

import math

import numpy as np

from marl_stl_env.consensus.rules import SILENT, DecisionRule, of_class, supporters
from marl_stl_env.types import THREAT_VOTE, BoolArray, Float64Array, Int8Array, IntArray

#: No sensor weighs more than this, so that one who earned trust and turns has one vote's worth.
CAP = 2.0
#: What a sensor can say: nothing, "benign" or "threat".
SAID = 3
_BENIGN, _THREAT = 1, 2


def what_was_said(actions: Int8Array) -> Int8Array:
    """Each action as 0 for silence, 1 for "benign" and 2 for "threat".

    Args:
        actions: 0 to 3, or -1 for silence.  # any shape, int8
    """
    said: Int8Array = np.where(actions == SILENT, 0, _BENIGN + THREAT_VOTE[actions]).astype(np.int8)
    return said


def tally(actions: Int8Array, labels: BoolArray) -> BoolArray:
    """What every sensor said on events whose truth is known, to be added to counts.

    Args:
        actions: 0 to 3, or -1 for silence.  # (events, agents) int8
        labels: True for a threat.  # (events,) bool

    Returns:
        True at one place for each sensor and event.  # (events, agents, 2, 3) bool
    """
    said = what_was_said(actions)[:, :, None] == np.arange(SAID)
    truth = labels[:, None] == np.array([False, True])
    both: BoolArray = said[:, :, None, :] & truth[:, None, :, None]
    return both


def vote_weights(counts: IntArray) -> Float64Array:
    """The evidence for "threat" in what a sensor says: log-odds, at most ``CAP``.

    Rates are the means of Beta(1, 1) posteriors, so a sensor without label feedback weighs 0. A
    vote never speaks against its own class: a sensor that is wrong more often than right weighs 0
    and is not believed in reverse, since it could turn that around at will.

    Args:
        counts: WithFeedback votes.  # (..., agents, 2, 3) integer

    Returns:
        ``weights[..., agent, said]``: 0 for silence, in [-``CAP``, 0] for "benign" and in
        [0, ``CAP``] for "threat".  # (..., agents, 3) float64
    """
    spoken = counts[..., _BENIGN:] + 1
    rates = spoken / spoken.sum(axis=-1, keepdims=True)
    log_odds = np.log(rates[..., 1, :]) - np.log(rates[..., 0, :])
    weights = np.zeros((*counts.shape[:-2], SAID))
    weights[..., _BENIGN] = log_odds[..., 0].clip(-CAP, 0.0)
    weights[..., _THREAT] = log_odds[..., 1].clip(0.0, CAP)
    return weights


class ReliabilityRule:
    """A decision by weighed evidence, within the bounds that lying sensors cannot pass.

    The class is that of the larger expected payoff, if errors are independent: a threat iff the
    sum of the weights reaches ``log(p / (1 - p)) - log(threats / benign)``, with p the
    cost-optimal threshold and the odds of a threat among the events with label feedback (each class
    counted once more). It is bounded by the plain counts: with at most f threat votes it is benign,
    with at least n - f a threat. Until one event of each class had label feedback, the equal vote
    decides. The action is chosen within the class as by the equal vote.

    Args:
        rule: The equal vote of the same team.
        threshold: P(threat) from which stopping an event pays, in (0, 1).
    """

    def __init__(self, rule: DecisionRule, threshold: float) -> None:
        self.rule = rule
        self._bar = math.log(threshold) - math.log1p(-threshold)

    def __call__(self, actions: Int8Array, counts: IntArray) -> Int8Array:
        """One decision per lane.

        Args:
            actions: 0 to 3, or -1 for silence.  # (lanes, agents) int8
            counts: WithFeedback votes of each lane.  # (lanes, agents, 2, 3) integer

        Returns:
            The decisions.  # (lanes,) int8
        """
        rule, support = self.rule, supporters(actions)
        votes = support[1] + support[2]
        checked = counts[:, 0].sum(axis=-1)
        threat = np.where(
            checked.min(axis=1) > 0,
            self.evidence(actions, counts) >= self._bar - _log_odds(checked),
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
            counts: WithFeedback votes of each lane.  # (lanes, agents, 2, 3) integer

        Returns:
            Log-odds for "threat".  # (lanes,) float64
        """
        said = what_was_said(actions)[:, :, None]
        total: Float64Array = np.take_along_axis(vote_weights(counts), said, axis=2).sum((1, 2))
        return total


def _log_odds(checked: IntArray) -> Float64Array:
    """Log-odds of a threat: the mean of a Beta(1, 1) posterior.  # (lanes, 2) to (lanes,)."""
    counts = np.log(checked + 1.0)
    odds: Float64Array = counts[:, 1] - counts[:, 0]
    return odds

"""Rewards, the vote and faulty sensors."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

from marl_stl_env.config.shown import ShowsChanges
from marl_stl_env.errors import ConfigError
from marl_stl_env.validation import check_range, check_types

Weights = Literal["equal", "reliability"]
Dynamics = Literal["replay", "response"]

#: In place of a fault's name: every lane draws one of all built-in faults at its reset.
MIXED = "mixed"
#: The built-in decision rule, and the built-in reward.
THRESHOLD_RULE, PAYOFFS = "threshold", "payoffs"


@dataclass(frozen=True, repr=False)
class RewardConfig(ShowsChanges):
    """What one event is worth, by its true label and the vote on it.

    Attributes:
        true_positive: A threat that was stopped.
        true_negative: A benign event that passed.
        false_positive: A benign event that was stopped.
        false_negative: A threat that passed.
        allow_cost: Subtracted for every Allow.
        block_cost: Subtracted for every Block; None is 0 in a replay and 0.5 in a response.
        quarantine_cost: Subtracted for every Quarantine; None is 0 or 1.
        alert_cost: Subtracted for every Alert, in a response once more above the analyst's
            budget; None is 0 or 0.25.
        team_share: A sensor's reward is ``(1 - team_share)`` of what its own action earns
            plus ``team_share`` of what the team's decision earns; in [0, 1].
        proposal_weight: With deliberation, weight of what a sensor's proposal earns as a statement
            of confidence: Allow, Alert, Block, Quarantine from surely benign to surely a threat.
            0 pays nothing for proposals.
        reward_function: "payoffs" pays what the settings above say. The name of a registered
            reward changes that, event by event; ``threshold`` goes by the settings all the same.
    """

    true_positive: float = 10.0
    true_negative: float = 1.0
    false_positive: float = -8.0
    false_negative: float = -10.0
    allow_cost: float = 0.0
    block_cost: float | None = None
    quarantine_cost: float | None = None
    alert_cost: float | None = None
    team_share: float = 1.0
    proposal_weight: float = 1.0
    reward_function: str = PAYOFFS

    def __post_init__(self) -> None:
        check_types(self)
        for item in fields(self):
            if isinstance(getattr(self, item.name), int | float):
                check_range(item.name, getattr(self, item.name), -1e6, 1e6)
        check_range("team_share", self.team_share, 0.0, 1.0)
        check_range("proposal_weight", self.proposal_weight, 0.0, 1e6)
        if self.true_positive <= self.false_negative or self.true_negative <= self.false_positive:
            raise ConfigError(
                "a right vote must earn more than a wrong one, but true_positive="
                f"{self.true_positive}, false_negative={self.false_negative}, true_negative="
                f"{self.true_negative}, false_positive={self.false_positive}"
            )

    def action_costs(self, dynamics: Dynamics = "replay") -> tuple[float, float, float, float]:
        """The cost of each action, in the order of :class:`~marl_stl_env.types.Action`."""
        given = (self.block_cost, self.quarantine_cost, self.alert_cost)
        usual = (0.5, 1.0, 0.25) if dynamics == "response" else (0.0, 0.0, 0.0)
        block, quarantine, alert = (
            default if cost is None else cost for cost, default in zip(given, usual, strict=True)
        )
        return self.allow_cost, block, quarantine, alert

    @property
    def threshold(self) -> float:
        """The cost-optimal rule stops an event iff P(threat) is at least this (action costs aside).

        Elkan (2001), "The foundations of cost-sensitive learning", equation 2.
        """
        benign_gap = self.true_negative - self.false_positive
        threat_gap = self.true_positive - self.false_negative
        return benign_gap / (benign_gap + threat_gap)


@dataclass(frozen=True, repr=False)
class ConsensusConfig(ShowsChanges):
    """How many sensors may be Byzantine, and how many threat votes decide "threat".

    Attributes:
        max_faulty: Byzantine sensors to tolerate (f). None takes all that the team can bear,
            ``(agents - 1) // 3``: none at all below four sensors.
        threshold: Threat votes that decide "threat" (tau), ``f + 1 <= tau <= agents - f``.
            None takes ``ceil(agents / 2)``.
        weights: With "equal" every vote counts alike. With "reliability" a vote weighs as much as
            its sensor has told threats and benign events apart on events with label feedback;
            ``threshold`` then decides only until one event of each class had label feedback.
        feedback_share: Share of the past events whose true label the team learns, in (0, 1]; used
            with "reliability" alone.
        rule: How votes become a decision: "threshold", which counts them, or the name of a
            registered rule.
    """

    max_faulty: int | None = None
    threshold: int | None = None
    weights: Weights = "equal"
    feedback_share: float = 0.1
    rule: str = THRESHOLD_RULE

    def __post_init__(self) -> None:
        check_types(self)
        check_range("feedback_share", self.feedback_share, 0.0, 1.0, open_low=True)
        if self.weights == "reliability" and self.rule != THRESHOLD_RULE:
            raise ConfigError(
                f"weights='reliability' with rule={self.rule!r}: the weights replace the count of "
                f"the rule {THRESHOLD_RULE!r}, and another rule has none; use weights='equal'"
            )

    def faulty_for(self, agents: int) -> int:
        """The number of Byzantine sensors f that ``agents`` sensors tolerate here.

        Raises:
            ConfigError: If ``agents < 3 f + 1``.
        """
        bound = (agents - 1) // 3
        faulty = bound if self.max_faulty is None else self.max_faulty
        if not 0 <= faulty <= bound:
            raise ConfigError(
                f"max_faulty={faulty} is outside [0, {bound}]: {agents} sensors tolerate at most "
                f"{bound} Byzantine ones (agents >= 3 * max_faulty + 1); use at least "
                f"{3 * max(faulty, 0) + 1} sensors or a smaller max_faulty"
            )
        return faulty

    def threshold_for(self, agents: int) -> int:
        """The number of threat votes tau that decides "threat" among ``agents`` sensors.

        Raises:
            ConfigError: If the threshold lies outside ``[f + 1, agents - f]``.
        """
        faulty = self.faulty_for(agents)
        threshold = math.ceil(agents / 2) if self.threshold is None else self.threshold
        if not faulty + 1 <= threshold <= agents - faulty:
            raise ConfigError(
                f"threshold={threshold} is outside [{faulty + 1}, {agents - faulty}] for {agents} "
                f"sensors with max_faulty={faulty}: fewer votes would let the Byzantine sensors "
                "decide alone, more would let them veto"
            )
        return threshold


@dataclass(frozen=True, repr=False)
class FaultConfig(ShowsChanges):
    """How many sensors are faulty, and in what way.

    Attributes:
        faulty: Faulty sensors of every lane (k), drawn anew at each reset; 0 to all of them.
        fault: A name from ``marl_stl_env.consensus.faults.FAULTS``, or several joined by ``+``, of
            which each lane draws one at each reset; "mixed" stands for all built-in ones.
        sleeper_start: First step of the episode at which a "sleeper" turns, counted from 0.
    """

    faulty: int = 0
    fault: str = MIXED
    sleeper_start: int = 100

    def __post_init__(self) -> None:
        check_types(self)
        check_range("faulty", self.faulty, 0, 64)
        check_range("sleeper_start", self.sleeper_start, 0, 10**9)

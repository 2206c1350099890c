"""The record of a training: what its checklist is gone through with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

#: The iterations after which the checklist is gone through; the last one always is.
ITERATIONS = (10, 30, 50, 80, 100, 150)


def due(iteration: int, last: int) -> bool:
    """Whether the checklist is gone through after this iteration."""
    return iteration in ITERATIONS or iteration == last


@dataclass(frozen=True)
class Iteration:
    """What one rollout and its update left behind; None where it is not known.

    Attributes:
        iteration: Counted from 1.
        timesteps: Agent-steps so far.
        reward: Mean unscaled reward of an honest sensor per event, while it samples its actions.
        threat_share: Share of threats among the events of the rollout.
        threat_share_error: Its standard error, from what differs between the lanes.
        shares: Share of each action in what the policy sampled.
        gain_benign: On benign events, what sensors earn if they and the team vote rightly over
            what they earn if both vote wrongly.
        gain_threat: The same on threats.
        explained_variance: Of the returns, by the value function before the update.
        value_loss: Mean squared error of the value function, in reward units.
        value_error: The same, over the mean square of what it should predict.
        value_spread: How much the values of the rollout differ: their standard deviation over the
            root mean square of what they should predict.
        entropy: Of the policy.
        approx_kl: Divergence between the policy before the update and after it.
        clip_fraction: Share of probability ratios that were clipped.
        gradient_norm: Largest norm of a gradient before it is clipped.
        signal: How well a small classifier tells threats from the rollout's observations (AUC).
        signal_error: Its standard error if the observations held nothing.
        evaluated: Figures of the greedy team on validation, where there was a rollout.
    """

    iteration: int
    timesteps: int
    reward: float | None
    threat_share: float
    threat_share_error: float | None
    shares: dict[str, float]
    gain_benign: float | None
    gain_threat: float | None
    explained_variance: float | None
    value_loss: float
    value_error: float | None
    value_spread: float | None
    entropy: float
    approx_kl: float
    clip_fraction: float
    gradient_norm: float
    signal: float | None = None
    signal_error: float | None = None
    evaluated: dict[str, float] | None = None


@dataclass(frozen=True)
class Setting:
    """What the record of a run is compared with.

    Attributes:
        threat_rate: Share of threats in the training split.
        constant_reward: What the better constant policy earns per validation event.
        constant_f1: F1 of blocking every validation event.
        learning_rate: Step size at the beginning.
        entropy_coefficient: Weight of the entropy bonus.
        discount: Discount of future rewards.
        replay: Whether events do not depend on the actions.
    """

    threat_rate: float
    constant_reward: float
    constant_f1: float
    learning_rate: float
    entropy_coefficient: float
    discount: float
    replay: bool = True


@dataclass(frozen=True)
class Fault:
    """A NaN or inf that ended a training.

    Attributes:
        place: Where it was seen first.
        remedy: What to try.
    """

    place: str
    remedy: str


History: TypeAlias = Sequence[Iteration]

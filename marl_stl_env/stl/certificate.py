"""Certificates: what a fixed number of episodes proves about a policy.

The policy is frozen, the number of episodes K is fixed before the first one, and their seeds are
fresh. Then the number of failures is binomial, and with at most ``allowed_failures`` of them the
statement "the formula holds with probability at least 1 - epsilon" is wrong with probability at
most delta. It speaks of the distribution the episodes came from, and of no other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from marl_stl_env.errors import CertificateError
from marl_stl_env.types import AnyArray, BoolArray
from marl_stl_env.validation import check_range


@dataclass(frozen=True)
class Certificate:
    """What K episodes prove about one formula.

    Attributes:
        episodes: Number of episodes, K.
        failures: Episodes that violated the formula.
        allowed_failures: The most failures that still certify; -1 if K is too small for any.
        epsilon: The formula may fail with this probability.
        delta: The statement may be wrong with this probability.
        certified: Whether "holds with probability >= 1 - epsilon" is proved.
        lower_bound: Lower confidence bound on the probability that it holds, at level 1 - delta.
        margin: An episode's robustness is at least this with probability >= 1 - epsilon, proved
            at level 1 - delta; -inf if K is too small.
    """

    episodes: int
    failures: int
    allowed_failures: int
    epsilon: float
    delta: float
    certified: bool
    lower_bound: float
    margin: float


def allowed_failures(episodes: int, epsilon: float, delta: float) -> int:
    """The most failures among K episodes that still certify; -1 if none do.

    Args:
        episodes: K.
        epsilon: Probability of failure to stay below, in (0, 1].
        delta: Probability of a wrong certificate to stay below, in (0, 1].

    Raises:
        ConfigError: If an argument is out of range.
    """
    check_range("episodes", episodes, 1)
    check_range("epsilon", epsilon, 0.0, 1.0, open_low=True)
    check_range("delta", delta, 0.0, 1.0, open_low=True)
    return _allowed_failures(int(episodes), float(epsilon), float(delta))


def certify(
    satisfied: BoolArray, robustness: AnyArray, *, epsilon: float = 0.05, delta: float = 0.05
) -> Certificate:
    """Certify one formula.

    Certified iff BinCDF(failures; K, epsilon) <= delta. Clopper and Pearson (1934), "The use of
    confidence or fiducial limits". The margin is the (allowed failures + 1)-th smallest
    robustness: Vovk (2012), "Conditional validity of inductive conformal predictors".

    Args:
        satisfied: Whether each episode satisfied the formula.  # (K,) bool
        robustness: Its robustness.  # (K,) float
        epsilon: The formula may fail with this probability.
        delta: The statement may be wrong with this probability.

    Raises:
        CertificateError: If the arrays do not fit each other, are empty or hold NaN.
        ConfigError: If epsilon or delta is outside (0, 1].
    """
    from scipy.special import betaincinv  # all of scipy.stats takes a second to import

    truth, values = np.asarray(satisfied), np.asarray(robustness, np.float64)
    _check_episodes(truth, values)
    episodes, kept = len(truth), int(truth.sum())
    failures, allowed = episodes - kept, allowed_failures(episodes, epsilon, delta)
    return Certificate(
        episodes=episodes,
        failures=failures,
        allowed_failures=allowed,
        epsilon=epsilon,
        delta=delta,
        certified=failures <= allowed,
        lower_bound=float(betaincinv(kept, failures + 1, delta)) if kept else 0.0,
        margin=float(np.partition(values, allowed)[allowed]) if allowed >= 0 else -math.inf,
    )


def certify_all(
    satisfied: Mapping[str, BoolArray],
    robustness: Mapping[str, AnyArray],
    *,
    epsilon: float = 0.05,
    delta: float = 0.05,
) -> dict[str, Certificate]:
    """Certify several formulas on the same episodes; all statements hold together.

    Each is certified at delta divided by their number (Bonferroni), so that any of them is wrong
    with probability at most delta. To certify a conjunction, pass it to :func:`certify` alone.

    Args:
        satisfied: Name to whether each episode satisfied the formula.  # (K,) bool each
        robustness: Name to its robustness.  # (K,) float each
        epsilon: Each formula may fail with this probability.
        delta: Any of the statements may be wrong with this probability.

    Raises:
        CertificateError: If the names differ or arrays do not fit.
        ConfigError: If epsilon or delta is outside (0, 1].
    """
    if satisfied.keys() != robustness.keys() or not satisfied:
        raise CertificateError(
            f"satisfied has {sorted(satisfied)}, robustness {sorted(robustness)}: give the same "
            "names in both, at least one"
        )
    share = delta / len(satisfied)
    return {
        name: certify(truth, robustness[name], epsilon=epsilon, delta=share)
        for name, truth in satisfied.items()
    }


@lru_cache
def _allowed_failures(episodes: int, epsilon: float, delta: float) -> int:
    from scipy.special import betainc

    failures = np.arange(episodes)
    likely = betainc(episodes - failures, failures + 1, 1.0 - epsilon)  # the binomial's CDF
    return int(np.count_nonzero(likely <= delta)) - 1


def _check_episodes(satisfied: AnyArray, robustness: AnyArray) -> None:
    if satisfied.ndim != 1 or satisfied.dtype != np.bool_ or satisfied.shape != robustness.shape:
        raise CertificateError(
            f"satisfied is {satisfied.shape} {satisfied.dtype} and robustness {robustness.shape}; "
            "both must be (K,), satisfied boolean"
        )
    if not len(satisfied):
        raise CertificateError("no episode was run, so nothing can be certified")
    if np.isnan(robustness).any():
        raise CertificateError(
            f"the robustness of episode {int(np.isnan(robustness).argmax())} is NaN; an episode "
            "without a sample can't be certified"
        )
    if (satisfied & (robustness < 0)).any() or (~satisfied & (robustness > 0)).any():
        raise CertificateError("truth and robustness contradict each other: are they of one run?")

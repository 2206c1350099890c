"""Yardsticks on the data set ``synthetic``, whose generating model is known.

For a fixed attacker, Bayes' rule gives the exact probability that a disguised event is a threat:
no team can know more. For a fixed threshold on such a probability, trying all disguises gives the
attacker's exact best response.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np

from marl_stl_env.adversary.disguise import Disguises
from marl_stl_env.data.datasets.synthetic.features import FEATURES
from marl_stl_env.data.datasets.synthetic.kinds import KINDS
from marl_stl_env.data.datasets.synthetic.laws import LOG_NORMAL, NORMAL, POISSON
from marl_stl_env.data.datasets.synthetic.model import log_joint, threat_share
from marl_stl_env.errors import ConfigError
from marl_stl_env.types import AnyArray, Float32Array, Float64Array, Int8Array

#: How a fixed attacker chooses: the probabilities of no disguise and of each, the same for every
#: event (K + 1,), or a function of raw events (rows, columns) to (rows, K + 1).
Chances: TypeAlias = Float64Array | Callable[[Float64Array], Float64Array]

_NAMES = tuple(feature.name for feature in FEATURES)
_THREAT = np.array([kind.threat for kind in KINDS])


def disguised_posterior(
    disguises: Disguises,
    chances: Chances,
    events: Float32Array,
    views: Iterable[str] | None = None,
) -> Float64Array:
    """The exact P(threat | what these views show of an event that may be disguised).

    With the disguises ``T_k``, of which the attacker takes k with probability ``c_k``, and none as
    ``T_0``,

        P(x') = sum over threat kinds of pi_j sum over k of c_k(x) p_j(x) |dx / dx'|
                + sum over benign kinds of pi_j p_j(x'),      where x is T_k undone on x'.

    Every disguise multiplies a log-normal column, or shifts a normal or a Poisson one. For the
    first two, the Jacobian and the part of the density that all kinds share cancel; for the last
    there remains ``x'! / x!``.

    Args:
        disguises: The disguises.
        chances: How the attacker chooses.
        events: Raw events, disguised or not, in the order of the model.  # (rows, columns) float32
        views: Names of the views that are seen; None sees all.

    Returns:
        Probabilities.  # (rows,) float64

    Raises:
        ConfigError: If a disguise is not of this kind, or cannot be undone.
    """
    shown = None if views is None else [*views]
    seen = {f.name for f in FEATURES if shown is None or f.view in shown}
    joint = log_joint(events, shown)
    parts = [np.where(_THREAT, -np.inf, joint)]
    for number in range(len(disguises) + 1):
        before, correction = undone(disguises, number, events, seen)
        chance = chances if isinstance(chances, np.ndarray) else chances(before)
        with np.errstate(divide="ignore"):
            weight = np.log(np.broadcast_to(chance, (len(events), len(disguises) + 1))[:, number])
        possible = np.isfinite(correction)
        part = log_joint(np.where(possible[:, None], before, events), shown)
        whole = part + np.where(possible, correction + weight, -np.inf)[:, None]
        parts.append(np.where(_THREAT, whole, -np.inf))
    return threat_share(np.logaddexp.reduce(np.stack(parts), axis=0))


def undone(
    disguises: Disguises, number: int, events: Float32Array, seen: set[str]
) -> tuple[Float64Array, Float64Array]:
    """The events as they were before a disguise.

    Args:
        disguises: The disguises.
        number: 0 for none, 1 to K.
        events: Disguised raw events.  # (rows, columns) float32
        seen: Columns that count.

    Returns:
        Raw events (rows, columns) float64, and what the change of density adds to the logarithm of
        their weight, -inf where nothing becomes such an event (rows,) float64.

    Raises:
        ConfigError: If the disguise cannot be undone.
    """
    from scipy.special import gammaln

    before, correction = events.astype(np.float64), np.zeros(len(events))
    if number == 0:
        return before, correction
    for column, change in zip(disguises.columns, disguises.changes[number - 1], strict=True):
        at = _NAMES.index(column)
        _check_invertible(disguises, column, float(change))
        if change == 0.0:
            continue
        values = before[:, at].copy()
        if FEATURES[at].law is LOG_NORMAL:
            before[:, at] = values / np.exp(change)
            continue
        before[:, at] = values - change
        if FEATURES[at].law is POISSON and column in seen:
            there = before[:, at] >= 0
            ratio = gammaln(values + 1.0) - gammaln(np.where(there, before[:, at], 0.0) + 1.0)
            correction += np.where(there, ratio, -np.inf)
    return before, correction


def best_response(effectiveness: AnyArray, scores: Float64Array, threshold: float) -> Int8Array:
    """The attacker's exact best response to a team that stops what scores at least a threshold.

    Args:
        effectiveness: What is left of an attack's worth, without and in each disguise.
            # (K + 1,)
        scores: Score of every attack, without and in each disguise.  # (rows, K + 1) float64
        threshold: The team's.

    Returns:
        The disguise that passes and is worth most, 0 for none and where none passes.
        # (rows,) int8
    """
    worth = np.where(scores < threshold, effectiveness, 0.0)
    best: Int8Array = worth.argmax(axis=1).astype(np.int8)
    return best


def _check_invertible(disguises: Disguises, column: str, change: float) -> None:
    """Refuse changes of which the law of the disguised column does not follow."""
    limits, law = disguises.constraints.mutable[column], FEATURES[_NAMES.index(column)].law
    factor = limits.change == "factor"
    fits = (
        (law is LOG_NORMAL and factor and not limits.integer and limits.unit == 0.0)
        or (law is NORMAL and not factor and not limits.integer)
        or (law is POISSON and not factor and change >= 0.0 and change == round(change))
    )
    if not fits or limits.least is not None or limits.most is not None:
        raise ConfigError(
            f"the law of the disguised column {column!r} is not known: multiply a log-normal "
            "column, or shift a normal one, or a Poisson one by a whole number upwards, without "
            "bounds"
        )
    if disguises.constraints.sums or disguises.constraints.rates:
        raise ConfigError("the columns of 'synthetic' are independent: leave out sums and rates")

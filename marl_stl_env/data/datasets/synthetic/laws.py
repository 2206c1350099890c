"""The laws of the synthetic features, written as exponential families.

A law has the density ``p(x) = h(x) * exp(statistics(x) @ weights + offset)``, in which only
``weights`` and ``offset`` depend on the kind of event. ``h`` is the same for all kinds and drops
out of every posterior, so that the log-likelihoods of all kinds are one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from marl_stl_env.types import Float64Array

Parameters = tuple[float, ...]
Natural = tuple[tuple[float, ...], float]


@dataclass(frozen=True)
class Law:
    """A family of distributions.

    Attributes:
        statistics: Values (rows,) to sufficient statistics (rows, statistics).
        natural: Parameters of one kind to the weights of the statistics and the offset.
        sample: Parameters (rows, parameters) to one value per row.
        categories: Names of the codes, for a categorical law.
    """

    statistics: Callable[[Float64Array], Float64Array]
    natural: Callable[[Parameters], Natural]
    sample: Callable[[np.random.Generator, Float64Array], Float64Array]
    categories: tuple[str, ...] = ()


def _itself(values: Float64Array) -> Float64Array:
    return values[:, None]


def _powers(values: Float64Array) -> Float64Array:
    return np.stack([values, values**2], axis=1)


def _normal(parameters: Parameters) -> Natural:
    mean, sd = parameters
    return (mean / sd**2, -0.5 / sd**2), -0.5 * (mean / sd) ** 2 - math.log(sd)


def _log_normal(parameters: Parameters) -> Natural:
    median, sd = parameters
    return _normal((math.log(median), sd))


def _poisson(parameters: Parameters) -> Natural:
    (mean,) = parameters
    return (math.log(mean),), -mean


def _bernoulli(parameters: Parameters) -> Natural:
    (p,) = parameters
    return (math.log(p / (1 - p)),), math.log1p(-p)


def _categorical(parameters: Parameters) -> Natural:
    return tuple(math.log(p) for p in parameters), 0.0


def _draw_category(rng: np.random.Generator, parameters: Float64Array) -> Float64Array:
    above = rng.random((len(parameters), 1)) >= parameters[:, :-1].cumsum(axis=1)
    return np.asarray(above.sum(axis=1), np.float64)


#: Parameters: mean, standard deviation.
NORMAL = Law(_powers, _normal, lambda rng, p: rng.normal(p[:, 0], p[:, 1]))
#: Parameters: median, standard deviation of the logarithm.
LOG_NORMAL = Law(
    lambda values: _powers(np.log(values)),
    _log_normal,
    lambda rng, p: rng.lognormal(np.log(p[:, 0]), p[:, 1]),
)
#: Parameter: mean.
POISSON = Law(_itself, _poisson, lambda rng, p: rng.poisson(p[:, 0]).astype(np.float64))
#: Parameter: probability of 1; values are 0 and 1.
BERNOULLI = Law(
    _itself, _bernoulli, lambda rng, p: (rng.random(len(p)) < p[:, 0]).astype(np.float64)
)


def categorical(*categories: str) -> Law:
    """Parameters: one positive probability per category; values are the codes 0, 1, ..."""
    codes = np.arange(len(categories))
    return Law(
        lambda values: np.asarray(values[:, None] == codes, np.float64),
        _categorical,
        _draw_category,
        categories,
    )

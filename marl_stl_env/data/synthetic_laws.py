"""The laws of the synthetic features, written as exponential families.

A law has the density ``p(x) = h(x) * exp(statistics(x) @ weights + offset)``, in which only
``weights`` and ``offset`` depend on the kind of event. ``h`` is the same for all kinds and drops
out of every posterior, so that the log-likelihoods of all kinds are one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from marl_stl_env.types import Float64Array

Parameters = tuple[float, ...]


class Law(Protocol):
    """What a family of distributions offers."""

    def statistics(self, values: Float64Array) -> Float64Array:
        """The sufficient statistics.  # (rows,) -> (rows, statistics)"""

    def natural(self, parameters: Parameters) -> tuple[Sequence[float], float]:
        """The weights of the statistics and the offset."""

    def sample(self, rng: np.random.Generator, parameters: Float64Array) -> Float64Array:
        """One value per row.  # (rows, parameters) -> (rows,)"""


@dataclass(frozen=True)
class Normal:
    """Parameters: mean, standard deviation."""

    def statistics(self, values: Float64Array) -> Float64Array:
        return np.stack([values, values**2], axis=1)

    def natural(self, parameters: Parameters) -> tuple[Sequence[float], float]:
        mean, sd = parameters
        return (mean / sd**2, -0.5 / sd**2), -0.5 * (mean / sd) ** 2 - math.log(sd)

    def sample(self, rng: np.random.Generator, parameters: Float64Array) -> Float64Array:
        return rng.normal(parameters[:, 0], parameters[:, 1])


@dataclass(frozen=True)
class LogNormal:
    """Parameters: median, standard deviation of the logarithm."""

    def statistics(self, values: Float64Array) -> Float64Array:
        return Normal().statistics(np.log(values))

    def natural(self, parameters: Parameters) -> tuple[Sequence[float], float]:
        median, sd = parameters
        return Normal().natural((math.log(median), sd))

    def sample(self, rng: np.random.Generator, parameters: Float64Array) -> Float64Array:
        return rng.lognormal(np.log(parameters[:, 0]), parameters[:, 1])


@dataclass(frozen=True)
class Poisson:
    """Parameter: mean."""

    def statistics(self, values: Float64Array) -> Float64Array:
        return values[:, None]

    def natural(self, parameters: Parameters) -> tuple[Sequence[float], float]:
        (mean,) = parameters
        return (math.log(mean),), -mean

    def sample(self, rng: np.random.Generator, parameters: Float64Array) -> Float64Array:
        return rng.poisson(parameters[:, 0]).astype(np.float64)


@dataclass(frozen=True)
class Categorical:
    """Parameters: one probability per category, all positive; values are the codes 0, 1, ..."""

    categories: tuple[str, ...]

    def statistics(self, values: Float64Array) -> Float64Array:
        return (values[:, None] == np.arange(len(self.categories))).astype(np.float64)

    def natural(self, parameters: Parameters) -> tuple[Sequence[float], float]:
        return tuple(math.log(p) for p in parameters), 0.0

    def sample(self, rng: np.random.Generator, parameters: Float64Array) -> Float64Array:
        above = rng.random(len(parameters))[:, None] >= parameters[:, :-1].cumsum(axis=1)
        return above.sum(axis=1).astype(np.float64)


@dataclass(frozen=True)
class Bernoulli:
    """Parameter: probability of 1; values are 0 and 1."""

    def statistics(self, values: Float64Array) -> Float64Array:
        return values[:, None]

    def natural(self, parameters: Parameters) -> tuple[Sequence[float], float]:
        (p,) = parameters
        return (math.log(p / (1 - p)),), math.log1p(-p)

    def sample(self, rng: np.random.Generator, parameters: Float64Array) -> Float64Array:
        return (rng.random(len(parameters)) < parameters[:, 0]).astype(np.float64)

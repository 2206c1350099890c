"""The columns of second opinions: log-odds of forests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from marl_stl_env.data.encoding import CLIP
from marl_stl_env.data.opinions.forest import Forest
from marl_stl_env.errors import TableError
from marl_stl_env.types import Float32Array, Float64Array

#: The group of columns that holds the opinions.
VIEW = "second opinions"
#: A forest counts as this many trees, with a quarter of a tree for and against every event.
TREES, PRIOR = 100, 0.25


@dataclass(frozen=True, eq=False)
class Opinions:
    """Forests that score new events; each writes a column.

    Attributes:
        forests: The forests, fitted on the training split.
    """

    forests: tuple[Forest, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(forest.name for forest in self.forests)

    def columns(self, features: Float32Array) -> Float32Array:
        """What the forests make of events.

        Args:
            features: Scaled features.  # (rows, features) float32

        Returns:
            Log-odds of a threat in [-5, 5].  # (rows, forests) float32
        """
        found = [log_odds(forest.probabilities(features)) for forest in self.forests]
        return np.stack(found, axis=1)

    def to_dict(self) -> list[dict[str, Any]]:
        """The forests in JSON types; :meth:`from_dict` is the inverse."""
        return [forest.to_dict() for forest in self.forests]

    @classmethod
    def from_dict(cls, data: Any, features: int) -> Opinions:
        """The opinions with this representation.

        Args:
            data: What :meth:`to_dict` gave.
            features: Features of an event.

        Raises:
            TableError: If it represents none.
        """
        if not isinstance(data, list) or not all(isinstance(one, Mapping) for one in data):
            raise TableError("second opinions are a list of forests")
        found = cls(tuple(Forest.from_dict(one, features) for one in data))
        if not found.forests or len(set(found.names)) < len(found.names):
            raise TableError("second opinions are forests with different names")
        return found


def log_odds(probabilities: Float64Array) -> Float32Array:
    """Log-odds of a share of 100 trees, a quarter of a tree added to both sides.

    Args:
        probabilities: P(threat).  # (rows,) float64

    Returns:
        log((100 p + 1/4) / (100 (1 - p) + 1/4)), clipped to [-5, 5].  # (rows,) float32
    """
    votes = TREES * probabilities
    odds = np.log((votes + PRIOR) / (TREES - votes + PRIOR))
    return np.clip(odds, -CLIP, CLIP).astype(np.float32)

"""The evidence of a threat: what a classifier says of an event, and what is known of its entity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from marl_stl_env.types import Float32Array, Float64Array

_LEAST = 1e-5


@dataclass(frozen=True)
class EntityEvidence:
    """How much what a team knows of an entity weighs, in log-odds of a threat.

    Attributes:
        record: Added where an entity's record is 1.
        verdict: Added for an analyst's verdict "threat", subtracted for "benign".
    """

    record: float = 2.0
    verdict: float = 4.0

    def log_odds(self, layout: Sequence[str], observations: Float32Array) -> Float64Array:
        """What the context columns of observations add; 0 where there are none.

        Args:
            layout: Name of each column of an observation.
            observations: (batch, width) float32

        Returns:
            (batch,) float64
        """
        weights = {
            "record": self.record,
            "verdict_threat": self.verdict,
            "verdict_benign": -self.verdict,
        }
        known = [(layout.index(name), weight) for name, weight in weights.items() if name in layout]
        columns = [column for column, _ in known]
        added: Float64Array = observations[:, columns] @ np.array([weight for _, weight in known])
        return added


def log_odds(probabilities: Float64Array) -> Float64Array:
    """``log(p / (1 - p))``, with p kept away from 0 and 1.  # same shape, float64."""
    kept = probabilities.clip(_LEAST, 1 - _LEAST)
    found: Float64Array = np.log(kept / (1 - kept))
    return found


def threshold_log_odds(threshold: float) -> float:
    """The log-odds at which a threat is answered.

    Args:
        threshold: The probability from which on blocking pays; a reward that always or never
            blocks has one outside (0, 1).
    """
    kept = min(max(threshold, _LEAST), 1 - _LEAST)
    return math.log(kept / (1 - kept))

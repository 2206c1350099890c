"""Prices of specifications, moved by a PID controller on their violation rates."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np

from marl_stl_agents.config import ConstraintConfig
from marl_stl_env.types import AnyArray, Float64Array

#: Weight of a new measurement in the smoothed violation rates.
_SMOOTHING = 0.3
#: Measurements over which the rise of a violation rate is taken.
_RISE = 3
_PREFIX = "multipliers."


class PIDMultipliers:
    """Lagrange multipliers that answer to present, past and rising violations.

    Stooke, Achiam and Abbeel (2020), "Responsive safety in reinforcement learning by PID
    Lagrangian methods": ``lambda = clip(Kp * ema(e) + I + Kd * D, 0, max)`` with the excess ``e``
    of the violation rate over its budget, ``I = clip(I + Ki * e, 0, max)``, and ``D`` the rise of
    the smoothed rate over the last measurements, at least 0.

    Args:
        count: Number of priced specifications.
        config: The gains and the budget of all specifications together.

    Attributes:
        values: The price of each specification.  # (count,) float64
        budget: Share of episodes in which each may be violated.
    """

    def __init__(self, count: int, config: ConstraintConfig) -> None:
        self._config, self.budget = config, config.budget / max(count, 1)
        self.values: Float64Array = np.zeros(count)
        self._integral: Float64Array = np.zeros(count)
        self._smoothed: deque[Float64Array] = deque(maxlen=_RISE + 1)

    def update(self, rates: Float64Array) -> None:
        """Take a measurement of the violation rates.  # (count,) float64 in [0, 1]."""
        gains = self._config
        last = self._smoothed[-1] if self._smoothed else rates
        smoothed = last + _SMOOTHING * (rates - last)
        self._smoothed.append(smoothed)
        rise = np.maximum(smoothed - self._smoothed[0], 0.0)
        limit = gains.max_multiplier
        grown = self._integral + gains.integral * (rates - self.budget)
        self._integral = np.clip(grown, 0.0, limit)
        excess = smoothed - self.budget
        price = gains.proportional * excess + self._integral + gains.derivative * rise
        self.values = np.clip(price, 0.0, limit)

    def get_state(self) -> dict[str, AnyArray]:
        """All that is needed to continue, as plain arrays."""
        history = np.full((_RISE + 1, len(self.values)), -1.0)
        if self._smoothed:
            history[-len(self._smoothed) :] = np.stack(self._smoothed)
        return {
            f"{_PREFIX}values": self.values,
            f"{_PREFIX}integral": self._integral,
            f"{_PREFIX}smoothed": history,
        }

    def set_state(self, arrays: Mapping[str, AnyArray]) -> None:
        """Go back to a state that :meth:`get_state` gave.

        Raises:
            KeyError: If it is not there.
        """
        self.values = arrays[f"{_PREFIX}values"].copy()
        self._integral = arrays[f"{_PREFIX}integral"].copy()
        taken = [row for row in arrays[f"{_PREFIX}smoothed"].copy() if (row >= 0).all()]
        self._smoothed = deque(taken if len(self.values) else [], maxlen=_RISE + 1)

"""How much the sensors' errors go together: what no vote can repair."""

from __future__ import annotations

import numpy as np

from marl_stl_env.types import BoolArray


def error_correlation(votes: BoolArray, labels: BoolArray) -> float:
    """Mean Pearson correlation of errors over all pairs of sensors.

    Near 0 the errors are independent and a vote averages them out; near 1 the sensors are clones
    and a vote of n is worth one of them.

    A sensor that is always right, or always wrong, has errors without variance and so no
    correlation with any other: its pairs are left out. Where no pair remains the result is 0.

    Args:
        votes: True for "threat".  # (events, agents) bool
        labels: True for a threat.  # (events,) bool

    Returns:
        The mean, in [-1, 1], never NaN.
    """
    errors = votes != labels[:, None]
    wrong = errors.sum(axis=0)
    varying = errors[:, (wrong > 0) & (wrong < len(errors))]
    sensors = varying.shape[1]
    if sensors < 2:
        return 0.0
    pairs = np.corrcoef(varying, rowvar=False)[np.triu_indices(sensors, k=1)]
    return float(pairs.mean())

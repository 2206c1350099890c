"""Correlation of the sensors' errors, which limits what a vote can gain."""

from __future__ import annotations

import numpy as np

from marl_stl_env.types import BoolArray, Float64Array


def error_correlation(votes: BoolArray, labels: BoolArray) -> float:
    """Mean Pearson correlation of errors over all pairs of sensors.

    Near 0 errors are uncorrelated and a vote averages them out. Near 1 the sensors err together
    and a vote of n sensors is worth a single one.

    The errors of a sensor that is always right, or always wrong, have no variance, so its
    correlations are undefined: its pairs are left out. If no pair remains, the result is 0.

    Args:
        votes: True for "threat".  # (events, agents) bool
        labels: True for a threat.  # (events,) bool

    Returns:
        The mean, in [-1, 1], never NaN.
    """
    matrix = error_correlations(votes, labels)
    pairs = matrix[np.triu_indices(len(matrix), k=1)]
    known = pairs[~np.isnan(pairs)]
    return float(known.mean()) if len(known) else 0.0


def error_correlations(votes: BoolArray, labels: BoolArray) -> Float64Array:
    """Pearson correlation of the errors of each pair of sensors.

    Args:
        votes: True for "threat".  # (events, agents) bool
        labels: True for a threat.  # (events,) bool

    Returns:
        Symmetric matrix in [-1, 1]; NaN in the rows and columns of sensors whose errors have no
        variance.  # (agents, agents) float64
    """
    errors = votes != labels[:, None]
    wrong = errors.sum(axis=0)
    varying = np.flatnonzero((wrong > 0) & (wrong < len(errors)))
    matrix = np.full((errors.shape[1],) * 2, np.nan)
    if len(varying):
        matrix[np.ix_(varying, varying)] = np.corrcoef(errors[:, varying], rowvar=False)
    return matrix

"""Normalisation of what the value function learns.

Three ways: "running" divides every reward by the running deviation of the discounted return
(``VecNormalize``), "batch" normalises each rollout's returns by themselves, "none" does neither.
"""

from __future__ import annotations

import numpy as np

from marl_stl_env.types import BoolArray, Float32Array

_EPSILON = 1e-8


def normalize_returns(returns: Float32Array, counted: BoolArray) -> tuple[Float32Array, float]:
    """The published formula: ``(returns - mean) / (std + 1e-8)``, centred only if std <= 1e-8.

    Args:
        returns: Returns of a rollout.  # (steps, n_envs) float32
        counted: Which of them mean and deviation are of.  # (steps, n_envs) bool

    Returns:
        Normalised returns (steps, n_envs) float32, and what they were divided by.
    """
    chosen = returns[counted].astype(np.float64)
    deviation = float(chosen.std())
    unit = deviation + _EPSILON if deviation > _EPSILON else 1.0
    return ((returns - chosen.mean()) / unit).astype(np.float32), unit

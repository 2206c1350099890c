"""Stops a training at the first NaN or inf in what the environment gives or the policy says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from marl_stl_env.errors import NotFiniteError

_CHECK_FEATURES = "check the features of that column: python -m marl_stl_env.data check"
_CHECK_REWARDS = "check the reward, and every wrapper between the environment and the trainer"
LOWER_RATE = "lower --learning-rate or --max-grad-norm"


def check_observations(observations: Any, layout: Sequence[str], agents: int) -> None:
    """Refuse observations that are not finite.

    Args:
        observations: What the policy is going to see.  # (..., lanes * agents, width) float32
        layout: The name of each column.
        agents: Sensors of a lane.

    Raises:
        NotFiniteError: If there is a NaN or inf; names its column, sensor and lane.
    """
    where = _first_fault(observations)
    if where is not None:
        *_, stream, column = where
        raise NotFiniteError(
            f"column {layout[column]!r} of the observation of sensor_{stream % agents} in lane "
            f"{stream // agents}",
            _CHECK_FEATURES,
        )


def check_rewards(rewards: Any) -> None:
    """Refuse rewards that are not finite.

    Args:
        rewards: Unscaled rewards of a rollout.  # (steps, lanes, agents) float32

    Raises:
        NotFiniteError: If there is a NaN or inf; names its step, sensor and lane.
    """
    where = _first_fault(rewards)
    if where is not None:
        step, lane, agent = where
        raise NotFiniteError(
            f"the reward of sensor_{agent} in lane {lane} at step {step} of the rollout",
            _CHECK_REWARDS,
        )


def check_rollout(buffer: Any) -> None:
    """Refuse scaled rewards, values, advantages and returns that are not finite.

    Args:
        buffer: The rollout.

    Raises:
        NotFiniteError: If there is a NaN or inf.
    """
    remedies = {"rewards": _CHECK_REWARDS, "values": LOWER_RATE, "log_probs": LOWER_RATE}
    remedies |= {"advantages": LOWER_RATE, "returns": LOWER_RATE}
    for name, remedy in remedies.items():
        if _first_fault(getattr(buffer, name)) is not None:
            raise NotFiniteError(f"the {name.replace('_', ' ')} of the rollout", remedy)


def _first_fault(array: Any) -> tuple[int, ...] | None:
    """Index of the first element that is not finite."""
    if isinstance(array, torch.Tensor):
        # Part by part: the mask of a whole rollout of observations may not fit beside it.
        whole = torch.stack([torch.isfinite(part).all() for part in array])
        if bool(whole.all()):
            return None
        array = array.cpu().numpy()
    finite = np.isfinite(array)
    return None if finite.all() else tuple(np.argwhere(~finite)[0].tolist())

"""Optimizer state of RLlib's learners, as arrays for a checkpoint."""

from __future__ import annotations

from typing import Any

import torch

from marl_stl_env.types import AnyArray

#: RLlib's name of the only policy.
MODULE = "default_policy"
_OPTIMIZER = "optimizer."


def moments(learner: Any) -> dict[str, AnyArray]:
    """Adam's moments by parameter; runs in the learner's process."""
    ((_, optimizer),) = learner.get_optimizers_for_module(MODULE)
    return {
        f"{_OPTIMIZER}{number}.{name}": value.detach().cpu().numpy().copy()
        for number, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def set_moments(learner: Any, arrays: dict[str, AnyArray]) -> None:
    """Restore what :func:`moments` returned; runs in the learner's process."""
    ((_, optimizer),) = learner.get_optimizers_for_module(MODULE)
    content = optimizer.state_dict()
    content["state"] = {}
    for key, array in arrays.items():
        number, name = key.removeprefix(_OPTIMIZER).split(".", 1)
        content["state"].setdefault(int(number), {})[name] = torch.from_numpy(array.copy())
    optimizer.load_state_dict(content)

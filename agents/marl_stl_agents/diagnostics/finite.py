"""Stop a training at the first NaN or inf: in observations, rewards, a rollout, gradients, weights.

Every check raises :class:`marl_stl_env.errors.NotFiniteError`, which names the place and what to
try.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from marl_stl_env.errors import NotFiniteError

_CHECK_FEATURES = "check the features of that column: marl-stl-data check NAME"
_CHECK_REWARDS = "check the reward, and every wrapper between the environment and the trainer"
LOWER_RATE = "lower --learning-rate"


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
        buffer: The rollout buffer.

    Raises:
        NotFiniteError: If there is a NaN or inf.
    """
    for name in ("rewards", "values", "log_probs", "advantages", "returns"):
        if _first_fault(getattr(buffer, name)) is not None:
            remedy = _CHECK_REWARDS if name == "rewards" else LOWER_RATE
            raise NotFiniteError(f"the {name.replace('_', ' ')} of the rollout", remedy)


def check_weights(policy: nn.Module) -> None:
    """Refuse a network with a weight that is not finite.

    Raises:
        NotFiniteError: If there is one; names its layer.
    """
    named = dict(policy.named_parameters())
    norms = _norms([weights.detach() for weights in named.values()])
    if not torch.isfinite(norms).all():
        raise _not_finite("weights", list(named), norms)


class GradientWatch:
    """Norms of the gradients before they are clipped.

    Trainers clip between the backward pass and the optimiser's step, after which one NaN is in
    every gradient. Hooks therefore look at the gradients when the backward pass reaches its last
    layer. The pass runs from the loss down: the first layer that is not finite is the cause.

    Args:
        policy: The network; the same layers take part in every backward pass.
        at_once: Check every backward pass, for which the host waits for the device; otherwise
            :meth:`take` checks.
    """

    def __init__(self, policy: nn.Module, at_once: bool = True) -> None:
        self._at_once = at_once
        named = dict(policy.named_parameters())
        self._layers = len(named)
        self._seen: dict[str, Tensor] = {}
        self._norms: list[Tensor] = []
        self._order: list[str] = []
        self._handles: list[Any] = [
            cast("Any", weights).register_post_accumulate_grad_hook(partial(self._see, name))
            for name, weights in named.items()
        ]

    def _see(self, name: str, weights: Tensor) -> None:
        if name in self._seen:  # the last pass left some layers out, and so will the others
            self._layers = len(self._seen)
            self._seen.clear()
        self._seen[name] = cast("Tensor", weights.grad)
        if len(self._seen) == self._layers:
            self._look(list(self._seen.values()))
            self._order = list(self._seen)
            self._seen.clear()

    def _look(self, gradients: list[Tensor]) -> None:
        if not self._at_once:
            self._norms.append(_norms(gradients))
            return
        total = nn.utils.get_total_norm(gradients)
        if not torch.isfinite(total):
            raise _not_finite("gradient", list(self._seen), _norms(gradients))
        self._norms.append(total[None])

    def take(self) -> float:
        """The largest norm since the last call.

        Raises:
            NotFiniteError: If one was not finite; names its layer.
        """
        if not self._norms:
            return 0.0
        norms = torch.stack(self._norms)
        self._norms.clear()
        totals = norms.norm(dim=1)
        if not torch.isfinite(totals).all():
            first = int((~torch.isfinite(totals)).int().argmax())
            raise _not_finite("gradient", self._order, norms[first])
        return float(totals.max())

    def close(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()


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


def _norms(tensors: list[Tensor]) -> Tensor:
    """The norm of each.  # (tensors,)."""
    return torch.stack([tensor.norm() for tensor in tensors])


def _not_finite(kind: str, layers: list[str], norms: Tensor) -> NotFiniteError:
    finite = torch.isfinite(norms).tolist()
    number = finite.index(False) if False in finite else 0
    place = f"the {kind} of layer {layers[number]!r} ({float(norms[number])})"
    return NotFiniteError(place, LOWER_RATE)

"""Norms of the gradients before they are clipped, and where a NaN first appears in them."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from agents.guard import LOWER_RATE
from marl_stl_env.errors import NotFiniteError


class GradientWatch:
    """Looks at every gradient as soon as it is there.

    Trainers clip gradients between the backward pass and the optimiser's step, after which one NaN
    is in all of them. The norm of each layer is therefore taken in the backward pass, which comes
    to the layers from the loss down: the first that is not finite is where it began.

    Args:
        policy: The network.
        optimizer: Its optimiser.
        at_once: Look before every step of the optimiser, for which the host waits for the device;
            otherwise :meth:`take` looks.
    """

    def __init__(
        self, policy: nn.Module, optimizer: torch.optim.Optimizer, at_once: bool = True
    ) -> None:
        self._at_once = at_once
        self._names: list[str] = []
        self._norms: list[Tensor] = []
        self._steps: list[Tensor] = []
        self._handles: list[Any] = [
            cast("Any", parameter).register_post_accumulate_grad_hook(partial(self._see, name))
            for name, parameter in policy.named_parameters()
        ]
        self._handles.append(optimizer.register_step_pre_hook(self._step))

    def _see(self, name: str, parameter: Tensor) -> None:
        if parameter.grad is not None:
            self._names.append(name)
            self._norms.append(parameter.grad.norm())

    def _step(self, *_: Any) -> None:
        norms, names = torch.stack(self._norms), self._names.copy()
        self._norms.clear()
        self._names.clear()
        total = norms.norm()
        if self._at_once and not torch.isfinite(total):
            raise _not_finite(names, norms)
        self._steps.append(total if self._at_once else norms)
        self._last_names = names

    def take(self) -> float:
        """The largest norm since the last call.

        Raises:
            NotFiniteError: If one was not finite.
        """
        if not self._steps:
            return 0.0
        norms = torch.stack(self._steps)
        self._steps.clear()
        if self._at_once:
            return float(norms.max())
        totals = norms.norm(dim=1)
        if not torch.isfinite(totals).all():
            first = int((~torch.isfinite(totals)).int().argmax())
            raise _not_finite(self._last_names, norms[first])
        return float(totals.max())

    def close(self) -> None:
        """Look no longer."""
        for handle in self._handles:
            handle.remove()


def check_weights(policy: nn.Module) -> None:
    """Refuse a network with a weight that is not finite.

    Raises:
        NotFiniteError: If there is one.
    """
    named = dict(policy.named_parameters())
    norms = torch.stack([weights.detach().norm() for weights in named.values()])
    if not torch.isfinite(norms).all():
        raise _not_finite(list(named), norms, "weights of layer")


def _not_finite(names: list[str], norms: Tensor, kind: str = "gradient of layer") -> NotFiniteError:
    finite = torch.isfinite(norms).tolist()
    number = finite.index(False) if False in finite else 0
    return NotFiniteError(
        f"the {kind} {names[number]!r} ({float(norms[number])})",
        LOWER_RATE,
    )

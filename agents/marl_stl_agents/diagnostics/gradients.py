"""Norms of the gradients before they are clipped, and where a NaN first appears in them."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from marl_stl_agents.diagnostics.guard import LOWER_RATE
from marl_stl_env.errors import NotFiniteError


class GradientWatch:
    """Looks at the gradients before they are clipped.

    Trainers clip between the backward pass and the optimiser's step, after which one NaN is in all
    of them. Hooks therefore look when the backward pass has come to its last layer. It comes to
    the layers from the loss down: the first that is not finite is where it began.

    Args:
        policy: The network; the same layers take part in every backward pass.
        at_once: Look at every backward pass, for which the host waits for the device; otherwise
            :meth:`take` looks.
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
        if name in self._seen:  # the last pass has left some layers out, and so will the others
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
            raise _not_finite(list(self._seen), _norms(gradients))
        self._norms.append(total[None])

    def take(self) -> float:
        """The largest norm since the last call.

        Raises:
            NotFiniteError: If one was not finite.
        """
        if not self._norms:
            return 0.0
        norms = torch.stack(self._norms)
        self._norms.clear()
        totals = norms.norm(dim=1)
        if not torch.isfinite(totals).all():
            first = int((~torch.isfinite(totals)).int().argmax())
            raise _not_finite(self._order, norms[first])
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
    norms = _norms([weights.detach() for weights in named.values()])
    if not torch.isfinite(norms).all():
        raise _not_finite(list(named), norms, "weights of layer")


def _norms(tensors: list[Tensor]) -> Tensor:
    """The norm of each.  # (tensors,)."""
    return torch.stack([tensor.norm() for tensor in tensors])


def _not_finite(names: list[str], norms: Tensor, kind: str = "gradient of layer") -> NotFiniteError:
    finite = torch.isfinite(norms).tolist()
    number = finite.index(False) if False in finite else 0
    return NotFiniteError(
        f"the {kind} {names[number]!r} ({float(norms[number])})",
        LOWER_RATE,
    )

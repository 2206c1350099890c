"""The layers of a policy as numpy: for a few rows a call of torch costs more than its arithmetic.

Weights are views of the policy's own, so that they follow its training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor, MlpExtractor
from torch import nn

from marl_stl_agents.policies.encoding import PiecewiseLinearEncoding
from marl_stl_agents.policies.team import (
    FALLS_BACK_TO,
    FORBIDDEN,
    ActorView,
    MaskedLogits,
    SharedTrunk,
)
from marl_stl_env.types import ACTIONS, AnyArray, Float32Array

Layer: TypeAlias = Callable[[Float32Array], Float32Array]


def array_logits(policy: ActorCriticPolicy) -> Layer | None:
    """The actor of a policy on the CPU, from observations to logits.

    Args:
        policy: The policy.

    Returns:
        Maps observations (batch, width) float32 to logits (batch, actions) float32, as torch does
        but for the order of sums; None where the policy has a layer that is not known here.
    """
    if policy.device.type != "cpu":
        return None
    parts = (policy.pi_features_extractor, policy.mlp_extractor, policy.action_net)
    return _chained([_layer(part) for part in parts])


def _layer(module: nn.Module) -> Layer | None:
    """One module; None where it is not known."""
    kinds: dict[type[nn.Module], Callable[..., Layer | None]] = {
        PiecewiseLinearEncoding: _encoding,
        FlattenExtractor: lambda _: lambda x: x,
        nn.Linear: _linear,
        nn.ReLU: lambda _: lambda x: np.maximum(x, 0, out=x),
        nn.Sequential: lambda layers: _chained([_layer(one) for one in layers]),
        MlpExtractor: lambda networks: _layer(networks.policy_net),
        SharedTrunk: _trunk,
        ActorView: _actor_view,
        MaskedLogits: _masked_logits,
    }
    make = kinds.get(type(module))
    return None if make is None else make(module)


def _chained(layers: Sequence[Layer | None]) -> Layer | None:
    known = [layer for layer in layers if layer is not None]
    if len(known) < len(layers):
        return None

    def chain(x: Float32Array) -> Float32Array:
        for layer in known:
            x = layer(x)
        return x

    return known[0] if len(known) == 1 else chain


def _encoding(module: PiecewiseLinearEncoding) -> Layer:
    columns, lower, scale = map(_array, (module.columns, module.lower, module.scale))

    def encode(x: Float32Array) -> Float32Array:
        codes: Float32Array = x.take(columns, axis=1)
        codes -= lower
        codes *= scale
        return np.minimum(np.maximum(codes, 0, out=codes), 1, out=codes)

    return encode


def _linear(module: nn.Linear) -> Layer:
    weight, bias = _array(module.weight).T, _array(module.bias)

    def linear(x: Float32Array) -> Float32Array:
        found: Float32Array = x @ weight
        found += bias
        return found

    return linear


def _trunk(module: SharedTrunk) -> Layer | None:
    layers, visible = _layer(module.layers), _array(module.visible)
    if layers is None or visible.all():
        return layers
    inner = layers
    return lambda x: inner(x * visible)


def _actor_view(module: ActorView) -> Layer | None:
    hidden = _layer(module.networks)
    if hidden is None:
        return None
    inner, visible, columns = hidden, _array(module.visible), _array(module.columns)
    masked, whole = len(columns), bool(visible.all())

    def view(x: Float32Array) -> Float32Array:
        found = inner(x if whole else x * visible)
        return np.concatenate([found, x.take(columns, axis=1)], axis=1) if masked else found

    return view


def _masked_logits(module: MaskedLogits) -> Layer | None:
    head = _layer(module.head)
    if head is None:
        return None
    inner, forbidden, fallback = head, np.float32(FORBIDDEN), np.array(FALLS_BACK_TO)

    def masked(x: Float32Array) -> Float32Array:
        logits = inner(x[:, :-ACTIONS])
        allowed = x[:, -ACTIONS:] > 0.5
        if not allowed.all():
            moved = np.where(allowed, forbidden, logits).take(fallback, axis=1)
            logits = np.where(allowed, np.logaddexp(logits, moved), forbidden)
        return logits

    return masked


def _array(tensor: torch.Tensor) -> AnyArray:
    """A view of the same memory."""
    found: AnyArray = tensor.detach().numpy()
    return found

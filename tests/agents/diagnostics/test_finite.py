"""What is seen of gradients and weights, against norms computed by hand."""

from typing import Any

import pytest
import torch
from marl_stl_agents.diagnostics.finite import GradientWatch, check_weights
from torch import Tensor, nn

from marl_stl_env.errors import NotFiniteError

LIMIT = 0.5


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def update(net: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor) -> float:
    """One clipped step, as trainers do it; returns the norm before clipping."""
    optimizer.zero_grad()
    net(inputs).square().sum().backward()
    gradients = [weights.grad.flatten() for weights in net.parameters() if weights.grad is not None]
    norm = float(torch.cat(gradients).norm())
    nn.utils.clip_grad_norm_(net.parameters(), LIMIT)
    optimizer.step()
    return norm


def spoil(net: nn.Module, name: str, factor: float) -> Any:
    """Multiply a layer's gradient in every backward pass."""
    layer: Any = net.get_parameter(name)
    return layer.register_hook(lambda gradient: gradient * factor)


@pytest.mark.parametrize("at_once", [True, False])
def test_norms_are_those_before_clipping(at_once: bool) -> None:
    net = network()
    optimizer = torch.optim.Adam(net.parameters())
    watch = GradientWatch(net, at_once)
    inputs = torch.randn(5, 3)
    norms = [update(net, optimizer, inputs * scale) for scale in (1.0, 3.0, 2.0)]
    assert max(norms) > LIMIT
    assert watch.take() == pytest.approx(max(norms), rel=1e-5)
    assert watch.take() == 0.0
    assert update(net, optimizer, inputs) == pytest.approx(watch.take(), rel=1e-5)
    watch.close()
    update(net, optimizer, inputs)
    assert watch.take() == 0.0


def test_the_layer_where_a_nan_begins_is_named_before_any_weight_is_lost() -> None:
    net = network()
    optimizer = torch.optim.Adam(net.parameters())
    watch = GradientWatch(net)
    before = [weights.clone() for weights in net.parameters()]
    spoil(net, "0.weight", torch.nan)
    with pytest.raises(NotFiniteError, match=r"gradient of layer '0\.weight'"):
        update(net, optimizer, torch.randn(5, 3))
    for weights, old in zip(net.parameters(), before, strict=True):
        torch.testing.assert_close(weights, old, rtol=0, atol=0)
    watch.close()


def test_a_device_that_is_not_waited_for_tells_later() -> None:
    net = network()
    optimizer = torch.optim.Adam(net.parameters())
    watch = GradientWatch(net, at_once=False)
    update(net, optimizer, torch.randn(5, 3))
    handle = spoil(net, "2.bias", torch.inf)
    update(net, optimizer, torch.randn(5, 3))
    handle.remove()
    update(net, optimizer, torch.randn(5, 3))  # all weights are lost by now
    with pytest.raises(NotFiniteError, match=r"gradient of layer '2\.bias'"):
        watch.take()


def test_a_lost_weight_is_named() -> None:
    net = network()
    check_weights(net)
    with torch.no_grad():
        net.get_parameter("2.weight")[0, 0] = torch.inf
    with pytest.raises(NotFiniteError, match=r"weights of layer '2\.weight'"):
        check_weights(net)


def test_a_layer_that_takes_no_part_blinds_nobody() -> None:
    net = network()
    net.register_parameter("idle", nn.Parameter(torch.ones(3)))
    optimizer = torch.optim.Adam(net.parameters())
    watch = GradientWatch(net)
    update(net, optimizer, torch.randn(5, 3))
    norm = update(net, optimizer, torch.randn(5, 3))
    assert watch.take() == pytest.approx(norm, rel=1e-5)

import numpy as np
import torch
from gymnasium import spaces
from marl_stl_agents.policies.encoding import PiecewiseLinearEncoding, quantile_edges


def test_edges_are_train_quantiles() -> None:
    features = np.stack([np.arange(101), np.zeros(101), np.arange(101) % 2], axis=1)
    edges = quantile_edges(
        features.astype(np.float32), bins=4, lowest=np.array([-5, -5, -5, 0, -1])
    )
    assert edges[0] == (0.0, 25.0, 50.0, 75.0, 100.0)
    assert edges[1] == (0.0, 1.0)  # a constant column
    assert edges[2] == (0.0, 1.0)  # an indicator
    assert edges[3:] == [(0.0, 1.0), (-1.0, 0.0, 1.0)]


def test_each_bin_is_a_clipped_ramp() -> None:
    edges = [(-1.0, 0.0, 3.0), (0.0, 1.0)]
    space = spaces.Box(-5, 5, (2,), dtype=np.float32)
    encoding = PiecewiseLinearEncoding(space, edges)
    values = np.linspace(-5, 5, 41, dtype=np.float32)
    seen = torch.from_numpy(np.stack([values, values[::-1]], axis=1).copy())
    before = seen.clone()
    codes = encoding(seen).numpy()
    assert torch.equal(seen, before)
    assert codes.shape == (41, encoding.features_dim) == (41, 3)
    np.testing.assert_allclose(codes[:, 0], np.interp(values, [-1, 0], [0, 1]), atol=1e-6)
    np.testing.assert_allclose(codes[:, 1], np.interp(values, [0, 3], [0, 1]), atol=1e-6)
    np.testing.assert_allclose(codes[:, 2], np.interp(values[::-1], [0, 1], [0, 1]), atol=1e-6)

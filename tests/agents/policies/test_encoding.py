from typing import get_args

import numpy as np
import torch
from gymnasium import spaces
from marl_stl_agents.config import Edges, PPOConfig
from marl_stl_agents.policies.build import bin_edges
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


def test_edges_at_distinct_values_part_what_is_rare() -> None:
    """All but eight of 1,000 events have the same value: quantiles over events part nothing."""
    rare = np.append(np.zeros(992), [1, 2, 3, 4, 5, 6, 7, 8])
    features = np.stack([rare, np.arange(1000) % 5 == 0], axis=1).astype(np.float32)
    assert quantile_edges(features, 4, np.zeros(2, np.float32))[0] == (0.0, 8.0)
    edges = quantile_edges(features, 4, np.zeros(2, np.float32), values=True)
    assert edges == [(0.0, 1.0, 3.0, 6.0, 8.0), (0.0, 1.0)]


def test_the_trainer_asks_for_the_edges_it_is_told() -> None:
    features = np.append(np.zeros(997), [1, 2, 3]).astype(np.float32)[:, None]
    space = spaces.Box(-5, 5, (2,), dtype=np.float32)
    by_events, by_values = (
        bin_edges(PPOConfig(bins=2, edges=edges), space, features)[0] for edges in get_args(Edges)
    )
    assert by_events == (0.0, 3.0)
    assert len(by_values) == 3


def test_each_bin_is_a_clipped_ramp() -> None:
    edges = [(-1.0, 0.0, 3.0), (0.0, 1.0)]
    space = spaces.Box(-5, 5, (2,), dtype=np.float32)
    encoding = PiecewiseLinearEncoding(space, edges)
    values = np.linspace(-5, 5, 41, dtype=np.float32)
    codes = encoding(torch.from_numpy(np.stack([values, values[::-1]], axis=1).copy())).numpy()
    assert codes.shape == (41, encoding.features_dim) == (41, 3)
    np.testing.assert_allclose(codes[:, 0], np.interp(values, [-1, 0], [0, 1]), atol=1e-6)
    np.testing.assert_allclose(codes[:, 1], np.interp(values, [0, 3], [0, 1]), atol=1e-6)
    np.testing.assert_allclose(codes[:, 2], np.interp(values[::-1], [0, 1], [0, 1]), atol=1e-6)

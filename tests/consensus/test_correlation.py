from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from scipy.stats import pearsonr

from marl_stl_env.consensus.correlation import error_correlation, error_correlations
from marl_stl_env.types import BoolArray


def sample(seed: int = 0, events: int = 500, sensors: int = 5) -> tuple[BoolArray, BoolArray]:
    """Sensors whose errors have a common cause."""
    rng = np.random.default_rng(seed)
    labels = rng.random(events) < 0.2
    hard = rng.random((events, 1)) < 0.1
    errors = hard | (rng.random((events, sensors)) < np.linspace(0.02, 0.3, sensors))
    return errors ^ labels[:, None], labels


@pytest.mark.parametrize("sensors", [2, 3, 5])
def test_mean_over_pairs(sensors: int) -> None:
    votes, labels = sample(sensors=sensors)
    wrong = (votes ^ labels[:, None]).astype(float)
    pairs = [pearsonr(wrong[:, i], wrong[:, j])[0] for i, j in combinations(range(sensors), 2)]
    assert error_correlation(votes, labels) == pytest.approx(np.mean(pairs))
    assert error_correlation(votes, labels) == pytest.approx(
        np.corrcoef(wrong.T)[np.triu_indices(sensors, 1)].mean()
    )


def test_phi_coefficient_of_two_sensors() -> None:
    both, first, second, neither = 6, 3, 2, 9
    errors = [(1, 1)] * both + [(1, 0)] * first + [(0, 1)] * second + [(0, 0)] * neither
    labels = np.zeros(20, bool)
    phi = (both * neither - first * second) / (9 * 11 * 8 * 12) ** 0.5
    assert error_correlation(np.array(errors, bool), labels) == pytest.approx(phi)


def test_replicated_opposites_and_strangers() -> None:
    votes, labels = sample()
    replicated = votes[:, :1].repeat(4, axis=1)
    assert error_correlation(replicated, labels) == pytest.approx(1.0)
    opposites = np.stack([votes[:, 0], ~votes[:, 0]], axis=1)
    assert error_correlation(opposites, labels) == pytest.approx(-1.0)
    rng = np.random.default_rng(1)
    strangers = rng.random((20_000, 6)) < 0.3
    assert abs(error_correlation(strangers, np.zeros(20_000, bool))) < 0.01


def test_sensors_without_variance_are_left_out() -> None:
    votes, labels = sample(sensors=3)
    expected = error_correlation(votes, labels)
    right, wrong = labels[:, None], ~labels[:, None]
    assert error_correlation(np.hstack([right, votes, wrong]), labels) == expected
    assert error_correlation(np.hstack([right, votes[:, :1], wrong]), labels) == 0.0
    assert error_correlation(np.hstack([right, right]), labels) == 0.0
    assert error_correlation(votes[:, :1], labels) == 0.0
    assert error_correlation(votes[:0], labels[:0]) == 0.0


def test_every_pair_of_sensors() -> None:
    votes, labels = sample(sensors=4)
    wrong = (votes ^ labels[:, None]).astype(float)
    matrix = error_correlations(votes, labels)
    for i, j in product(range(4), repeat=2):
        assert matrix[i, j] == pytest.approx(pearsonr(wrong[:, i], wrong[:, j])[0])


def test_pairs_with_a_sensor_without_variance_are_unknown() -> None:
    votes, labels = sample(sensors=3)
    matrix = error_correlations(np.hstack([votes[:, :1], labels[:, None], votes[:, 1:]]), labels)
    assert np.isnan(matrix[1]).all()
    assert np.isnan(matrix[:, 1]).all()
    others = [0, 2, 3]
    np.testing.assert_array_equal(matrix[np.ix_(others, others)], error_correlations(votes, labels))
    assert np.isnan(error_correlations(votes[:0], labels[:0])).all()

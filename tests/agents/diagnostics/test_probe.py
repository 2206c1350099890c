"""Whether observations hold the label, against closed forms."""

import numpy as np
import pytest
from marl_stl_agents.diagnostics.rollout import label_signal
from scipy.stats import norm
from sklearn.metrics import roc_auc_score


def sample(shift: float, events: int = 4_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.random(events) < 0.2
    seen = rng.normal(size=(events, 6)).astype(np.float32)
    seen[:, 2] += shift * labels
    return seen, labels, rng.permutation(events)


def test_a_shifted_column_is_found() -> None:
    area, error = label_signal(*sample(1.5))
    best = norm.cdf(1.5 / np.sqrt(2.0))  # of two normal distributions so far apart
    assert area is not None
    assert error is not None
    assert best - 0.06 < area < best + 3.0 * error


def test_nothing_is_found_where_there_is_nothing() -> None:
    area, error = label_signal(*sample(0.0))
    assert area is not None
    assert error is not None
    assert abs(area - 0.5) < 3.0 * error


def test_the_error_is_that_of_chance() -> None:
    _, labels, _ = sample(0.0, 600)
    rng = np.random.default_rng(1)
    areas = [roc_auc_score(labels, rng.random(600)) for _ in range(400)]
    _, error = label_signal(*sample(0.0, 600))
    assert error == pytest.approx(np.std(areas), rel=0.1)


def test_an_event_seen_twice_is_not_remembered() -> None:
    seen, labels, rows = sample(0.0, 1_000)
    area, error = label_signal(*(np.repeat(one, 3, axis=0) for one in (seen, labels, rows)))
    assert area is not None
    assert error is not None
    assert abs(area - 0.5) < 3.0 * error


def test_too_few_of_a_class_tell_nothing() -> None:
    seen, _, rows = sample(0.0)
    assert label_signal(seen, rows < 12, rows) == (None, None)

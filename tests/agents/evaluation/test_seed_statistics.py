"""Estimates over seeds and tests of differences, against formulas written out and scipy's ranks."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from marl_stl_agents.evaluation.result import FaultMetrics, Metrics
from marl_stl_agents.evaluation.seeds.statistics import (
    SCORES,
    Estimate,
    difference,
    estimate,
    estimates,
)
from scipy.stats import mannwhitneyu

from marl_stl_env.errors import ComparisonError
from tests.agents.evaluation.results import make_result

RNG = np.random.default_rng(5)
OLD, NEW = RNG.normal(size=7).tolist(), RNG.normal(0.8, size=7).tolist()


def middle(values: list[float]) -> float:
    """The mean of what is left after a quarter of the values, rounded down, at either end."""
    cut = len(values) // 4
    kept = sorted(values)[cut : len(values) - cut]
    return sum(kept) / len(kept)


@pytest.mark.parametrize("count", range(1, 13))
def test_mean_and_iqm(count: int) -> None:
    values = RNG.exponential(size=count).tolist()
    found = estimate(values)
    assert found.values == tuple(values)
    np.testing.assert_allclose([found.mean, found.iqm], [np.mean(values), middle(values)])


def test_the_interval_is_that_of_the_bootstrap_distribution() -> None:
    """Of three values all 27 samples can be listed: the interval lies at their percentiles."""
    values = [0.0, 1.0, 5.0]
    every = sorted(middle(list(sample)) for sample in product(values, repeat=3))
    found = estimate(values)
    assert found.low is not None
    assert found.high is not None
    assert every[0] <= found.low <= every[1]  # (1/27 of the distribution is more than 2.5 %)
    assert every[-2] <= found.high <= every[-1]
    assert (found.low, found.high) == (0.0, 5.0)


def test_the_interval_covers_the_truth_about_as_often_as_it_should() -> None:
    covered = 0
    for seed in range(40):
        values = np.random.default_rng(seed).uniform(size=20).tolist()
        found = estimate(values)
        covered += (found.low or 0.0) <= 0.5 <= (found.high or 1.0)
    assert 33 <= covered <= 40


def test_one_run_has_no_interval_and_equal_runs_a_narrow_one() -> None:
    assert estimate([0.5]) == Estimate((0.5,), 0.5, 0.5, None, None)
    assert estimate([0.5, 0.5, 0.5]) == Estimate((0.5,) * 3, 0.5, 0.5, 0.5, 0.5)


def compared(old: list[float], new: list[float], metric: str = "f1", paired: bool = False):  # type: ignore[no-untyped-def]
    return difference(metric, ("old", estimate(old)), ("new", estimate(new)), paired=paired)


def test_probability_of_improvement_is_that_of_mann_and_whitney() -> None:
    found = compared(OLD, NEW)
    statistic = mannwhitneyu(NEW, OLD).statistic / (len(OLD) * len(NEW))
    assert found.improvement == pytest.approx(statistic)
    assert found.low < found.improvement < found.high
    assert found.difference == pytest.approx(np.mean(NEW) - np.mean(OLD))
    assert compared([1.0, 2.0], [1.0, 2.0]).improvement == 0.5


def test_of_costs_less_is_better() -> None:
    assert compared(OLD, NEW, "false_alarm_rate").improvement == pytest.approx(
        1 - compared(OLD, NEW).improvement
    )


def test_p_values_are_those_of_all_permutations() -> None:
    old, new = [0.1, 0.4, 0.2], [0.5, 0.9, 0.3]
    gaps = np.subtract(new, old)
    signs = np.array(list(product((-1, 1), repeat=3)))
    extreme = np.abs(signs @ gaps) >= abs(gaps.sum()) - 1e-12
    paired = compared(old, new, paired=True)
    assert paired.p_value == pytest.approx(extreme.mean())
    assert (paired.paired, paired.least_p_value) == (True, 2 / 8)
    unpaired = compared(old, new)
    assert unpaired.least_p_value == 2 / 20
    assert unpaired.p_value >= 2 / 20
    with pytest.raises(ComparisonError, match="at least two runs"):
        compared([0.1], new)


def test_scores_come_from_the_evaluation() -> None:
    decision = Metrics(3, 6, 2, 1, 0.75, 0.6, 0.75, 2 / 3, 1.5)
    worst = FaultMetrics(1, "flip", 0.2, -0.5, 0.1)
    one = make_result(decision=decision, normalized_score=0.4, byzantine=(worst,))
    other = replace(one, normalized_score=None, decision=replace(decision, f1=0.5))
    found = estimates([one, other])
    assert found["false_alarm_rate"].values == (0.25, 0.25)
    assert found["byzantine_worst"].mean == -0.5
    assert found["f1"].mean == pytest.approx((2 / 3 + 0.5) / 2)
    assert "normalized_score" not in found  # one of them has none
    assert "spec_conjunction" not in found
    assert set(found) <= set(SCORES)

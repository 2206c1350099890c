from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from marl_stl_env.errors import CertificateError, ConfigError
from marl_stl_env.stl.certificate import allowed_failures, certify, certify_all
from marl_stl_env.types import BoolArray, Float64Array


def episodes(failures: int, count: int) -> tuple[BoolArray, Float64Array]:
    satisfied = np.arange(count) >= failures
    return satisfied, np.where(satisfied, 1.0, -1.0)


def exact_tail(failures: int, count: int, epsilon: float) -> float:
    """BinCDF, term by term."""
    return math.fsum(
        math.comb(count, k) * epsilon**k * (1 - epsilon) ** (count - k) for k in range(failures + 1)
    )


def test_a_thousand_episodes_allow_38_failures() -> None:
    assert allowed_failures(1000, 0.05, 0.05) == 38
    assert certify(*episodes(38, 1000)).certified
    assert not certify(*episodes(39, 1000)).certified


@pytest.mark.parametrize("count", [1, 58, 59, 93, 300, 1000])
@pytest.mark.parametrize(("epsilon", "delta"), [(0.05, 0.05), (0.1, 0.01), (0.01, 0.05)])
def test_allowed_failures_by_the_definition(count: int, epsilon: float, delta: float) -> None:
    allowed = allowed_failures(count, epsilon, delta)
    if allowed >= 0:
        assert exact_tail(allowed, count, epsilon) <= delta
    assert exact_tail(allowed + 1, count, epsilon) > delta


def test_the_smallest_run_that_certifies() -> None:
    """Without a failure, (1 - epsilon)^K <= delta needs K = 59 at 0.05, 0.05."""
    assert allowed_failures(58, 0.05, 0.05) == -1
    assert allowed_failures(59, 0.05, 0.05) == 0
    short = certify(*episodes(0, 58))
    assert not short.certified
    assert short.margin == -math.inf


@pytest.mark.parametrize("failures", [0, 1, 38, 39, 500, 999, 1000])
def test_the_lower_bound_is_clopper_pearson(failures: int) -> None:
    certificate = certify(*episodes(failures, 1000))
    bound = certificate.lower_bound
    assert (bound >= 0.95) == certificate.certified
    if failures < 1000:  # the bound p solves P(at most `failures` failures | p) = delta
        assert exact_tail(failures, 1000, 1 - bound) == pytest.approx(0.05, rel=1e-6)
    else:
        assert bound == 0.0


def test_the_margin_is_an_order_statistic() -> None:
    values = np.random.default_rng(0).normal(2.0, 1.0, 1000)
    certificate = certify(values > 0, values)
    assert certificate.margin == np.sort(values)[38]
    assert certificate.certified == (certificate.margin >= 0)


def false_certification_rate(truth: float, runs: int, rng: np.random.Generator) -> float:
    certified = 0
    for _ in range(runs):
        satisfied = rng.random(1000) < truth
        certified += certify(satisfied, np.where(satisfied, 1.0, -1.0)).certified
    return certified / runs


def test_false_certification_rate_and_power() -> None:
    """At the boundary P = 1 - epsilon a certificate is wrong; its rate must not exceed delta."""
    rng, runs = np.random.default_rng(0), 4000
    noise = 3 * math.sqrt(0.05 * 0.95 / runs)
    exact = exact_tail(38, 1000, 0.05)
    assert exact <= 0.05
    rate = false_certification_rate(0.95 - 1e-9, runs, rng)
    assert rate <= 0.05 + noise
    assert rate == pytest.approx(exact, abs=noise)
    assert false_certification_rate(0.94, 1000, rng) < 0.01
    power = false_certification_rate(0.97, 1000, rng)
    assert power == pytest.approx(float(binom.cdf(38, 1000, 0.03)), abs=0.03)
    assert power > 0.9
    assert false_certification_rate(0.98, 1000, rng) > 0.99


@pytest.mark.parametrize("tied", [False, True])
def test_the_margin_covers_new_episodes(tied: bool) -> None:
    """P(new robustness >= margin) >= 1 - epsilon in at least 1 - delta of all runs."""
    rng, runs, covered = np.random.default_rng(1), 3000, 0
    for _ in range(runs):
        values = rng.random(1000)
        margin = certify(np.ones(1000, bool), np.round(values, 1) if tied else values).margin
        # P(U >= m), and P(round(U, 1) >= m) for a tenth m > 0
        coverage = 1 - max(margin - 0.05, 0) if tied else 1 - margin
        covered += coverage >= 0.95 - 1e-12
    assert covered / runs >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / runs)
    if not tied:
        assert covered / runs < 0.98  # not more cautious than it needs to be


def test_several_formulas_share_delta() -> None:
    truth, values = episodes(36, 1000)
    together = certify_all(dict.fromkeys("abcde", truth), dict.fromkeys("abcde", values))
    assert [c.delta for c in together.values()] == [0.01] * 5
    assert together["a"].allowed_failures == allowed_failures(1000, 0.05, 0.01) == 34
    assert exact_tail(34, 1000, 0.05) <= 0.01 < exact_tail(35, 1000, 0.05)
    assert certify(truth, values).certified
    assert not together["a"].certified


def test_family_wise_rate() -> None:
    """Five independent formulas at the boundary: any wrong certificate in at most delta of runs."""
    rng, runs, wrong = np.random.default_rng(2), 600, 0
    for _ in range(runs):
        truths = {name: rng.random(1000) < 0.95 for name in "abcde"}
        values = {name: np.where(truth, 1.0, -1.0) for name, truth in truths.items()}
        wrong += any(c.certified for c in certify_all(truths, values).values())
    assert wrong / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)


def test_bad_episodes_are_refused() -> None:
    truth, values = episodes(1, 10)
    with pytest.raises(CertificateError, match="no episode"):
        certify(truth[:0], values[:0])
    with pytest.raises(CertificateError, match=r"\(10,\) bool and robustness \(9,\)"):
        certify(truth, values[:9])
    with pytest.raises(CertificateError, match="int64"):
        certify(truth.astype(int), values)
    with pytest.raises(CertificateError, match="episode 3 is NaN"):
        certify(truth, np.where(np.arange(10) == 3, np.nan, values))
    with pytest.raises(CertificateError, match="contradict"):
        certify(~truth, values)
    with pytest.raises(CertificateError, match=r"satisfied has \['a'\], robustness \['b'\]"):
        certify_all({"a": truth}, {"b": values})
    with pytest.raises(CertificateError, match="at least one"):
        certify_all({}, {})


@pytest.mark.parametrize(("epsilon", "delta"), [(0.0, 0.05), (0.05, 0.0), (1.5, 0.05), (0.05, -1)])
def test_bad_probabilities_are_refused(epsilon: float, delta: float) -> None:
    with pytest.raises(ConfigError, match=r"outside \(0"):
        certify(*episodes(0, 10), epsilon=epsilon, delta=delta)

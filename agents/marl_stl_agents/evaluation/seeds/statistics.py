"""Estimates over seeds, and tests of the difference between two groups of runs.

Agarwal et al. (2021), "Deep reinforcement learning at the edge of the statistical precipice",
NeurIPS 34: the interquartile mean (IQM), intervals by a stratified bootstrap over runs, and the
probability of improvement. Their strata are tasks. All runs of a group have one task, so there is
one stratum here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass as plain_dataclass
from typing import Final

import numpy as np
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from marl_stl_agents.evaluation.result import EvaluationResult
from marl_stl_env.errors import ComparisonError
from marl_stl_env.types import AnyArray, Float64Array

CONFIDENCE: Final = 0.95
_TRIMMED, _RESAMPLES = 0.25, 9999
_EXACT = ConfigDict(extra="forbid", allow_inf_nan=False)


@plain_dataclass(frozen=True)
class Score:
    """A metric of one evaluation.

    Attributes:
        title: What tables call it.
        of: Its value; None where the evaluation has no such metric.
        larger_is_better: False for costs.
    """

    title: str
    of: Callable[[EvaluationResult], float | None]
    larger_is_better: bool = True


def _false_alarm_rate(result: EvaluationResult) -> float | None:
    benign = result.decision.fp + result.decision.tn
    return result.decision.fp / benign if benign else None


def _worst_fault(result: EvaluationResult) -> float | None:
    return None if result.worst_fault is None else result.worst_fault.reward_per_event


def _conjunction(result: EvaluationResult) -> float | None:
    return None if result.conjunction is None else result.conjunction.satisfied


def _worst_conjunction(result: EvaluationResult) -> float | None:
    return min((one.conjunction for one in result.stl_byzantine), default=None)


#: The metrics that runs are compared by, under their names in JSON.
SCORES: dict[str, Score] = {
    "f1": Score("F1", lambda result: result.decision.f1),
    "precision": Score("precision", lambda result: result.decision.precision),
    "recall": Score("recall", lambda result: result.decision.recall),
    "false_alarm_rate": Score("false-alarm rate", _false_alarm_rate, larger_is_better=False),
    "pr_auc": Score("PR-AUC", lambda result: result.decision.pr_auc),
    "reward_per_event": Score("reward per event", lambda result: result.decision.reward_per_event),
    "normalized_score": Score(
        "normalized score (oracle = 1)", lambda result: result.normalized_score
    ),
    "ceiling_ratio": Score("gain relative to supervised", lambda result: result.ceiling_ratio),
    "vote_ratio": Score("gain relative to supervised_vote", lambda result: result.vote_ratio),
    "byzantine_worst": Score("reward per event, worst fault", _worst_fault),
    "spec_conjunction": Score("all specifications satisfied", _conjunction),
    "spec_conjunction_worst": Score("all specifications, worst fault", _worst_conjunction),
}


@dataclass(frozen=True, config=_EXACT)
class Estimate:
    """A metric over several runs.

    Attributes:
        values: Of each run, in the order of the runs.
        mean: Their mean.
        iqm: Mean of the middle half; with fewer than four runs it is the mean.
        low: Lower end of the 95 % interval of ``iqm``; None with a single run.
        high: Its upper end.
    """

    values: tuple[float, ...]
    mean: float
    iqm: float
    low: float | None
    high: float | None


@dataclass(frozen=True, config=_EXACT)
class Difference:
    """Whether a metric differs between two groups of runs.

    Attributes:
        metric: A key of :data:`SCORES`.
        reference: Name of the group that is compared with.
        group: Name of the other group.
        difference: Mean of ``group`` minus mean of ``reference``.
        paired: Whether runs of the same seed were compared; else all with all.
        p_value: Of a two-sided permutation test of the difference of the means.
        least_p_value: The smallest that so few runs can give.
        improvement: Probability that a run of ``group`` is better than one of ``reference``; equal
            ones count half.
        low: Lower end of its 95 % interval.
        high: Its upper end.
    """

    metric: str
    reference: str
    group: str
    difference: float
    paired: bool
    p_value: float
    least_p_value: float
    improvement: float
    low: float
    high: float


def iqm(values: AnyArray, axis: int = -1) -> AnyArray:
    """The interquartile mean along an axis, as rliable computes it."""
    from scipy.stats import trim_mean

    middle: AnyArray = trim_mean(values, _TRIMMED, axis=axis)
    return middle


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and IQM, the latter with a bootstrap interval (percentiles).

    Args:
        values: Of at least one run.
    """
    array = np.asarray(values, np.float64)
    low = high = None
    if len(array) > 1:
        low, high = _interval((array,), iqm)
    return Estimate(tuple(values), float(array.mean()), float(iqm(array)), low, high)


def estimates(results: Sequence[EvaluationResult]) -> dict[str, Estimate]:
    """An estimate of every metric that all the evaluations have."""
    found = {}
    for name, score in SCORES.items():
        values = [value for one in results if (value := score.of(one)) is not None]
        if len(values) == len(results):
            found[name] = estimate(values)
    return found


def difference(
    metric: str, reference: tuple[str, Estimate], group: tuple[str, Estimate], *, paired: bool
) -> Difference:
    """Compare a metric of two groups of runs.

    Args:
        metric: A key of :data:`SCORES`.
        reference: Name and estimate of the group that is compared with.
        group: Those of the other one.
        paired: The runs of both have the same seeds, in the same order.

    Raises:
        ComparisonError: If a group has a single run.
    """
    from scipy.stats import permutation_test

    old, new = (np.asarray(one.values, np.float64) for _, one in (reference, group))
    if min(len(old), len(new)) < 2:
        raise ComparisonError("a test of a difference takes at least two runs on each side")
    better = _improvement if SCORES[metric].larger_is_better else _decline
    test = permutation_test(
        (new, old),
        lambda one, other, axis=-1: one.mean(axis=axis) - other.mean(axis=axis),
        permutation_type="samples" if paired else "independent",
        n_resamples=_RESAMPLES,
        random_state=np.random.default_rng(0),
    )
    low, high = _interval((new, old), better)
    return Difference(
        metric=metric,
        reference=reference[0],
        group=group[0],
        difference=float(new.mean() - old.mean()),
        paired=paired,
        p_value=float(test.pvalue),
        least_p_value=2.0 / len(test.null_distribution),
        improvement=float(better(new, old)),
        low=low,
        high=high,
    )


def _improvement(new: AnyArray, old: AnyArray, axis: int = -1) -> AnyArray:
    """Share of all pairs of runs in which the new one has more; ties count half."""
    del axis  # the last one, as everywhere here
    new, old = new[..., :, None], old[..., None, :]
    share: AnyArray = ((new > old) + 0.5 * (new == old)).mean(axis=(-2, -1))
    return share


def _decline(new: AnyArray, old: AnyArray, axis: int = -1) -> AnyArray:
    return _improvement(-new, -old, axis)


def _interval(
    samples: tuple[Float64Array, ...], statistic: Callable[..., AnyArray]
) -> tuple[float, float]:
    """The percentile interval of a statistic; each sample is drawn anew from itself."""
    from scipy.stats import bootstrap

    found = bootstrap(
        samples,
        statistic,
        n_resamples=_RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=True,
        axis=-1,
        random_state=np.random.default_rng(0),
    )
    interval = found.confidence_interval
    return float(interval.low), float(interval.high)

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_stl_env.errors import SignalError, UnknownNameError
from marl_stl_env.stl.formula import (
    Connective,
    Formula,
    Interval,
    Not,
    Span,
    Window,
    ties_satisfy,
)
from marl_stl_env.stl.parser import parse
from marl_stl_env.stl.robustness import (
    Verdict,
    first_violation,
    robustness,
    robustness_bounds,
    satisfied,
    verdict,
)
from marl_stl_env.stl.signals import Traces
from marl_stl_env.types import AnyArray, Float32Array
from tests.stl import oracle
from tests.stl.random_formulas import random_formula, random_signals

randoms = st.randoms(use_true_random=False)


# ---------------------------------------------------------------- the scalar oracle


@settings(max_examples=150, deadline=None)
@given(randoms, st.lists(st.integers(0, 9), min_size=1, max_size=3), st.integers(0, 2**32 - 1))
def test_equals_the_definition(random: Random, lengths: list[int], seed: int) -> None:
    formula = random_formula(random, longest=6)
    signals = random_signals(np.random.default_rng(seed), (len(lengths), max(lengths)))
    traces = Traces(signals, np.array(lengths))
    values = robustness(formula, traces)
    for lane, length in enumerate(lengths):
        trace = oracle.as_trace(signals, lane, length)
        assert values[lane, :length].tolist() == [
            oracle.robustness(formula, trace, t) for t in range(length)
        ]


@settings(max_examples=150, deadline=None)
@given(randoms, st.lists(st.integers(1, 9), min_size=1, max_size=3), st.integers(0, 2**32 - 1))
def test_truth_is_exact_on_ties(random: Random, lengths: list[int], seed: int) -> None:
    formula = random_formula(random, longest=6)
    signals = random_signals(np.random.default_rng(seed), (len(lengths), max(lengths)))
    signals["x"], signals["y"] = np.round(signals["x"]), np.round(signals["y"] / 2)
    traces = Traces(signals, np.array(lengths))
    truth, value = satisfied(formula, traces), robustness(formula, traces)[:, 0]
    for lane, length in enumerate(lengths):
        assert truth[lane] == oracle.holds(formula, oracle.as_trace(signals, lane, length), 0)
        if value[lane] != 0:
            assert truth[lane] == (value[lane] > 0)
        elif ties_satisfy(formula):
            assert truth[lane]


def memory(formula: Formula) -> int:
    """A generous count of the samples that a formula's past and future windows span."""
    own = 0
    if isinstance(formula, Window | Span):
        interval = formula.interval
        own = 1 + (interval.start if interval.end is None else interval.end)
    return own + sum(memory(c) for c in formula.children if isinstance(c, Formula))


@settings(max_examples=150, deadline=None)
@given(randoms, st.lists(st.integers(0, 4), min_size=1, max_size=2), st.integers(0, 2**32 - 1))
def test_bounds_equal_the_definition(random: Random, lengths: list[int], seed: int) -> None:
    formula = random_formula(random, depth=2, longest=3)
    signals = random_signals(np.random.default_rng(seed), (len(lengths), max(lengths)))
    lower, upper = robustness_bounds(formula, Traces(signals, np.array(lengths)))
    last = max(lengths) + memory(formula)
    for lane, length in enumerate(lengths):
        trace = oracle.as_trace(signals, lane, length)
        for time in range(max(lengths)):
            wanted = oracle.bounds(formula, trace, time, length, last)
            assert (lower[lane, time], upper[lane, time]) == wanted


def test_bounds_beyond_the_end_remember_the_start() -> None:
    """What held once is remembered however far a later window looks, here and in the oracle."""
    formula, signals = parse("always (once p)"), {"p": np.zeros((1, 2), dtype=np.bool_)}
    lower, upper = robustness_bounds(formula, Traces(signals, np.array([1])))
    assert (lower[0].tolist(), upper[0].tolist()) == ([-1.0, -1.0], [-1.0, np.inf])
    trace = oracle.as_trace(signals, 0, 1)
    assert [oracle.bounds(formula, trace, t, 1, 4) for t in (0, 1)] == [(-1, -1), (-1, np.inf)]


@settings(max_examples=100, deadline=None)
@given(randoms, st.integers(0, 20), st.integers(0, 2**32 - 1))
def test_bounds_hold_for_every_continuation(random: Random, length: int, seed: int) -> None:
    formula = random_formula(random, unbounded=False, longest=6)
    rng = np.random.default_rng(seed)
    whole = random_signals(rng, (8, length + int(formula.horizon()) + 1))
    for name, values in whole.items():  # the same prefix in every lane, then eight futures
        whole[name][:, :length] = values[:1, :length]
    lower, upper = robustness_bounds(formula, Traces({n: v[:, :length] for n, v in whole.items()}))
    actual = robustness(formula, Traces(whole))[:, :length]
    assert (lower <= actual).all()
    assert (actual <= upper).all()
    decided = verdict(formula, Traces({n: v[:, :length] for n, v in whole.items()}))
    truth = satisfied(formula, Traces(whole))
    assert truth[decided == Verdict.SATISFIED].all()
    assert not truth[decided == Verdict.VIOLATED].any()


def test_decided_formulas_have_equal_bounds() -> None:
    signals = {"x": np.array([[1.0, 2.0, 3.0, 4.0]])}
    lower, upper = robustness_bounds(parse("F[0,1] x > 2"), Traces(signals))
    assert lower.tolist() == [[0, 1, 2, 2]]
    assert upper.tolist() == [[0, 1, 2, np.inf]]
    past = parse("H[0,2] x > 2")
    lower, upper = robustness_bounds(past, Traces(signals))
    np.testing.assert_array_equal(lower, upper)
    np.testing.assert_array_equal(lower, robustness(past, Traces(signals)))


# ---------------------------------------------------------------- laws


def both(random: Random, first: Formula, second: Formula) -> tuple[Float32Array, Float32Array]:
    rng = np.random.default_rng(random.randrange(2**32))
    time = random.randrange(0, 40)
    lengths = np.array([random.randrange(time + 1) for _ in range(3)])
    traces = Traces(random_signals(rng, (3, time)), lengths)
    return robustness(first, traces), robustness(second, traces)


@settings(deadline=None)
@given(randoms)
def test_negation_flips_the_sign(random: Random) -> None:
    formula = random_formula(random)
    value, negated = both(random, formula, Not(formula))
    np.testing.assert_array_equal(negated, -value)


@settings(deadline=None)
@given(randoms, st.sampled_from([("always", "eventually"), ("historically", "once")]))
def test_duality(random: Random, pair: tuple[Any, Any]) -> None:
    body = random_formula(random, depth=2)
    interval = Interval(2, 2 + random.randrange(9))
    universal, existential = pair
    value, dual = both(
        random,
        Window(universal, interval, body),
        Not(Window(existential, interval, Not(body))),
    )
    np.testing.assert_array_equal(value, dual)


@settings(deadline=None)
@given(randoms, st.sampled_from(["and", "or", "->"]))
def test_de_morgan(random: Random, operator: Any) -> None:
    left, right = random_formula(random, depth=2), random_formula(random, depth=2)
    rewritten: dict[str, Formula] = {
        "and": Not(Connective("or", Not(left), Not(right))),
        "or": Not(Connective("and", Not(left), Not(right))),
        "->": Connective("or", Not(left), right),
    }
    value, other = both(random, Connective(operator, left, right), rewritten[operator])
    np.testing.assert_array_equal(value, other)


@settings(deadline=None)
@given(
    randoms,
    st.sampled_from(["always", "eventually", "historically", "once", "until", "since"]),
    st.integers(0, 6),
    st.integers(0, 6),
    st.integers(0, 6),
)
def test_wider_windows_are_monotone(
    random: Random, operator: Any, start: int, width: int, more: int
) -> None:
    narrow, wide = Interval(start, start + width), Interval(start, start + width + more)
    left, right = random_formula(random, depth=1), random_formula(random, depth=1)
    if operator in ("until", "since"):
        first: Formula = Span(operator, narrow, left, right)
        second: Formula = Span(operator, wide, left, right)
    else:
        first, second = Window(operator, narrow, left), Window(operator, wide, left)
    value, wider = (np.nan_to_num(v, nan=0.0) for v in both(random, first, second))
    if operator in ("always", "historically"):
        assert (wider <= value).all()
    else:
        assert (wider >= value).all()


@settings(deadline=None)
@given(randoms, st.integers(0, 5), st.integers(0, 5))
def test_until_unrolls(random: Random, start: int, width: int) -> None:
    """``l U[a,b] r = r or (l and next (l U[0,b-1] r))`` for a = 0, ``l and next (...)`` else."""
    left, right = random_formula(random, depth=1), random_formula(random, depth=1)
    end = start + width + 1
    rest = Span("until", Interval(max(start - 1, 0), end - 1), left, right)
    step: Formula = Connective("and", left, Window("eventually", Interval(1, 1), rest))
    if start == 0:
        step = Connective("or", right, step)
    value, unrolled = both(random, Span("until", Interval(start, end), left, right), step)
    np.testing.assert_array_equal(value, unrolled)


# ---------------------------------------------------------------- edges and summaries


def test_a_violated_implication_of_booleans_is_minus_one() -> None:
    traces = Traces({"threat": np.array([[True, False]]), "contained": np.array([[False, False]])})
    assert robustness(parse("threat -> contained"), traces).tolist() == [[-1, 1]]


def test_empty_and_one_sample_traces() -> None:
    formula = parse("G[2,5] (x > 0) and (p U q)")
    empty = Traces({"x": np.zeros((2, 0)), "p": np.zeros((2, 0), bool), "q": np.ones((2, 0), bool)})
    assert robustness(formula, empty).shape == (2, 0)
    assert [bound.shape for bound in robustness_bounds(formula, empty)] == [(2, 0), (2, 0)]
    assert verdict(formula, empty).tolist() == [Verdict.UNDECIDED] * 2
    assert verdict(parse("F[0,3] true"), empty).tolist() == [Verdict.SATISFIED] * 2
    with pytest.raises(SignalError, match="lane 0 has no sample"):
        satisfied(parse("x > 0"), Traces({"x": np.zeros((2, 0))}))
    with pytest.raises(SignalError, match="lane 1 has no sample"):
        first_violation(parse("G x > 0"), Traces({"x": np.zeros((2, 1))}, np.array([1, 0])))
    one = Traces({"x": np.array([[2.0]])})
    assert robustness(parse("G x > 0"), one).tolist() == [[2]]
    assert robustness(parse("G[1,5] x > 0"), one).tolist() == [[np.inf]]
    assert robustness(parse("F[1,5] x > 0"), one).tolist() == [[-np.inf]]


def test_inputs_are_left_alone() -> None:
    p = np.array([[1, -1, 1]], np.float32)
    before, traces = p.copy(), Traces({"p": p})
    for text in ("p", "G p", "H[0,1] p", "p U[1,2] p", "F[1,1] p"):
        robustness(parse(text), traces)[:] = 7
        for bound in robustness_bounds(parse(text), traces):
            bound[:] = 7
    np.testing.assert_array_equal(p, before)


def test_no_lanes() -> None:
    assert robustness(parse("G x > 0"), Traces({"x": np.zeros((0, 5))})).shape == (0, 5)


def test_verdicts_of_a_growing_trace() -> None:
    formula = parse("G[0,2] (x > 0)")
    x = np.array([[1.0, 1.0, 1.0, -1.0], [1.0, -1.0, 1.0, 1.0]])
    seen = [verdict(formula, Traces({"x": x[:, :n]})).tolist() for n in range(5)]
    assert seen == [[0, 0], [0, 0], [0, -1], [1, -1], [1, -1]]


def test_first_violation() -> None:
    x = np.array([[1, 1, -1, -1], [1, 1, 1, -1], [1, 1, 1, 1]])
    y = np.array([[1, -1, 1, 1], [1, 1, 1, 1], [-1, 1, 1, 1]])
    traces = Traces({"x": x, "y": y}, np.array([4, 3, 4]))
    assert first_violation(parse("G x > 0"), traces).tolist() == [2, -1, -1]
    assert first_violation(parse("G x > 0 and G y > 0"), traces).tolist() == [1, -1, 0]
    assert first_violation(parse("G[3,inf) x > 0"), traces).tolist() == [3, -1, -1]
    assert first_violation(parse("G[0,1] x > 0"), traces).tolist() == [-1, -1, -1]
    assert first_violation(parse("G (x > 0 -> F[1,1] x > 0)"), traces).tolist() == [1, 2, 3]
    assert first_violation(parse("y > 0"), traces).tolist() == [-1, -1, 0]
    assert first_violation(parse("G x >= 1"), Traces({"x": x}, np.array([2, 3, 4]))).max() == -1


def test_large_windows_and_starts() -> None:
    x = np.random.default_rng(0).normal(size=(2, 50)).astype(np.float32)
    traces = Traces({"x": x})
    np.testing.assert_array_equal(
        robustness(parse("G[0,100000] x > 0"), traces), robustness(parse("G x > 0"), traces)
    )
    assert (robustness(parse("O[100,100000] x > 0"), traces) == -np.inf).all()
    lower, upper = robustness_bounds(parse("F[100,200] x > 0"), traces)
    assert (lower == -np.inf).all()
    assert (upper == np.inf).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_unusable_samples_are_refused(bad: float) -> None:
    x = np.zeros((2, 3))
    x[1, 2] = bad
    with pytest.raises(SignalError, match=r"signal 'x' is .* at lane 1, time 2"):
        Traces({"x": x})
    padded = Traces({"x": x}, np.array([3, 2]))
    assert np.isfinite(padded.signals["x"]).all()


@pytest.mark.parametrize(
    ("signals", "lengths", "message"),
    [
        ({}, None, "at least one signal"),
        ({"x": np.zeros(3)}, None, r"must be \(lanes, time\)"),
        ({"x": np.zeros((1, 3)), "y": np.zeros((1, 4))}, None, r"'y' has shape \(1, 4\)"),
        ({"x": np.array([["a"]])}, None, "expected numbers or booleans"),
        ({"x": np.zeros((1, 3))}, np.array([4]), r"lengths 4\.\.4 lie outside 0\.\.3"),
        ({"x": np.zeros((1, 3))}, np.array([-1]), "lie outside"),
        ({"x": np.zeros((1, 3))}, np.array([1, 2]), r"lengths must be \(1,\) integers"),
        ({"x": np.zeros((1, 3))}, np.array([1.5]), "integers, not"),
    ],
)
def test_malformed_traces(
    signals: dict[str, AnyArray], lengths: AnyArray | None, message: str
) -> None:
    with pytest.raises(SignalError, match=message):
        Traces(signals, lengths)


def test_zero_is_no_truth_value() -> None:
    with pytest.raises(SignalError, match=r"used as a condition but is 0 at lane 0, time 1"):
        robustness(parse("G p"), Traces({"p": np.array([[1, 0]])}))


def test_missing_signals_are_named() -> None:
    with pytest.raises(UnknownNameError, match="unknown signal 'y'; known: x, z"):
        robustness(parse("x > y"), Traces({"x": np.zeros((1, 1)), "z": np.zeros((1, 1))}))


@pytest.mark.parametrize("text", ["x * x > 0", "x + x > 0", "x > 1e300", "x - y - y > 0"])
def test_overflow_is_refused(text: str) -> None:
    big = {"x": np.full((1, 1), 3e38), "y": np.full((1, 1), -3e38)}
    with pytest.raises(SignalError, match="leaves the range of float32"):
        robustness(parse(text), Traces(big))

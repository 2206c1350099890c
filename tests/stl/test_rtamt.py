"""Agreement with rtamt, whose offline evaluation is right (its online mode is not)."""

from __future__ import annotations

import warnings
from itertools import count, islice
from random import Random
from typing import Any

import numpy as np
import pytest

from marl_stl_env.stl.formula import (
    Arithmetic,
    Comparison,
    Connective,
    Constant,
    Formula,
    Interval,
    Node,
    Not,
    Proposition,
    Signal,
    Span,
    Truth,
    Window,
)
from marl_stl_env.stl.robustness import robustness
from marl_stl_env.stl.signals import Traces
from marl_stl_env.types import AnyArray
from tests.stl import oracle
from tests.stl.random_formulas import random_formula, random_signals


def has(node: Node, *kinds: type[Node]) -> bool:
    return isinstance(node, kinds) or any(has(child, *kinds) for child in node.children)


def to_rtamt(node: Node) -> str:
    """The formula in rtamt's syntax: every operand in parentheses, no ``[a,inf)``, no ``!=``."""
    match node:
        case Proposition(name=name):
            return f"{name} >= 0"  # a window over a bare variable lengthens rtamt's own input
        case Signal() | Constant():
            return str(node)
        case Not(operand=operand):
            return f"not ({to_rtamt(operand)})"
        case Comparison(operator="!=", left=left, right=right):
            return f"not (({to_rtamt(left)}) == ({to_rtamt(right)}))"
        case Window(operator=name, interval=Interval(start=start, end=None)) if start:
            inner = Window(node.operator, Interval(), node.operand)
            return f"{name}[{start},{start}] ({to_rtamt(inner)})"
        case Window(operator=name, interval=interval, operand=operand):
            return f"{name}{interval} ({to_rtamt(operand)})"
        case Span(interval=Interval(start=start, end=None)) if start:
            held, shift = ("historically", "once") if node.is_past else ("always", "eventually")
            rest = Span(node.operator, Interval(), node.left, node.right)
            return (
                f"({held}[0,{start - 1}] ({to_rtamt(node.left)})) and "
                f"({shift}[{start},{start}] ({to_rtamt(rest)}))"
            )
        case Span(operator=name, interval=interval, left=left, right=right):
            return f"({to_rtamt(left)}) {name}{interval} ({to_rtamt(right)})"
        case Comparison() | Connective() | Arithmetic():
            return f"({to_rtamt(node.left)}) {node.operator} ({to_rtamt(node.right)})"
    raise TypeError(node)


@pytest.fixture(scope="module")
def rtamt() -> Any:
    with warnings.catch_warnings():
        # The parser generator that rtamt pins imports a module that Python deprecates.
        warnings.filterwarnings("ignore", "typing.io is deprecated", DeprecationWarning)
        return pytest.importorskip("rtamt", reason="rtamt runs on Python 3.12 and older")


def rtamt_robustness(
    rtamt: Any, formula: Formula, signals: dict[str, AnyArray], lane: int, length: int
) -> list[float]:
    specification = rtamt.StlDiscreteTimeOfflineSpecification()
    trace = oracle.as_trace(signals, lane, length)
    for name in trace:
        specification.declare_var(name, "float")
    specification.spec = to_rtamt(formula)
    specification.parse()
    values = specification.evaluate({"time": list(range(length)), **trace})
    return [value for _, value in values]


def agree_with_rtamt(rtamt: Any, formulas: int, seed: int) -> float:
    """The greatest difference to rtamt over random formulas and traces."""
    random, rng, worst = Random(seed), np.random.default_rng(seed), 0.0
    lengths_seen = set()
    drawn = (random_formula(random, depth=4) for _ in count())
    temporal = (f for f in drawn if has(f, Window, Span) and not has(f, Truth))
    for formula in islice(temporal, formulas):
        time = random.choice((2, 3, random.randrange(2, 40), random.randrange(2, 301)))
        signals = random_signals(rng, (3, time))
        lengths = np.array([time, random.randrange(2, time + 1), random.randrange(2, time + 1)])
        lengths_seen.update(lengths.tolist())
        ours = robustness(formula, Traces(signals, lengths))
        for lane, length in enumerate(lengths.tolist()):
            theirs = np.array(rtamt_robustness(rtamt, formula, signals, lane, length))
            assert np.isnan(ours[lane, length:]).all()
            both = ours[lane, :length]
            assert not np.isnan(both).any()
            different = both != theirs  # equal infinities have no difference
            gaps = np.abs(both[different] - theirs[different])
            worst = max(worst, float(gaps.max(initial=0.0)))
    assert min(lengths_seen) == 2
    assert max(lengths_seen) > 250
    return worst


def test_equals_rtamt(rtamt: Any) -> None:
    assert agree_with_rtamt(rtamt, formulas=100, seed=0) == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_equals_rtamt_on_many_formulas(rtamt: Any, seed: int) -> None:
    assert agree_with_rtamt(rtamt, formulas=300, seed=seed) == 0.0

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_stl_env.errors import FormulaError, UnknownNameError
from marl_stl_env.stl.formula import (
    MAX_DEPTH,
    Arithmetic,
    Comparison,
    Connective,
    Constant,
    Formula,
    Interval,
    Not,
    Proposition,
    Signal,
    Span,
    Truth,
    Window,
)
from marl_stl_env.stl.parser import parse
from tests.stl.random_formulas import random_formula

P, Q, R = Proposition("p"), Proposition("q"), Proposition("r")
X, Y = Signal("x"), Signal("y")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("p", P),
        ("true", Truth(True)),
        ("not false", Not(Truth(False))),
        ("p -> q -> r", Connective("->", P, Connective("->", Q, R))),
        ("p or q and r", Connective("or", P, Connective("and", Q, R))),
        ("p and q and r", Connective("and", Connective("and", P, Q), R)),
        ("not p and q", Connective("and", Not(P), Q)),
        ("not x > 3", Not(Comparison(">", X, Constant(3)))),
        ("G x > 3", Window("always", Interval(), Comparison(">", X, Constant(3)))),
        ("F[0,5] p", Window("eventually", Interval(0, 5), P)),
        ("H[2,2] p", Window("historically", Interval(2, 2), P)),
        ("O[10,inf) p", Window("once", Interval(10), P)),
        ("always[0,inf] p", Window("always", Interval(), P)),
        ("p U[1,2] q and r", Connective("and", Span("until", Interval(1, 2), P, Q), R)),
        ("p since G q", Span("since", Interval(), P, Window("always", Interval(), Q))),
        ("G p U q", Span("until", Interval(), Window("always", Interval(), P), Q)),
        ("(p U q) U r", Span("until", Interval(), Span("until", Interval(), P, Q), R)),
        ("x == y", Comparison("==", X, Y)),
        ("x != -2.5e-1", Comparison("!=", X, Constant(-0.25))),
        (
            "x - y - 1 < 2 * -x",
            Comparison(
                "<",
                Arithmetic("-", Arithmetic("-", X, Y), Constant(1)),
                Arithmetic("*", Constant(2), Arithmetic("*", Constant(-1), X)),
            ),
        ),
        ("(x) / 2 >= .5", Comparison(">=", Arithmetic("/", X, Constant(2)), Constant(0.5))),
        ("((p))", P),
        ("p\n  and\tq", Connective("and", P, Q)),
    ],
)
def test_trees(text: str, tree: Formula) -> None:
    assert parse(text) == tree


def test_long_and_short_names_are_the_same() -> None:
    short = "G[0,3] p and F[1,2] p and H p and O p and (p U[0,2] q) and (p S q)"
    long = (
        "always[0,3] p and eventually[1,2] p and historically p and once p and (p until[0,2] q) "
        "and (p since q)"
    )
    assert parse(short) == parse(long)


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False))
def test_printing_and_parsing_give_the_same_tree(random: Random) -> None:
    formula = random_formula(random, depth=5)
    assert parse(str(formula)) == formula


def test_numbers_print_exactly() -> None:
    for value in (0.1, -1e-30, 1e300, 123456789.25, 3.0, -0.5, 1 / 3, 5e-324):
        formula = Comparison("<", X, Constant(value))
        assert parse(str(formula)) == formula


def test_the_deepest_tree_round_trips() -> None:
    formula: Formula = P
    for _ in range(MAX_DEPTH - 1):
        formula = Window("always", Interval(0, 1), formula)
    assert parse(str(formula)) == formula
    chain: Formula = P
    for _ in range(MAX_DEPTH - 1):
        chain = Connective("->", Q, chain)
    assert parse(str(chain)) == chain
    with pytest.raises(FormulaError, match="more than 100 levels"):
        Not(formula)


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ("", 0, "expected a condition or a number, found the end"),
        ("p and", 5, "expected a condition or a number, found the end"),
        ("p and   ", 5, "found the end"),
        ("(p or q", 7, "expected ')' to close the '(' at position 0, found the end"),
        ("p)", 1, "expected an operator or the end, found ')'"),
        ("p q", 2, "expected an operator or the end, found 'q'"),
        ("p until G", 9, "expected a condition or a number, found the end"),
        ("p and U", 6, "expected a condition or a number, found 'U'"),
        ("G[5,3] p", 4, "expected a bound of at least 5, found '3'"),
        ("G[-1,5] p", 2, "expected a whole number of steps >= 0, found '-'"),
        ("G[0,1.5] p", 4, "expected a whole number of steps >= 0, found '1.5'"),
        ("G[inf,inf) p", 2, "expected a whole number of steps >= 0"),
        ("G[0,5) p", 5, "expected ']' (an open end is for inf only), found ')'"),
        ("G[0 5] p", 4, "expected ',' between the two bounds, found '5'"),
        ("G[0,5 p", 6, "expected ']' to end the interval, found 'p'"),
        ("G[0,inf p", 8, "expected ')' after inf, found 'p'"),
        ("G[v,5] p", 2, "expected a whole number of steps >= 0, found 'v'"),
        ("G[x", 2, "expected a whole number of steps >= 0, found 'x'"),
        ("x + 3", 0, "expected a condition, but 'x + 3' is a number: compare it"),
        ("p and x * 2", 6, "'x * 2' is a number"),
        ("x > (p and q)", 4, "expected a number, but 'p and q' is a condition"),
        ("true > 3", 0, "expected a number, but 'true' is a condition"),
        ("-(x > 3) > 2", 1, "expected a number, but 'x > 3' is a condition"),
        ("x > 3 > 2", 6, "'>' does not chain: write 'a < b and b < c'"),
        ("p U q S r", 6, "'S' does not chain: put parentheses around one of them"),
        ("p && q", 2, "unexpected '&&': write 'and'"),
        ("p <-> q", 2, "unexpected '<->': write '(a -> b) and (b -> a)'"),
        ("x = 3", 2, "unexpected '=': write '=='"),
        ("x / y > 3", 4, "divide by a constant other than zero, not by 'y'"),
        ("x / 0 > 3", 4, "divide by a constant other than zero, not by '0'"),
        ("x > 1e999", 4, "the constant inf is not finite"),
        ("3x > 2", 0, "'3x' is not a number"),
        ("x > 1.2.3", 4, "'1.2.3' is not a number"),
        ("x.y > 2", 1, "'.y' is not a number"),
        ("\u00e9 > 2", 0, "unexpected '\u00e9'"),
        ("inf > 2", 0, "expected a condition or a number, found 'inf'"),
        ("(" * 300 + "p", 201, "nested too deeply"),
        (" and ".join(["p"] * 200), 600, "nested more than 100 levels deep"),
    ],
)
def test_errors_name_the_position(text: str, position: int, problem: str) -> None:
    with pytest.raises(FormulaError) as caught:
        parse(text)
    assert problem in caught.value.problem
    assert caught.value.position == position
    assert str(caught.value).startswith(f"position {position}: ")


def test_the_caret_stands_below_the_fault() -> None:
    with pytest.raises(FormulaError) as caught:
        parse("p and\n  G[0,x] q\nor r")
    message, line, caret = str(caught.value).split("\n")
    assert line == "    G[0,x] q"
    assert line[caret.index("^")] == "x"
    assert "whole number" in message


@settings(max_examples=150, deadline=None)
@given(st.text("pxGFU()[]<>=-+*/.,0123 andortiu\n", max_size=30))
def test_any_text_gives_a_formula_or_a_formula_error(text: str) -> None:
    try:
        formula = parse(text)
    except FormulaError as error:
        position = error.position
    else:
        position = 0
        assert parse(str(formula)) == formula
    assert position is not None
    assert 0 <= position <= len(text)


@pytest.mark.parametrize(
    ("text", "horizon"),
    [
        ("p", 0),
        ("H[3,9] O p", 0),
        ("F[2,5] p", 5),
        ("G[0,4] (p -> F[0,5] q)", 9),
        ("p U[2,7] F[0,1] q", 8),
        ("H[3,9] F[0,5] p", 2),
        ("H[9,9] F[0,5] p", 0),
        ("(F[0,4] p) S[2,3] F[0,9] q", 7),
        ("not (F[0,2] p or F[0,3] q)", 3),
        ("G p", float("inf")),
        ("p U[3,inf) q", float("inf")),
        ("O[5,5] G p", float("inf")),
    ],
)
def test_horizon(text: str, horizon: float) -> None:
    assert parse(text).horizon() == horizon


def test_signals_and_propositions() -> None:
    formula = parse("G (p -> F[0,3] (x + 2 * y > z and q U p))")
    assert formula.signals() == {"p", "q", "x", "y", "z"}
    assert formula.propositions() == {"p", "q"}


def test_trees_built_by_hand_are_checked() -> None:
    with pytest.raises(FormulaError, match="cannot name a signal"):
        Signal("until")
    with pytest.raises(FormulaError, match="cannot name a signal"):
        Proposition("two words")
    with pytest.raises(FormulaError, match="is empty"):
        Interval(3, 2)
    for bound in (-1, 1.5, True):
        with pytest.raises(FormulaError, match="not a whole number"):
            Interval(bound)  # type: ignore[arg-type]
    with pytest.raises(FormulaError, match="not finite"):
        Constant(float("nan"))
    with pytest.raises(UnknownNameError, match="unknown operator 'xor'; known: and, or, ->"):
        Connective("xor", P, Q)  # type: ignore[arg-type]


def test_formulas_are_values() -> None:
    formula = parse("G (p -> F[0,5] x > 3)")
    assert hash(formula) == hash(parse(str(formula)))
    with pytest.raises(AttributeError):
        formula.operand = P  # type: ignore[attr-defined]

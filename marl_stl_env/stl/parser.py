"""Reads formulas: a recursive-descent parser with operator precedences.

From loosest to tightest: ``->`` (groups to the right), ``or``, ``and``, ``until`` and ``since``,
then ``not`` and the window operators, comparisons, ``+ -``, ``* /``, the sign.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple, NoReturn, TypeVar, get_args

from marl_stl_env.errors import FormulaError
from marl_stl_env.stl.formula import (
    MAX_DEPTH,
    RESERVED,
    SHORT_NAMES,
    Arithmetic,
    Comparison,
    ComparisonOperator,
    Connective,
    Constant,
    Expression,
    Formula,
    Interval,
    Node,
    Not,
    Proposition,
    Signal,
    Span,
    Truth,
    Window,
    WindowOperator,
)

_IMPLIES, _SPAN, _PREFIX, _COMPARISON, _SIGN = 1, 4, 5, 5, 8
_LEVELS = {"->": _IMPLIES, "or": 2, "and": 3, "until": _SPAN, "since": _SPAN}
_LEVELS |= dict.fromkeys(get_args(ComparisonOperator), _COMPARISON)
_LEVELS |= {"+": 6, "-": 6, "*": 7, "/": 7}

_TOKEN = re.compile(
    # Possessive: a number is never tried again with fewer digits, so reading is linear.
    r"(?P<number>(?:\d++\.?+\d*+|\.\d++)(?:[eE][-+]?+\d++)?+)(?![\w.])"
    r"|(?P<name>[A-Za-z_]\w*+)"
    r"|(?P<malformed>[\d.][\w.]*+)"
    r"|(?P<symbol><->|->|<=|>=|==|!=|&&|\|\||\S)",
    re.ASCII,
)
_SYMBOLS = frozenset(["->", *get_args(ComparisonOperator), *"+-*/()[],"])
_HINTS = {
    "&&": "write 'and'",
    "&": "write 'and'",
    "||": "write 'or'",
    "|": "write 'or'",
    "!": "write 'not'",
    "~": "write 'not'",
    "=": "write '=='",
    "<->": "write '(a -> b) and (b -> a)'",
}
#: Every level of a printed tree may add a pair of parentheses.
_MAX_NESTING = 2 * MAX_DEPTH + 1

_LONGEST_SHOWN, _LONGEST_WHOLE = 40, 20

_Built = TypeVar("_Built", bound=Node)


class _Token(NamedTuple):
    kind: str
    text: str
    position: int
    word: str

    def __str__(self) -> str:
        return f"'{_short(self.word)}'" if self.word else "the end"


def parse(text: str) -> Formula:
    """Read a formula.

    A signal name on its own is a boolean signal; in a comparison it is a number. Bounds of
    intervals are whole numbers of steps.

    Args:
        text: For example ``"always(threat -> eventually[0,5] contained)"``.

    Raises:
        FormulaError: With the position at fault, what was found and what was expected.
    """
    parser = _Parser(text)
    try:
        formula = parser.condition(_IMPLIES)
    except RecursionError:  # the caller has used up most of the stack
        raise FormulaError("the formula is nested too deeply: split it") from None
    if parser.token.kind != "end":
        parser.expected("an operator or the end")
    return formula


def _tokens(text: str) -> Iterator[_Token]:
    """The tokens, one at a time: what is refused early is not read to its end."""
    for match in re.finditer(_TOKEN, text):
        kind, word, position = str(match.lastgroup), match.group(), match.start()
        if kind == "malformed":
            problem = f"'{_short(word)}' is not a number: write one like 3, 0.5 or 1e-3"
            raise FormulaError(problem, text=text, position=position)
        if kind == "symbol" and word not in _SYMBOLS:
            problem = f"unexpected '{word}'" + (f": {_HINTS[word]}" if word in _HINTS else "")
            raise FormulaError(problem, text=text, position=position)
        yield _Token(kind, SHORT_NAMES.get(word, word), position, word)
    yield _Token("end", "", len(text.rstrip()), "")


def _short(word: str) -> str:
    return word if len(word) <= _LONGEST_SHOWN else f"{word[:_LONGEST_SHOWN]}..."


def _value(text: str) -> float:
    """A number as it was written: digits alone are an integer, which is exact."""
    return int(text) if text.isdigit() and len(text) <= _LONGEST_WHOLE else float(text)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens, self._nesting = _tokens(text), 0
        self.token = next(self._tokens)

    def condition(self, level: int) -> Formula:
        """A formula whose operators bind at least as tightly as ``level``."""
        start = self.token.position
        return self._as_formula(self._operation(level), start)

    def number(self, level: int) -> Expression:
        """An expression whose operators bind at least as tightly as ``level``."""
        start = self.token.position
        return self._as_expression(self._operation(level), start)

    def expected(self, what: str) -> NoReturn:
        self._fail(f"expected {what}, found {self.token}", self.token.position)

    def _fail(self, problem: str, position: int) -> NoReturn:
        raise FormulaError(problem, text=self._text, position=position)

    def _build(self, make: Callable[..., _Built], position: int, *parts: object) -> _Built:
        """Make a node; what it refuses is reported at ``position``."""
        try:
            return make(*parts)
        except FormulaError as error:
            self._fail(error.problem, position)

    def _take(self) -> _Token:
        token = self.token
        self.token = next(self._tokens, token)
        return token

    def _take_symbol(self, symbol: str, purpose: str) -> None:
        if self.token.text != symbol:
            self.expected(f"'{symbol}' {purpose}")
        self._take()

    def _as_formula(self, node: Node, start: int) -> Formula:
        if isinstance(node, Formula):
            return node
        if isinstance(node, Signal):
            return Proposition(node.name)
        self._fail(f"expected a condition, but '{node}' is a number: compare it", start)

    def _as_expression(self, node: Node, start: int) -> Expression:
        if isinstance(node, Expression):
            return node
        self._fail(f"expected a number, but '{node}' is a condition", start)

    def _operation(self, level: int) -> Node:
        start = self.token.position
        self._nesting += 1
        if self._nesting > _MAX_NESTING:
            self._fail("the formula is nested too deeply: split it", start)
        left = self._operand()
        while (found := _LEVELS.get(self.token.text, 0)) >= level:
            left = self._binary(left, start, found)
        self._nesting -= 1
        return left

    def _binary(self, left: Node, start: int, level: int) -> Node:
        operator = self._take().text
        if level < _PREFIX:
            return self._connective(operator, self._as_formula(left, start), level)
        value, position = self._as_expression(left, start), self.token.position
        other = self.number(level + 1)
        if level == _COMPARISON:
            self._refuse_chain(level, "write 'a < b and b < c'")
            return self._build(Comparison, position, operator, value, other)
        return self._build(Arithmetic, position, operator, value, other)

    def _connective(self, operator: str, left: Formula, level: int) -> Formula:
        interval = self._interval() if level == _SPAN else None
        position = self.token.position
        right = self.condition(level if level == _IMPLIES else level + 1)
        if interval is None:
            return self._build(Connective, position, operator, left, right)
        self._refuse_chain(level, "put parentheses around one of them")
        return self._build(Span, position, operator, interval, left, right)

    def _refuse_chain(self, level: int, hint: str) -> None:
        if _LEVELS.get(self.token.text) == level:
            self._fail(f"{self.token} does not chain: {hint}", self.token.position)

    def _operand(self) -> Node:
        token = self.token
        if token.text == "(":
            self._take()
            inner = self._operation(_IMPLIES)
            self._take_symbol(")", f"to close the '(' at position {token.position}")
            return inner
        if token.text == "not":
            self._take()
            return self._build(Not, token.position, self.condition(_PREFIX))
        if token.text in get_args(WindowOperator):
            self._take()
            interval = self._interval()
            operand = self.condition(_PREFIX)
            return self._build(Window, token.position, token.text, interval, operand)
        if token.text == "-":
            self._take()
            value = self.number(_SIGN)
            if isinstance(value, Constant):
                return Constant(-value.value)
            return self._build(Arithmetic, token.position, "*", Constant(-1.0), value)
        return self._word()

    def _word(self) -> Node:
        token = self.token
        if token.text in ("true", "false"):
            self._take()
            return Truth(token.text == "true")
        if token.kind == "number":
            return self._constant(self._take())
        if token.kind != "name" or token.text in RESERVED:
            self.expected("a condition or a number")
        return Signal(self._take().text)

    def _constant(self, token: _Token) -> Constant:
        return self._build(Constant, token.position, _value(token.text))

    def _interval(self) -> Interval:
        if self.token.text != "[":
            return Interval()
        self._take()
        start = self._bound()
        self._take_symbol(",", "between the two bounds")
        if self.token.text == "inf":
            self._take()
            if self.token.text not in (")", "]"):
                self.expected("')' after inf")
            self._take()
            return Interval(start)
        position, end = self.token.position, self._bound()
        if self.token.text == ")":
            self.expected("']' (an open end is for inf only)")
        self._take_symbol("]", "to end the interval")
        if end < start:
            self._fail(f"expected a bound of at least {start}, found '{end}'", position)
        return Interval(start, end)

    def _bound(self) -> int:
        token = self.token
        value = self._constant(token).value if token.kind == "number" else None
        if not isinstance(value, int):
            self.expected("a whole number of steps >= 0")
        self._take()
        return value

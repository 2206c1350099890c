"""Signal Temporal Logic formulas as immutable trees, over discrete time.

An :class:`Expression` is a number at every instant, a :class:`Formula` a condition. Printing a
formula and parsing the text gives the same tree back. Maler and Nickovic (2004), "Monitoring
temporal properties of continuous signals".
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from marl_stl_env.errors import FormulaError, UnknownNameError

ArithmeticOperator = Literal["+", "-", "*", "/"]
ComparisonOperator = Literal["<", "<=", ">", ">=", "==", "!="]
ConnectiveOperator = Literal["and", "or", "->"]
WindowOperator = Literal["always", "eventually", "historically", "once"]
SpanOperator = Literal["until", "since"]

SHORT_NAMES = {
    "G": "always",
    "F": "eventually",
    "H": "historically",
    "O": "once",
    "U": "until",
    "S": "since",
}
RESERVED = frozenset({*SHORT_NAMES, *SHORT_NAMES.values(), "and", "or", "not"}) | {
    "true",
    "false",
    "inf",
}
#: Deeper trees are refused: they are walked recursively.
MAX_DEPTH = 100

#: Whole numbers beyond all 64-bit integers are kept as floats.
_LARGEST_WHOLE = 2**64

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


class Node:
    """A node of the tree; ``depth`` counts the levels below and including it."""

    depth: int

    def __post_init__(self) -> None:
        depth = 1 + max((child.depth for child in self.children), default=0)
        if depth > MAX_DEPTH:
            raise FormulaError(f"the formula is nested more than {MAX_DEPTH} levels deep; split it")
        object.__setattr__(self, "depth", depth)

    @property
    def children(self) -> tuple[Node, ...]:
        """The nodes directly below, from left to right."""
        return tuple(value for value in vars(self).values() if isinstance(value, Node))

    def signals(self) -> frozenset[str]:
        """The names of all signals used."""
        return frozenset[str]().union(*(child.signals() for child in self.children))


class Expression(Node):
    """A number at every instant."""

    def __repr__(self) -> str:
        """The text, within the name of the class."""
        return f"{type(self).__name__}({str(self)!r})"


class Formula(Node):
    """A condition at every instant."""

    def __repr__(self) -> str:
        """The call of :func:`marl_stl_env.stl.parser.parse` that makes it."""
        return f"parse({str(self)!r})"

    def horizon(self) -> float:
        """How many samples ahead the value now can depend on: a whole number, or ``inf``."""
        return max((c.horizon() for c in self.children if isinstance(c, Formula)), default=0)

    def propositions(self) -> frozenset[str]:
        """The names of the signals used as conditions, which must be boolean."""
        below = (c.propositions() for c in self.children if isinstance(c, Formula))
        return frozenset[str]().union(*below)


class Operation(Node):
    """A node whose operator is one of those that its class knows."""

    operators: ClassVar[tuple[str, ...]]
    operator: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.operator not in self.operators:
            raise UnknownNameError("operator", self.operator, self.operators)


class Infix(Operation):
    """An operator between two nodes."""

    left: Node
    right: Node

    def __str__(self) -> str:
        return f"{_operand(self.left)} {self.operator} {_operand(self.right)}"


@dataclass(frozen=True)
class Interval:
    """Steps ``start`` to ``end``, both included; ``end=None`` is unbounded."""

    start: int = 0
    end: int | None = None

    def __post_init__(self) -> None:
        for bound in (self.start, 0 if self.end is None else self.end):
            if not isinstance(bound, int) or isinstance(bound, bool) or bound < 0:
                raise FormulaError(f"the bound {bound!r} is not a whole number of steps >= 0")
        if self.end is not None and self.end < self.start:
            raise FormulaError(f"the interval [{self.start},{self.end}] is empty")

    @property
    def width(self) -> int | None:
        """The number of steps in the interval; None if unbounded."""
        return None if self.end is None else self.end - self.start + 1

    def __str__(self) -> str:
        if self.end is None:
            return f"[{self.start},inf)" if self.start else ""
        return f"[{self.start},{self.end}]"


@dataclass(frozen=True, repr=False)
class Signal(Expression):
    """The value of a named signal; a boolean one counts as 0 and 1."""

    name: str

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_name(self.name)

    def signals(self) -> frozenset[str]:
        """This signal alone."""
        return frozenset({self.name})

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, repr=False)
class Constant(Expression):
    """A finite number; a whole one is kept as an integer, which is exact at any size in use."""

    value: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.value, int):
            value: float = int(self.value)
        elif math.isfinite(self.value):
            value = float(self.value)
            if value.is_integer() and abs(value) < _LARGEST_WHOLE:
                value = int(value)
        else:
            raise FormulaError(f"the constant {self.value!r} is not finite")
        if abs(value) >= _LARGEST_WHOLE:
            value = _as_float(value)
        object.__setattr__(self, "value", value)

    def __str__(self) -> str:
        return repr(self.value)


@dataclass(frozen=True, repr=False)
class Arithmetic(Infix, Expression):
    """A sum, difference, product, or a quotient by a constant other than zero."""

    operators = get_args(ArithmeticOperator)
    operator: ArithmeticOperator
    left: Expression
    right: Expression

    def __post_init__(self) -> None:
        super().__post_init__()
        divisor = self.right
        if self.operator == "/" and not (isinstance(divisor, Constant) and divisor.value != 0):
            raise FormulaError(f"divide by a constant other than zero, not by '{divisor}'")


@dataclass(frozen=True, repr=False)
class Truth(Formula):
    """``true`` or ``false``."""

    value: bool

    def __str__(self) -> str:
        return "true" if self.value else "false"


@dataclass(frozen=True, repr=False)
class Proposition(Formula):
    """A boolean signal as a formula: robustness +1 where it is true and -1 where it is false."""

    name: str

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_name(self.name)

    def signals(self) -> frozenset[str]:
        """This signal alone."""
        return frozenset({self.name})

    def propositions(self) -> frozenset[str]:
        """This signal alone."""
        return frozenset({self.name})

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, repr=False)
class Comparison(Infix, Formula):
    """Two expressions compared."""

    operators = get_args(ComparisonOperator)
    operator: ComparisonOperator
    left: Expression
    right: Expression


@dataclass(frozen=True, repr=False)
class Not(Formula):
    """The negation."""

    operand: Formula

    def __str__(self) -> str:
        return f"not {_operand(self.operand)}"


@dataclass(frozen=True, repr=False)
class Connective(Infix, Formula):
    """Two conditions at the same instant."""

    operators = get_args(ConnectiveOperator)
    operator: ConnectiveOperator
    left: Formula
    right: Formula


@dataclass(frozen=True, repr=False)
class Window(Operation, Formula):
    """A condition at all instants, or at some, of a window in the future or the past."""

    operators = get_args(WindowOperator)
    operator: WindowOperator
    interval: Interval
    operand: Formula

    @property
    def is_past(self) -> bool:
        """True for ``historically`` and ``once``."""
        return self.operator in ("historically", "once")

    @property
    def is_universal(self) -> bool:
        """True for ``always`` and ``historically``."""
        return self.operator in ("always", "historically")

    def horizon(self) -> float:
        """A future window looks its end further ahead; a past one its start less far."""
        below = self.operand.horizon()
        if self.is_past:
            return max(below - self.interval.start, 0)
        return below + (math.inf if self.interval.end is None else self.interval.end)

    def __str__(self) -> str:
        return f"{self.operator}{self.interval} {_operand(self.operand)}"


@dataclass(frozen=True, repr=False)
class Span(Operation, Formula):
    """``left until right``: right at some instant of the window, left at all instants before it.

    ``left since right`` is its mirror image: right at some instant of the window in the past,
    left at all instants after it.
    """

    operators = get_args(SpanOperator)
    operator: SpanOperator
    interval: Interval
    left: Formula
    right: Formula

    @property
    def is_past(self) -> bool:
        """True for ``since``."""
        return self.operator == "since"

    def horizon(self) -> float:
        """``until`` looks its end further ahead; ``since`` looks back for its right side."""
        left, right = self.left.horizon(), self.right.horizon()
        if self.is_past:
            return max(left, right - self.interval.start, 0)
        return max(left, right) + (math.inf if self.interval.end is None else self.interval.end)

    def __str__(self) -> str:
        return f"{_operand(self.left)} {self.operator}{self.interval} {_operand(self.right)}"


def ties_satisfy(formula: Formula, positive: bool = True) -> bool:
    """Whether the formula holds exactly where its robustness is >= 0.

    A robustness of 0 leaves it open in general: ``x <= 3`` holds at ``x = 3``, ``x < 3`` does not.

    Args:
        formula: The formula.
        positive: False for a formula under an odd number of negations.
    """
    match formula:
        case Comparison(operator=operator):
            return (operator in ("<=", ">=", "==")) == positive
        case Not(operand=operand):
            return ties_satisfy(operand, not positive)
        case Connective(operator="->", left=left, right=right):
            return ties_satisfy(left, not positive) and ties_satisfy(right, positive)
    return all(ties_satisfy(c, positive) for c in formula.children if isinstance(c, Formula))


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise FormulaError("a constant is beyond the range of float64") from None


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise FormulaError(
            f"{name!r} cannot name a signal: use symbols, digits and '_', not starting with a "
            f"digit, and none of {', '.join(sorted(RESERVED))}"
        )


def _operand(node: Node) -> str:
    """The text of a node inside another: in parentheses unless it is a single word."""
    atomic = isinstance(node, Signal | Constant | Truth | Proposition)
    return str(node) if atomic else f"({node})"

"""Signals of a user's own, and what is known of all signals by their name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, overload

from marl_stl_env.engine.spec_signals.names import PLAIN, REPEATED, RESPONSE, WINDOWED, kind_of
from marl_stl_env.engine.spec_signals.step import StepContext
from marl_stl_env.errors import FormulaError, PluginError
from marl_stl_env.registry import Registry, as_callable
from marl_stl_env.stl.parser import parse
from marl_stl_env.types import AnyArray

#: Signals that no label enters, and those of the event's own entity.
_WITHOUT_LABELS = (
    "stopped", "isolated", "alerted", "quarantined", "quarantined_fraction", "alerts", "quarantines"
)  # fmt: skip
_OF_ENTITY = ("age", REPEATED)


class SpecSignal(Protocol):
    """A signal of your own: what one step was, as a number or a truth for every lane.

    It is a pure function of the step, lane by lane. What lasts over steps is the formula's part:
    its past-time operators look back, as in ``once[0,16] disputed``.
    """

    def __call__(self, step: StepContext, /) -> AnyArray:
        """The values of the signal.

        Args:
            step: The step; its arrays are not to be changed.

        Returns:
            Finite numbers, or booleans where a formula uses the signal as a condition.
            # (lanes,) bool, integer or float32
        """


@dataclass(frozen=True)
class OwnSignal:
    """A registered signal.

    Attributes:
        values: The function.
        needs_labels: Whether it cannot be known without true labels. Then no sensor is shown what
            is left of specifications about it, since no deployed sensor could see it.
        of_entity: Whether it is about the event's own entity, so that the cost of a violation is
            credited along the entity's events.
    """

    values: SpecSignal
    needs_labels: bool
    of_entity: bool


_Mine = TypeVar("_Mine", bound=SpecSignal)
#: Name to every registered signal; the built-in ones are those of the module's page.
SIGNALS: Registry[OwnSignal] = Registry("signal")


@overload
def register_spec_signal(
    name: str,
    signal: None = None,
    *,
    needs_labels: bool = True,
    of_entity: bool = False,
    replace: bool = False,
) -> Callable[[_Mine], _Mine]: ...
@overload
def register_spec_signal(
    name: str,
    signal: _Mine,
    *,
    needs_labels: bool = True,
    of_entity: bool = False,
    replace: bool = False,
) -> _Mine: ...
def register_spec_signal(
    name: str,
    signal: Any = None,
    *,
    needs_labels: bool = True,
    of_entity: bool = False,
    replace: bool = False,
) -> Any:
    """Register a signal under a name, which formulas may then use.

    Args:
        name: The name, an identifier of formulas.
        signal: A :class:`SpecSignal`; without it, a decorator is returned.
        needs_labels: See :class:`OwnSignal`.
        of_entity: See :class:`OwnSignal`.
        replace: Put it in the place of one of your own.

    Returns:
        The signal, or the decorator.

    Raises:
        PluginError: If the name is taken, or no formula can use it, or the signal cannot be
            called.
    """
    _check_signal_name(name)

    def wrap(given: Any) -> OwnSignal:
        return OwnSignal(as_callable(given), needs_labels, of_entity)

    return SIGNALS.decorator(name, signal, wrap, replace=replace)


def _check_signal_name(name: object) -> None:
    if kind_of(str(name)) in {*PLAIN, *RESPONSE, *WINDOWED, REPEATED}:
        raise PluginError(f"signal {name!r} is built in; choose another name")
    try:
        usable = parse(f"{name} <= 0").signals() == {name}
    except FormulaError:
        usable = False
    if not usable:
        raise PluginError(
            f"signal name {name!r:.80}: no formula can use it; take letters, digits and _, and no "
            "word of formulas such as once, always or true"
        )


def needs_labels(signals: Iterable[str]) -> bool:
    """Whether one of the signals cannot be known without the labels of the events."""
    return any(
        SIGNALS[name].needs_labels if name in SIGNALS else kind_of(name) not in _WITHOUT_LABELS
        for name in signals
    )


def of_entity(signals: Iterable[str]) -> bool:
    """Whether all of the signals are about the event's own entity."""
    return all(
        SIGNALS[name].of_entity if name in SIGNALS else kind_of(name) in _OF_ENTITY
        for name in signals
    )

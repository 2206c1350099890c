"""The specifications of an environment, watched in every lane."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from marl_stl_env.arrays import NUMPY, Arrays
from marl_stl_env.config import EnvConfig
from marl_stl_env.engine.spec_signals import SIGNALS, OwnSignal, SignalBook, StepContext
from marl_stl_env.engine.state import SpecStatus
from marl_stl_env.errors import ConfigError
from marl_stl_env.stl.monitor import MonitorSet
from marl_stl_env.stl.specs import Specification, default_specifications
from marl_stl_env.types import Action, AnyArray, BoolArray, Float32Array

#: The default specifications that make sense where nothing persists; the budget does where an Alert
#: is anything else than an Allow.
_REPLAY, _BUDGET = ("posture", "availability"), "alert budget"
#: What the sum of all costs is called in infos.
COST_SUM = "cost_sum"
_BOOK, _MONITORS = "signals.", "monitors."


def specifications(config: EnvConfig) -> tuple[Specification, ...]:
    """The specifications that a configuration names: its own, or the default ones of its dynamics.

    In a replay an Alert has the reward of an Allow unless its cost differs. The budget of alerts is
    then no matter of the default set, but where a shield enforces it.

    Raises:
        FormulaError: If a specification is not a formula.
        ConfigError: If the posture's window is too short.
    """
    if config.stl.specs:
        pairs = (text.split("=", 1) for text in config.stl.specs)
        return tuple(Specification.parse(name.strip(), text) for name, text in pairs)
    known = default_specifications(config.stl.posture_window)
    if config.dynamics == "response":
        return known
    costs = config.reward.action_costs(config.dynamics)
    budgeted = config.stl.shield or costs[Action.ALERT] != costs[Action.ALLOW]
    wanted = (_BUDGET, *_REPLAY) if budgeted else _REPLAY
    return tuple(one for one in known if one.name in wanted)


class SpecMonitor:
    """Signals and monitors of all lanes.

    Args:
        config: The environment.
        lanes: Independent copies of the stream.
        arrays: The array library and device.

    Attributes:
        specifications: The specifications, in the order of all arrays.
        cost_names: What their costs are called in infos, such as ``cost_alert_budget``.

    Raises:
        FormulaError: If a specification is not a formula, or looks infinitely far ahead.
        UnknownNameError: If a specification names a signal that these dynamics do not give.
        ConfigError: If two specifications, or their costs, have the same name.
    """

    def __init__(self, config: EnvConfig, lanes: int, arrays: Arrays = NUMPY) -> None:
        self._made_of = config, lanes, arrays
        self._arrays = arrays
        self.specifications = specifications(config)
        self.cost_names = _cost_names(one.name for one in self.specifications)
        names = frozenset[str]().union(*(one.signals for one in self.specifications))
        lasting = config.response.quarantine_length if config.dynamics == "response" else None
        self._book = SignalBook(names, lanes, config.episode_length, lasting, arrays)
        self._monitors = MonitorSet(self.specifications, lanes, self._book.finite, arrays)
        self._named = self._monitors.names
        self._violated = self._monitors.violated

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies are made anew, since their arrays are to share memory as these do."""
        own = {name: SIGNALS[name] for name in self._book.names if name in SIGNALS}
        return _restored, (*self._made_of, self.get_state(), own)

    def reset(self, mask: BoolArray) -> None:
        """Begin a new episode in the masked lanes.  # (lanes,) bool."""
        self._book.reset(mask)
        self._monitors.reset(mask)
        self._violated = self._monitors.violated

    def step(self, step_context: StepContext, voting: BoolArray | bool = True) -> SpecStatus:
        """Take one step of every lane.

        Args:
            step_context: What happened.
            voting: Lanes in which it was an event's vote; True for all, False for none. A proposal
                round is no instant of a specification: there nothing changes.  # (lanes,) bool
        """
        before = self._violated
        if voting is not False:
            counted = None if voting is True else voting
            values = self._book.step(step_context, counted)
            named = self._book.named(step_context, self._named) if self._named else {}
            self._monitors.step(named, counted, values)
        # What is violated stays so until the reset: the new ones are those that differ.
        self._violated = violated = self._monitors.violated
        return SpecStatus(self.robustness, violated.T, (violated != before).T)

    @property
    def robustness(self) -> Float32Array:
        """The least robustness of the episode so far, +inf before the first instant that counts.

        # (lanes, specifications) float32
        """
        robustness: Float32Array = self._arrays.copy(self._monitors.robustness).T
        return robustness

    @property
    def violated(self) -> BoolArray:
        """Whether each specification is violated.  # (lanes, specifications) bool."""
        return self._monitors.violated.T

    def observation(self) -> Float32Array:
        """What is left of each specification, in [-1, 1].  # (lanes, specifications) float32."""
        return self._monitors.observation()

    def get_state(self) -> dict[str, AnyArray]:
        """Copies of all arrays, by name, lanes first."""
        monitors = self._monitors.get_state()
        book = self._book.get_state(monitors["age"])
        state = {f"{_BOOK}{name}": array for name, array in book.items()}
        return state | {f"{_MONITORS}{name}": array.T.copy() for name, array in monitors.items()}

    def set_state(self, arrays: dict[str, AnyArray]) -> None:
        """Go back to a state that :meth:`get_state` gave.

        Raises:
            StateError: If it belongs to other specifications or another number of lanes.
        """
        book = {n.removeprefix(_BOOK): a for n, a in arrays.items() if n.startswith(_BOOK)}
        monitors = {
            n.removeprefix(_MONITORS): a.T for n, a in arrays.items() if n.startswith(_MONITORS)
        }
        self._monitors.set_state(monitors)
        self._book.set_state(book, monitors["age"])
        self._violated = self._monitors.violated


def _restored(
    config: EnvConfig,
    lanes: int,
    arrays: Arrays,
    state: dict[str, AnyArray],
    own: dict[str, OwnSignal],
) -> SpecMonitor:
    for name, signal in own.items():  # another process may not have registered them
        SIGNALS.setdefault(name, signal)
    monitor = SpecMonitor(config, lanes, arrays)
    monitor.set_state(state)
    return monitor


def _cost_names(names: Iterable[str]) -> tuple[str, ...]:
    """An identifier for each specification's cost.

    Raises:
        ConfigError: If two are the same, or one is that of the sum of all.
    """
    costs: dict[str, str] = {COST_SUM: "sum"}
    for name in names:
        cost = "cost_" + re.sub(r"\W+", "_", name)
        if cost in costs:
            raise ConfigError(
                f"the costs of the specifications {costs[cost]!r} and {name!r} would both be "
                f"called {cost!r} in infos; rename one (the sum of all costs is {COST_SUM!r})"
            )
        costs[cost] = name
    return tuple(costs)[1:]

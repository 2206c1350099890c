"""The specifications of an environment, watched in every lane."""

from __future__ import annotations

import numpy as np

from marl_stl_env.config import EnvConfig
from marl_stl_env.engine.spec_signals import SignalBook, StepContext
from marl_stl_env.engine.state import SpecStatus
from marl_stl_env.errors import StateError
from marl_stl_env.stl.monitor import MonitorSet
from marl_stl_env.stl.specs import Specification, default_specifications
from marl_stl_env.types import AnyArray, BoolArray, Float32Array

#: The default specifications that make sense where nothing persists.
_REPLAY = ("alert budget", "posture", "availability")
_BOOK = "signals."


def specifications(config: EnvConfig) -> tuple[Specification, ...]:
    """The specifications that a configuration names: its own, or the default ones of its dynamics.

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
    return tuple(one for one in known if one.name in _REPLAY)


class SpecMonitor:
    """Signals and monitors of all lanes.

    Args:
        config: The environment.
        lanes: Independent copies of the stream.

    Attributes:
        specifications: The specifications, in the order of all arrays.

    Raises:
        FormulaError: If a specification is not a formula, or looks infinitely far ahead.
        UnknownNameError: If a specification names a signal that these dynamics do not give.
    """

    def __init__(self, config: EnvConfig, lanes: int) -> None:
        self.specifications = specifications(config)
        self._monitors = MonitorSet(self.specifications, lanes)
        names = frozenset[str]().union(*(one.signals for one in self.specifications))
        lasting = config.response.quarantine_length if config.dynamics == "response" else None
        self._book = SignalBook(names, lanes, config.episode_length, lasting)
        self._lanes = lanes

    def reset(self, mask: BoolArray) -> None:
        """Begin a new episode in the masked lanes.  # (lanes,) bool."""
        self._book.reset(mask)
        self._monitors.reset(mask)

    def step(self, step_context: StepContext) -> SpecStatus:
        """Take one step of every lane."""
        before = self._monitors.violated
        self._monitors.step(self._book.step(step_context))
        violated = self._monitors.violated
        return SpecStatus(self.robustness, violated.T, (violated & ~before).T)

    @property
    def robustness(self) -> Float32Array:
        """The least robustness of the episode so far, +inf before the first instant that counts.

        # (lanes, specifications) float32
        """
        return self._monitors.robustness.T.copy()

    @property
    def violated(self) -> BoolArray:
        """Whether each specification is broken.  # (lanes, specifications) bool."""
        return self._monitors.violated.T.copy()

    def observation(self) -> Float32Array:
        """What is left of each specification, in [-1, 1].  # (lanes, specifications) float32."""
        return self._monitors.observation()

    def get_state(self) -> dict[str, AnyArray]:
        """Copies of all arrays, by name, lanes first."""
        state = {f"{_BOOK}{name}": array for name, array in self._book.get_state().items()}
        for name, array in self._monitors.get_state().items():
            by_lane = np.repeat(array, self._lanes) if array.ndim == 0 else array.T
            state[f"monitors.{name}"] = by_lane.copy()
        return state

    def set_state(self, arrays: dict[str, AnyArray]) -> None:
        """Go back to a state that :meth:`get_state` gave.

        Raises:
            StateError: If it belongs to other specifications or another number of lanes.
        """
        book = {n.removeprefix(_BOOK): a for n, a in arrays.items() if n.startswith(_BOOK)}
        self._book.set_state(book)
        monitors = {}
        for name, own in self._monitors.get_state().items():
            given = arrays.get(f"monitors.{name}", np.empty(0))
            if own.ndim == 0:
                if len(np.unique(given)) != 1:
                    raise StateError(f"the monitors' {name} must be the same in all lanes")
                given = given[0].astype(own.dtype)
            monitors[name] = given.T
        self._monitors.set_state(monitors)

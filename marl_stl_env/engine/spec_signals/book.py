"""Counts what a set of signals needs, lane by lane, and gives their values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from operator import and_, mod

import numpy as np

from marl_stl_env.arrays import NUMPY, Arrays
from marl_stl_env.engine.response import Outcome
from marl_stl_env.engine.spec_signals.names import (
    BIT,
    DERIVED,
    PLAIN,
    REPEATED,
    RESPONSE,
    WINDOWED,
)
from marl_stl_env.engine.spec_signals.registered import SIGNALS
from marl_stl_env.engine.spec_signals.step import StepContext
from marl_stl_env.engine.state import is_threat_vote
from marl_stl_env.errors import StateError, UnknownNameError
from marl_stl_env.registry import blamed
from marl_stl_env.stl.device.atoms import as_device_signal
from marl_stl_env.stl.specs import Allowances
from marl_stl_env.types import Action, AnyArray, BoolArray, IntArray

_ALERT, _QUARANTINE = int(Action.ALERT), int(Action.QUARANTINE)
#: Fields of a step with a value for every lane.
_LANEWISE = ("steps", "labels", "decisions", "rewards", "rows", "actions", "faulty")


def _bits_of_steps() -> AnyArray:
    """All that is counted of a step in one byte, by isolation, label and decision.

    # (16,) uint8
    """
    isolated, threats, decisions = np.indices((2, 2, len(Action)))
    threats, evaluated = threats == 1, isolated == 0
    stopped = is_threat_vote(decisions)
    facts = {
        "alerts": decisions == _ALERT,
        "quarantines": evaluated & (decisions == _QUARANTINE),
        "threats": evaluated & threats,
        "misses": threats & ~stopped,
        "benign": evaluated & ~threats,
        "false_alarms": evaluated & ~threats & stopped,
        "_denied": ~threats & stopped,
        "_offered": ~threats,
    }
    bits = [fact * BIT[name] for name, fact in facts.items()]
    return np.asarray(np.sum(bits, axis=0), np.uint8).ravel()


_BITS = _bits_of_steps()


class SignalBook:
    """Keeps the counts that a set of signals needs, lane by lane.

    Args:
        names: The signals wanted.
        lanes: Independent copies of the stream.
        episode_length: Steps of an episode.
        quarantine_length: Steps that an isolation lasts; None in a replay.
        arrays: The array library and device. Signals of users are numpy functions: on a device the
            host waits for them.

    Raises:
        UnknownNameError: If there is no such signal with these dynamics.
    """

    def __init__(
        self,
        names: Iterable[str],
        lanes: int,
        episode_length: int,
        quarantine_length: int | None = None,
        arrays: Arrays = NUMPY,
    ) -> None:
        self.names, self._arrays = tuple(sorted(names)), arrays
        self._isolation, self._lanes = quarantine_length or 0, arrays.asarray(np.arange(lanes))
        self._own = {name: SIGNALS[name] for name in self.names if name in SIGNALS}
        self._parsed = {name: self._parse(name) for name in self.names}
        wanted: set[tuple[str, int]] = set()
        for kind, window in self._parsed.values():
            wanted |= {(part, window) for part in DERIVED.get(kind, (kind,)) if part in BIT}
            if kind.startswith("quarantined"):
                wanted.add(("quarantines", self._isolation))
        self._allowances = {
            window: _allowed(window, episode_length, arrays)
            for kind, window in self._parsed.values()
            if kind.endswith("_margin")
        }
        keys, asarray = sorted(wanted), arrays.asarray
        self._counted = asarray(np.zeros((len(keys), lanes), np.int64))
        self._counts = dict(zip(keys, self._counted, strict=True))  # its rows, by name and window
        bits = np.array([BIT[name] for name, _ in keys], np.uint8)
        self._bit_of = asarray(bits[:, None])
        self._begun = asarray(((_BITS[:, None] & bits) != 0).astype(np.int64))  # (facts, keys)
        windows = sorted({window for _, window in keys})
        self._history = asarray(np.zeros((lanes, max(windows, default=1)), np.uint8))
        # The steps that leave each window, and this one, which takes the place of the oldest.
        self._back: IntArray = asarray(np.array([*windows, 0])[:, None])
        places = np.array([windows.index(window) for _, window in keys], np.int64)
        self._window_of: IntArray = asarray(places)
        self._first: IntArray = self._lanes * self._history.shape[1]
        # Where it can be, a remainder is one operation on bits.
        length = self._history.shape[1]
        self._around, around = (and_, length - 1) if length & (length - 1) == 0 else (mod, length)
        self._length = asarray(np.array(around))
        # Arrays of no dimension: numpy converts a number of Python's anew in every operation.
        self._one, self._never, self._of_label, self._of_isolation = (
            asarray(np.array(number)) for number in (1, -1, len(Action), 2 * len(Action))
        )
        self._values = [(name, self._signal(name)) for name in self.names]

    @property
    def kinds(self) -> dict[str, type[np.generic]]:
        """The signals that are small integers or finite float32 numbers by construction."""
        floats = ("denied", "quarantined_fraction")
        return {
            name: np.float32 if kind in floats else np.int64
            for name, (kind, _) in self._parsed.items()
            if name not in self._own and kind not in PLAIN
        }

    def reset(self, mask: BoolArray) -> None:
        """Begin a new episode in the masked lanes.  # (lanes,) bool."""
        self._arrays.fill(self._history, mask, 0)
        self._arrays.fill_columns(self._counted, mask, 0)

    def step(
        self, step_context: StepContext, voting: BoolArray | None = None
    ) -> dict[str, AnyArray]:
        """Take one step of every lane.

        Args:
            step_context: What happened.
            voting: Lanes in which it counts; None for all. In others the signals mean nothing.
                # (lanes,) bool

        Returns:
            The signals by name.  # (lanes,) numbers or booleans each
        """
        arrays, outcome = self._arrays, step_context.outcome
        facts = step_context.labels * self._of_label + step_context.decisions
        if not arrays.surely_none(outcome.isolated):
            facts = facts + outcome.isolated * self._of_isolation
        self._count(facts, step_context.steps, voting)
        return {name: value(step_context) for name, value in self._values}

    def get_state(self) -> dict[str, AnyArray]:
        """Copies of all arrays, by name, lanes first."""
        tonumpy = self._arrays.tonumpy
        counts = {
            f"{name}_{window}": tonumpy(count, np.int64)
            for (name, window), count in self._counts.items()
        }
        return {"history": tonumpy(self._history, np.uint8), **counts}

    def set_state(self, arrays: dict[str, AnyArray]) -> None:
        """Go back to a state that :meth:`get_state` gave.

        Raises:
            StateError: If it belongs to other signals or another number of lanes.
        """
        own = self.get_state()
        if {n: a.shape for n, a in own.items()} != {n: a.shape for n, a in arrays.items()}:
            raise StateError(
                f"the signals need the arrays {sorted(own)} over {len(self._lanes)} lanes, not "
                f"{sorted(arrays)}; the state belongs to other specifications or other lanes"
            )
        asarray = self._arrays.asarray
        self._history[:] = asarray(np.array(arrays["history"]))
        for (name, window), count in self._counts.items():
            count[:] = asarray(np.array(arrays[f"{name}_{window}"]))

    def _count(self, facts: IntArray, steps: IntArray, voting: BoolArray | None) -> None:
        """Count what enters and what leaves each window."""
        arrays, history = self._arrays, self._history.reshape(-1)
        places = self._around(steps - self._back, self._length)
        places += self._first
        here, bits = places[-1], arrays.take(arrays.constant(_BITS), facts)
        leaving = arrays.take(arrays.take(history, places[:-1]), self._window_of)
        begun = arrays.take(self._begun, facts).T
        ended = (leaving & self._bit_of) == self._bit_of
        if voting is not None:
            begun, ended = begun * voting, ended & voting
            bits = arrays.where(voting, bits, history[here])
        self._counted += begun
        self._counted -= arrays.cast(ended, np.int64)
        history[here] = bits

    def _signal(self, name: str) -> Callable[[StepContext], AnyArray]:
        """A signal as a function of the step that was just counted."""
        kind, window = self._parsed[name]
        if kind in self._own:
            return partial(self._of_user, kind)
        if kind in BIT:
            counted: AnyArray = self._counts[kind, window]
            return lambda _: counted
        if kind in DERIVED:
            return self._derived(kind, window)
        if kind in PLAIN:
            return partial(_plain, kind)
        return self._response(kind, window)

    def _of_user(self, kind: str, step_context: StepContext) -> AnyArray:
        """The values of a registered signal."""
        numbers = [*(getattr(step_context, name) for name in _LANEWISE), *step_context.outcome]

        def values(*given: AnyArray) -> AnyArray:
            facts = dict(zip(_LANEWISE, given, strict=False))
            outcome = Outcome(*given[len(_LANEWISE) :])
            step = StepContext(**facts, outcome=outcome, table=step_context.table)
            with blamed(SIGNALS.described(kind)):
                return np.asarray(self._own[kind].values(step))

        def checked(*given: AnyArray) -> AnyArray:
            return as_device_signal(kind, values(*given), (len(given[0]),))

        on_host = values if self._arrays is NUMPY else checked
        found: AnyArray = self._arrays.on_host(on_host, *numbers)
        return found

    def _derived(self, kind: str, window: int) -> Callable[[StepContext], AnyArray]:
        arrays, one = self._arrays, self._one
        part, whole = (self._counts[name, window] for name in DERIVED[kind])
        if kind == "denied":
            return lambda _: arrays.cast(part / arrays.maximum(whole, one), np.float32)
        missed, false_alarms = self._allowances[window]
        allowed: IntArray = missed if kind == "missed_margin" else false_alarms
        return lambda _: arrays.take(allowed, whole) - part

    def _response(self, kind: str, window: int) -> Callable[[StepContext], AnyArray]:
        arrays, one, never = self._arrays, self._one, self._never
        if kind == "age":
            return lambda step: step.outcome.age
        if kind == REPEATED:
            wide = arrays.asarray(np.array(window))

            def repeated(step: StepContext) -> AnyArray:
                since = step.outcome.requarantined
                within: AnyArray = arrays.cast((since > never) & (since < wide), np.int64)
                return within

            return repeated
        held: IntArray = self._counts["quarantines", self._isolation]
        if kind == "quarantined":
            return lambda _: held

        def fraction(step: StepContext) -> AnyArray:
            # Before a lane's first vote no entity is present.
            present = arrays.maximum(step.outcome.present, one)
            share: AnyArray = arrays.cast(held / present, np.float32)
            return share

        return fraction

    def _parse(self, name: str) -> tuple[str, int]:
        plain = PLAIN if not self._isolation else PLAIN + RESPONSE
        windowed = WINDOWED if not self._isolation else (*WINDOWED, REPEATED)
        match = re.fullmatch(r"(\w+)_([1-9]\d{0,5})", name)
        if name in plain or name in self._own:
            return name, 0
        if match is None or match[1] not in windowed:
            known = [*plain, *(f"{kind}_<steps>" for kind in windowed), *SIGNALS]
            raise UnknownNameError("signal", name, known)
        return match[1], int(match[2])


def _allowed(window: int, episode_length: int, arrays: Arrays) -> tuple[IntArray, IntArray]:
    """Misses and false alarms that a window may hold, by its threats and its benign events."""
    found = Allowances.for_rates(window, max(episode_length, window))
    return arrays.asarray(found.missed), arrays.asarray(found.false_alarms)


def _plain(kind: str, step_context: StepContext) -> AnyArray:
    """A signal that says what this very step was."""
    match kind:
        case "threat":
            return step_context.labels
        case "stopped":
            return is_threat_vote(step_context.decisions)
        case "isolated":
            return step_context.outcome.isolated
        case "alerted":
            alerted: AnyArray = step_context.decisions == _ALERT
            return alerted
    return step_context.rewards

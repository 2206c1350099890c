"""The signals of a step, for specifications to speak of.

===========================  ====================================================================
signal                       meaning
===========================  ====================================================================
``threat``                   the event is a threat (boolean, like the next three)
``stopped``                  it was stopped: by Block, by Quarantine or by a running isolation
``isolated``                 its entity was isolated already
``alerted``                  the team called the analyst
``reward``                   what the decision earned
``age``                      at a threat that passed: steps since the first of its entity's threats
                             of which none was stopped since; 0 at all other events
``quarantined``              entities in isolation
``quarantined_fraction``     their number over that of the entities met in the last 64 steps
``alerts_<w>``               alerts in the last w steps, and so on for the next ones
``quarantines_<w>``          quarantines begun
``threats_<w>``              threats of entities not isolated
``misses_<w>``               threats that passed
``benign_<w>``               benign events of entities not isolated
``false_alarms_<w>``         benign events among them that were stopped
``requarantined_benign_<w>`` whether a benign event's entity went into quarantine, having left it
                             at most w steps before (0 or 1)
``denied_<w>``               share of the benign events of the last w steps that were stopped, those
                             of isolated entities included; 0 where there were none
``missed_margin_<w>``        misses that the specified rate would still allow
``false_alarm_margin_<w>``   false alarms that it would still allow
===========================  ====================================================================

``age``, ``quarantined`` and ``requarantined_benign`` need the dynamics "response". The margins are
those of :class:`~marl_stl_env.stl.specs.Allowances`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, overload

import numpy as np

from marl_stl_env.arrays import NUMPY, Arrays
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.response import Outcome
from marl_stl_env.engine.state import is_threat_vote
from marl_stl_env.errors import FormulaError, PluginError, StateError, UnknownNameError
from marl_stl_env.registry import Registry, as_callable, blamed
from marl_stl_env.stl.device.atoms import as_device_signal
from marl_stl_env.stl.parser import parse
from marl_stl_env.stl.specs import Allowances
from marl_stl_env.types import Action, AnyArray, BoolArray, Float32Array, Int8Array, IntArray

#: Counted events, each a bit of the history.
COUNTED = (
    "alerts", "quarantines", "threats", "misses", "benign", "false_alarms", "_denied", "_offered",
)  # fmt: skip
_BIT = {name: np.uint8(1 << i) for i, name in enumerate(COUNTED)}
_DERIVED = {
    "denied": ("_denied", "_offered"),
    "missed_margin": ("misses", "threats"),
    "false_alarm_margin": ("false_alarms", "benign"),
}
_PLAIN = ("threat", "stopped", "isolated", "alerted", "reward")
_RESPONSE = ("age", "quarantined", "quarantined_fraction")
_REPEATED = "requarantined_benign"
_WINDOWED = tuple(name for name in COUNTED if name[0] != "_") + tuple(_DERIVED)
#: Signals that no label enters, and those of the event's own entity.
_WITHOUT_LABELS = (
    "stopped", "isolated", "alerted", "quarantined", "quarantined_fraction", "alerts", "quarantines"
)  # fmt: skip
_OF_ENTITY = ("age", _REPEATED)
_ALERT, _QUARANTINE = int(Action.ALERT), int(Action.QUARANTINE)
#: Fields of a step with a value for every lane.
_LANEWISE = ("steps", "labels", "decisions", "rewards", "rows", "actions", "faulty")


def _bits_of_steps() -> AnyArray:
    """All that is counted of a step in one byte, by label, decision and isolation.

    # (16,) uint8
    """
    threats, decisions, isolated = np.indices((2, len(Action), 2))
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
    bits = [fact * _BIT[name] for name, fact in facts.items()]
    return np.asarray(np.sum(bits, axis=0), np.uint8).ravel()


_BITS = _bits_of_steps()


def needs_labels(signals: Iterable[str]) -> bool:
    """Whether one of the signals cannot be known without the labels of the events."""
    return any(
        SIGNALS[name].needs_labels if name in SIGNALS else _kind(name) not in _WITHOUT_LABELS
        for name in signals
    )


def of_entity(signals: Iterable[str]) -> bool:
    """Whether all of the signals are about the event's own entity."""
    return all(
        SIGNALS[name].of_entity if name in SIGNALS else _kind(name) in _OF_ENTITY
        for name in signals
    )


def _kind(name: str) -> str:
    """A signal's name without its window."""
    return re.sub(r"_\d+$", "", name)


@dataclass(frozen=True)
class StepContext:
    """One step of all lanes, as the signals need it.

    Attributes:
        steps: Number of the step in its episode.  # (lanes,) int64
        labels: True labels.  # (lanes,) bool
        decisions: What was carried out.  # (lanes,) int8
        rewards: What the decision earned.  # (lanes,) float32
        outcome: What the response brought; nothing in a replay.
        rows: Row of ``table`` that was decided on.  # (lanes,) int64
        actions: What the sensors chose, as agreed on, -1 for silence.  # (lanes, agents) int8
        faulty: Which sensors were faulty.  # (lanes, agents) bool
        table: The scaled table: families, entities, times, features of all events.
    """

    steps: IntArray
    labels: BoolArray
    decisions: Int8Array
    rewards: Float32Array
    outcome: Outcome
    rows: IntArray
    actions: Int8Array
    faulty: BoolArray
    table: TrafficTable


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
    if _kind(str(name)) in {*_PLAIN, *_RESPONSE, *_WINDOWED, _REPEATED}:
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
            wanted |= {(part, window) for part in _DERIVED.get(kind, (kind,)) if part in _BIT}
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
        self._bit_of = asarray(np.array([_BIT[name] for name, _ in keys], np.uint8)[:, None])
        windows = sorted({window for _, window in keys})
        self._history = asarray(np.zeros((lanes, max(windows, default=1)), np.uint8))
        # The steps that leave each window, and this one, which takes the place of the oldest.
        self._back: IntArray = asarray(np.array([*windows, 0])[:, None])
        places = np.array([windows.index(window) for _, window in keys], np.int64)
        self._window_of: IntArray = asarray(places)
        self._first: IntArray = self._lanes * self._history.shape[1]

    @property
    def kinds(self) -> dict[str, type[np.generic]]:
        """The signals that are small integers or finite float32 numbers by construction."""
        floats = ("denied", "quarantined_fraction")
        return {
            name: np.float32 if kind in floats else np.int64
            for name, (kind, _) in self._parsed.items()
            if name not in self._own and kind not in _PLAIN
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
        arrays, decisions = self._arrays, step_context.decisions
        facts = (step_context.labels * len(Action) + decisions) * 2 + step_context.outcome.isolated
        bits = arrays.take(arrays.constant(_BITS), facts)
        self._count(bits, step_context.steps, voting)
        return {name: self._signal(name, step_context) for name in self.names}

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

    def _count(self, bits: AnyArray, steps: IntArray, voting: BoolArray | None) -> None:
        arrays, history = self._arrays, self._history.reshape(-1)
        places = (steps - self._back) % self._history.shape[1]
        places += self._first
        leaving = arrays.take(arrays.take(history, places[:-1]), self._window_of)
        begun, ended = (bits & self._bit_of) != 0, (leaving & self._bit_of) != 0
        if voting is not None:
            begun, ended = begun & voting, ended & voting
            bits = arrays.where(voting, bits, history[places[-1]])
        self._counted += arrays.cast(begun, np.int8) - arrays.cast(ended, np.int8)
        history[places[-1]] = bits

    def _signal(self, name: str, step_context: StepContext) -> AnyArray:
        kind, window = self._parsed[name]
        if kind in self._own:
            return self._of_user(kind, step_context)
        if kind in _BIT:
            counted: AnyArray = self._counts[kind, window]
            return counted
        if kind in _DERIVED:
            return self._derived(kind, window)
        if kind in _PLAIN:
            return _plain(kind, step_context)
        return self._response(kind, window, step_context.outcome)

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

    def _derived(self, kind: str, window: int) -> AnyArray:
        part, whole = (self._counts[name, window] for name in _DERIVED[kind])
        if kind == "denied":
            share: AnyArray = self._arrays.cast(part / self._arrays.above(whole, 1), np.float32)
            return share
        missed, false_alarms = self._allowances[window]
        allowed: IntArray = missed if kind == "missed_margin" else false_alarms
        margin: AnyArray = self._arrays.take(allowed, whole) - part
        return margin

    def _response(self, kind: str, window: int, outcome: Outcome) -> AnyArray:
        arrays = self._arrays
        if kind == "age":
            return outcome.age
        if kind == _REPEATED:
            since = outcome.requarantined
            repeated: AnyArray = arrays.cast((since >= 0) & (since < window), np.int64)
            return repeated
        held: IntArray = self._counts["quarantines", self._isolation]
        if kind == "quarantined":
            return held
        # Before a lane's first vote no entity is present.
        share: AnyArray = arrays.cast(held / arrays.above(outcome.present, 1), np.float32)
        return share

    def _parse(self, name: str) -> tuple[str, int]:
        plain = _PLAIN if not self._isolation else _PLAIN + _RESPONSE
        windowed = _WINDOWED if not self._isolation else (*_WINDOWED, _REPEATED)
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

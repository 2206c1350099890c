"""Counts what a set of signals needs, lane by lane, and gives their values."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from marl_stl_env.arrays import NUMPY, Arrays
from marl_stl_env.engine.response import Outcome
from marl_stl_env.engine.spec_signals.counts import Key, WindowCounts
from marl_stl_env.engine.spec_signals.names import (
    BIT,
    PLAIN,
    PRESENT,
    REPEATED,
    RESPONSE,
    WINDOWED,
)
from marl_stl_env.engine.spec_signals.registered import SIGNALS
from marl_stl_env.engine.spec_signals.rows import SignalRows
from marl_stl_env.engine.spec_signals.step import StepContext
from marl_stl_env.engine.spec_signals.updates import updates
from marl_stl_env.engine.state import is_threat_vote
from marl_stl_env.errors import PluginError, StateError, UnknownNameError
from marl_stl_env.registry import blamed
from marl_stl_env.stl.device.atoms import as_device_signal
from marl_stl_env.stl.thresholds import FiniteSignal
from marl_stl_env.types import Action, AnyArray, BoolArray, Float32Array, IntArray

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
    """Keeps what a set of signals needs, lane by lane.

    Args:
        names: The signals wanted.
        lanes: Independent copies of the stream.
        episode_length: Steps of an episode.
        quarantine_length: Steps that an isolation lasts; None in a replay.
        arrays: The array library and device. Signals of users are numpy functions: on a device the
            host waits for them.

    Attributes:
        names: The signals, sorted.
        finite: Those that are small integers or finite float32 numbers by construction, with
            their rows among the values.

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
        isolation = quarantine_length or 0
        self._own = {name: SIGNALS[name] for name in self.names if name in SIGNALS}
        parsed = {name: _parsed(name, lasting=isolation > 0) for name in self.names}
        taken = {n: key for n, key in parsed.items() if n not in self._own and n not in PLAIN}
        plan = SignalRows.of(taken, isolation)
        self.finite = {
            name: FiniteSignal(
                plan.rows[name], np.float32 if name in plan.shares.names else np.int64
            )
            for name in taken
        }
        self._keys = plan.keys
        self._values: Float32Array = arrays.asarray(np.zeros((plan.total, lanes), np.float32))
        self._counts = WindowCounts(plan.keys, self._values[: len(plan.keys)], arrays)
        self._updates = list(updates(plan, taken, episode_length, self._values, arrays))
        self._bits = arrays.constant(_BITS)
        # Arrays of no dimension: numpy converts a number of Python's anew in every operation.
        self._of_label, self._of_isolation = (
            arrays.asarray(np.array(number)) for number in (len(Action), 2 * len(Action))
        )

    def reset(self, mask: BoolArray) -> None:
        """Begin a new episode in the masked lanes.  # (lanes,) bool."""
        self._counts.reset(mask)

    def step(self, step_context: StepContext, voting: BoolArray | None = None) -> Float32Array:
        """Take one step of every lane.

        Args:
            step_context: What happened.
            voting: Lanes in which it counts; None for all. In others the signals mean nothing.
                # (lanes,) bool

        Returns:
            The values of the signals of ``finite``, in their rows; the next step changes them.
            # (rows, lanes) float32
        """
        arrays, outcome = self._arrays, step_context.outcome
        facts = step_context.labels * self._of_label + step_context.decisions
        if not arrays.surely_none(outcome.isolated):
            facts = facts + outcome.isolated * self._of_isolation
        self._counts.step(arrays.take(self._bits, facts), voting)
        for update in self._updates:
            update(step_context)
        return self._values

    def named(self, step_context: StepContext, names: Iterable[str]) -> dict[str, AnyArray]:
        """Signals of the step that was just taken, by name.

        Returns:
            In the signal's own type.  # (lanes,) bool, int64 or float32 each
        """
        return {name: self._signal(name, step_context) for name in names}

    def get_state(self, steps: IntArray) -> dict[str, AnyArray]:
        """Copies of all arrays, by name, lanes first.

        Args:
            steps: Number of each lane's last step in its episode, -1 before the first.
                # (lanes,) int64
        """
        values = self._arrays.tonumpy(self._values, np.float32)
        counts = {f"{n}_{w}": values[row].astype(np.int64) for (n, w), row in self._counted()}
        return {"history": self._counts.history(steps), **counts}

    def set_state(self, arrays: dict[str, AnyArray], steps: IntArray) -> None:
        """Go back to a state that :meth:`get_state` gave.

        Raises:
            StateError: If it belongs to other signals or another number of lanes.
        """
        own = self.get_state(steps)
        if {n: a.shape for n, a in own.items()} != {n: a.shape for n, a in arrays.items()}:
            raise StateError(
                f"the signals need the arrays {sorted(own)} over {len(steps)} lanes, not "
                f"{sorted(arrays)}; the state belongs to other specifications or other lanes"
            )
        self._counts.follow(arrays["history"], steps)
        for (name, window), row in self._counted():
            given = np.array(arrays[f"{name}_{window}"], np.float32)
            self._values[row] = self._arrays.asarray(given)

    def _counted(self) -> list[tuple[Key, int]]:
        """What is remembered among the values, with its row."""
        return sorted((key, row) for row, key in enumerate(self._keys) if key != PRESENT)

    def _signal(self, name: str, step_context: StepContext) -> AnyArray:
        """One signal of the step that was just taken."""
        if name in self._own:
            return self._of_user(name, step_context)
        if name in PLAIN:
            return _plain(name, step_context)
        known = self.finite[name]
        values: AnyArray = self._arrays.cast(self._values[known.row], known.kind)
        return values

    def _of_user(self, kind: str, step_context: StepContext) -> AnyArray:
        """The values of a registered signal."""
        numbers = [*(getattr(step_context, name) for name in _LANEWISE), *step_context.outcome]

        def values(*given: AnyArray) -> AnyArray:
            facts = dict(zip(_LANEWISE, given, strict=False))
            outcome = Outcome(*given[len(_LANEWISE) :])
            step = StepContext(**facts, outcome=outcome, table=step_context.table)
            with blamed(SIGNALS.described(kind)):
                found = np.asarray(self._own[kind].values(step))
            if found.shape != step.labels.shape or found.dtype.kind not in "biuf":
                raise PluginError(
                    f"{SIGNALS.described(kind)} returns {found.dtype} of shape {found.shape}; a "
                    f"signal is one number or truth per lane, here {step.labels.shape}"
                )
            return found

        def checked(*given: AnyArray) -> AnyArray:
            return as_device_signal(kind, values(*given), (len(given[0]),))

        on_host = values if self._arrays is NUMPY else checked
        found: AnyArray = self._arrays.on_host(on_host, *numbers)
        return found


def _parsed(name: str, *, lasting: bool) -> Key:
    """Kind and window of a signal, 0 where it has none.

    Raises:
        UnknownNameError: If there is no such signal, with lasting isolations or without.
    """
    plain = PLAIN + RESPONSE if lasting else PLAIN
    windowed = (*WINDOWED, REPEATED) if lasting else WINDOWED
    if name in plain or name in SIGNALS:
        return name, 0
    match = re.fullmatch(r"(\w+)_([1-9]\d{0,5})", name)
    if match is None or match[1] not in windowed:
        known = [*plain, *(f"{kind}_<steps>" for kind in windowed), *SIGNALS]
        raise UnknownNameError("signal", name, known)
    return match[1], int(match[2])


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

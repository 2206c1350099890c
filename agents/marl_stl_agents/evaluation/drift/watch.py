"""A stream of events, watched for drift."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from marl_stl_agents.evaluation.drift.adwin import Adwin
from marl_stl_agents.evaluation.drift.compare import FALSE_ALARMS, Comparer, Comparison
from marl_stl_agents.evaluation.drift.reference import Reference
from marl_stl_env.errors import StateError
from marl_stl_env.types import Float32Array, Float64Array, IntArray

#: Events of a window, about.
WINDOW = 1000
#: Traffic has drifted once so many of so many windows have an alarm. With one false alarm in 100
#: windows that are independent, it is said falsely once in about 6,500 windows.
ALARMS, LATEST = 3, 20
_MOST_CHANGES = 20
#: Least events whose mean score is one value of ADWIN.
_SPAN = 128


class DriftWatch:
    """Compares a stream with a reference, window after window.

    Args:
        reference: What training kept.
        false_alarms: Share of undrifted windows with an alarm.

    Attributes:
        reference: What training kept.
        false_alarms: Share of undrifted windows with an alarm.
        window: Events of a window.
        events: Events seen.
        windows: Windows compared.
        alarms: Windows in which anything had moved.
        latest: The last window; None before the first.
        first_drift: Events after which it had drifted for the first time; None where it never has.
        changes: Events after which the mean threat score had changed within the stream (ADWIN),
            the latest 20.
        totals: Events in each bin so far, of the columns and of the scores.
    """

    def __init__(self, reference: Reference, false_alarms: float = FALSE_ALARMS) -> None:
        self.reference, self.false_alarms = reference, false_alarms
        blocks = reference.columns
        self.window = max(1, round(WINDOW / blocks.length)) * blocks.length
        self._alarmed: deque[tuple[str, ...]] = deque(maxlen=LATEST)
        self._adwin, self._span = Adwin(), max(_SPAN, reference.scores.length)
        self._part = (0, 0.0)  # scores of the current span: how many, and their sum
        self.events = self.windows = self.alarms = 0
        self.latest: Comparison | None = None
        self.first_drift: int | None = None
        self.changes: list[int] = []
        self.totals = self._nothing()
        self._open = self._nothing()

    @cached_property
    def _comparer(self) -> Comparer:
        return Comparer(self.reference, self.window, self.false_alarms)

    def _nothing(self) -> tuple[IntArray, IntArray]:
        """Counts of no event: of the columns, and of the scores."""
        parts = (self.reference.columns, self.reference.scores)
        columns, scores = (np.zeros(blocks.counts.shape[1], np.int64) for blocks in parts)
        return columns, scores

    @property
    def drifted(self) -> bool:
        """Whether the traffic of the latest windows has drifted."""
        return sum(map(bool, self._alarmed)) >= ALARMS

    @property
    def moved(self) -> tuple[str, ...]:
        """What has moved in the latest windows, the most often first."""
        counts = Counter(name for names in self._alarmed for name in names)
        return tuple(name for name, _ in counts.most_common())

    def add(self, features: Float32Array, scores: Float64Array) -> None:
        """Take the next events.

        Args:
            features: Scaled features.  # (events, features) float32
            scores: The team's threat scores.  # (events,) float64
        """
        start = 0
        while start < len(scores):
            stop = min(len(scores), start + self.window - self.events % self.window)
            self._count(features[start:stop], scores[start:stop])
            start = stop

    def _count(self, features: Float32Array, scores: Float64Array) -> None:
        found = (
            self.reference.columns.binning.counts(features),
            self.reference.scores.binning.counts(scores[:, None]),
        )
        self.totals, self._open = (
            (kept[0] + found[0], kept[1] + found[1]) for kept in (self.totals, self._open)
        )
        self._follow(scores)
        self.events += len(scores)
        if self.events % self.window == 0:
            self._close()

    def _close(self) -> None:
        self.latest = self._comparer.compare(*self._open)
        self._open = self._nothing()
        self.windows += 1
        self.alarms += bool(self.latest.moved)
        self._alarmed.append(self.latest.moved)
        if self.drifted and self.first_drift is None:
            self.first_drift = self.events

    def _follow(self, scores: Float64Array) -> None:
        """Look for changes in the means of short spans: single scores come in bursts."""
        at, (count, total) = 0, self._part
        while at < len(scores):
            taken = scores[at : at + self._span - count]
            count, total = count + len(taken), total + float(taken.sum())
            at += len(taken)
            if count == self._span:
                if self._adwin.add(total / count):
                    self.changes = [*self.changes, self.events + at][-_MOST_CHANGES:]
                count, total = 0, 0.0
        self._part = (count, total)

    def as_dict(self) -> dict[str, Any]:
        """What is shown of it, in JSON types."""
        return {
            "window_events": self.window,
            "windows": self.windows,
            "alarms": self.alarms,
            "false_alarm_rate": self.false_alarms,
            "drifted": self.drifted,
            "drifted_after": self.first_drift,
            "moved": list(self.moved),
            "score_changes_after": list(self.changes),
        }

    def _counted(self, lists: Sequence[Sequence[int]]) -> tuple[IntArray, IntArray]:
        """Counts from a state.

        Raises:
            ValueError: If they are those of other bins.
        """
        columns, scores = (np.array(one, np.int64) for one in lists)
        if [columns.shape, scores.shape] != [one.shape for one in self._nothing()]:
            raise ValueError("these are counts of other bins")
        return columns, scores

    def get_state(self) -> dict[str, Any]:
        """All of it but the reference, in JSON types; :meth:`set_state` takes it."""
        return {
            "events": self.events,
            "windows": self.windows,
            "alarms": self.alarms,
            "first_drift": self.first_drift,
            "changes": self.changes,
            "alarmed": [list(names) for names in self._alarmed],
            "open": [counts.tolist() for counts in self._open],
            "totals": [counts.tolist() for counts in self.totals],
            "span": list(self._part),
            "adwin": self._adwin.values,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on where :meth:`get_state` was called.

        Raises:
            StateError: If the state belongs to another reference.
        """
        try:
            self._open, self.totals = (self._counted(state[name]) for name in ("open", "totals"))
            self.events, self.windows = int(state["events"]), int(state["windows"])
            self.alarms, self.first_drift = int(state["alarms"]), state["first_drift"]
            self.changes = [int(one) for one in state["changes"]]
            self._alarmed = deque((tuple(names) for names in state["alarmed"]), maxlen=LATEST)
            count, total = state["span"]
            self._part = (int(count), float(total))
            self._adwin.restore(state["adwin"])
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"this is no state of a watch for drift: {error!r}") from None

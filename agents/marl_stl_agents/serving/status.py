"""What a server counts, and whether it is well."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from marl_stl_agents.serving.records import Decided
from marl_stl_env.data.ingest.sources.lines import Malformed
from marl_stl_env.errors import StateError
from marl_stl_env.types import Action

_SHOWN = 20
#: The counters, each with what it counts.
COUNTERS = {
    "events": "Events decided on.",
    "malformed_lines": "Lines of the input that are no records; they were skipped.",
    "clock_backwards": "Events earlier than the one before; they were decided on all the same.",
    "rotations": "How often the input went on in another file.",
    "input_losses": "How often an input file was gone before it was read to its end.",
    "snapshots": "Snapshots written.",
}


@dataclass
class Status:
    """The state of a server; its own thread writes, those of the pages read.

    Attributes:
        counts: Counters by name.
        decisions: Decisions by action.
        verdicts: Verdicts by what became of them.
        malformed: The latest malformed lines: line, offset and problem.
        event_time: Time of the latest event, or None.
        specifications: The least robustness of each specification so far.
        contained: Listed entities by action.
        behind: Bytes of the input that wait.
        full: Why nothing can be written, or "".
        snapshot_at: When the last snapshot was written, by the wall clock.
        most_behind: Bytes that may wait before the server is unwell.
        drift: What ``DriftWatch.as_dict`` gave; None where no drift is looked for.
    """

    counts: Counter[str] = field(default_factory=Counter)
    decisions: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    malformed: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_SHOWN))
    event_time: float | None = None
    specifications: dict[str, float] = field(default_factory=dict)
    contained: dict[str, int] = field(default_factory=dict)
    behind: int = 0
    full: str = ""
    snapshot_at: float = field(default_factory=time.time)
    most_behind: int = 1 << 30
    drift: Mapping[str, Any] | None = None

    def add_decisions(self, decided: Decided) -> None:
        """Count decisions."""
        rollout, times = decided.rollout, decided.chunk.times
        self.counts["events"] += len(decided)
        counts = np.bincount(rollout.decisions, minlength=len(Action)).tolist()
        self.decisions.update({action.name: counts[action] for action in Action})
        known = np.empty(0) if times is None else times[np.isfinite(times)]
        if len(known):
            before = known[0] if self.event_time is None else self.event_time
            self.counts["clock_backwards"] += int((np.diff(known, prepend=before) < 0).sum())
            self.event_time = float(known[-1])
        if rollout.robustness is not None and len(decided):
            left = rollout.robustness[-1].tolist()
            self.specifications = dict(zip(decided.specifications, left, strict=True))

    def add_malformed(self, lines: Sequence[Malformed]) -> None:
        """Count malformed lines, and keep where the latest ones are."""
        self.counts["malformed_lines"] += len(lines)
        new = [
            {"line": one.line, "offset": one.offset, "problem": one.problem[:200]} for one in lines
        ]
        if new:  # another deque, as a page may be reading this one
            self.malformed = deque([*self.malformed, *new], maxlen=_SHOWN)

    @property
    def problems(self) -> list[str]:
        """What is wrong; nothing where the server is well."""
        found = []
        if self.full:
            found.append(f"nothing can be written, decisions wait: {self.full}")
        if self.behind > self.most_behind:
            found.append(f"{self.behind:,} bytes of the input wait")
        return found

    def to_dict(self) -> dict[str, Any]:
        """What a snapshot keeps, in JSON types; :meth:`restore` takes it."""
        return {
            "counts": dict(self.counts),
            "decisions": dict(self.decisions),
            "verdicts": dict(self.verdicts),
            "malformed": list(self.malformed),
            "event_time": self.event_time,
        }

    def restore(self, facts: Mapping[str, Any]) -> None:
        """Go back to what :meth:`to_dict` gave.

        Raises:
            StateError: If it is something else.
        """
        try:
            self.counts, self.decisions = Counter(facts["counts"]), Counter(facts["decisions"])
            self.verdicts, self.event_time = Counter(facts["verdicts"]), facts["event_time"]
            self.malformed = deque(facts["malformed"], maxlen=_SHOWN)
        except (KeyError, TypeError) as error:
            raise StateError(f"these are no counts of a server: {error!r}") from None


class MalformedNotices:
    """Says which lines are malformed, at most once in so many seconds.

    Args:
        say: Takes a line of text.
        every: Seconds between two of them.
    """

    def __init__(self, say: Callable[[str], None], every: float = 60.0) -> None:
        self._say, self._every = say, every
        self._count, self._said_at = 0, -every
        self._latest: Malformed | None = None

    def add(self, lines: Sequence[Malformed]) -> None:
        """Take more malformed lines."""
        if lines:
            self._count, self._latest = self._count + len(lines), lines[-1]

    def give(self, now: float, *, last: bool = False) -> None:
        """Say what has come since the last notice, where it is time to.

        Args:
            now: Seconds of a clock that only grows.
            last: Whether there is no later time.
        """
        if self._latest is None or not (last or now - self._said_at >= self._every):
            return
        found, more = self._latest, self._count - 1
        others = f", and {more:,} more since the last notice" if more else ""
        self._say(
            f"malformed line {found.line} (byte {found.offset}), skipped: "
            f"{found.problem[:200]}{others}"
        )
        self._count, self._latest, self._said_at = 0, None, now


def covered(status: Status) -> bool | None:
    """Whether the traffic is still that of the metrics and certificates; None where not known."""
    return None if status.drift is None else not status.drift["drifted"]


def summary(status: Status) -> dict[str, Any]:
    """The state of a server for a page, in JSON types."""
    problems = status.problems
    return {
        "status": "unwell" if problems else "ok",
        "problems": problems,
        **{name: status.counts[name] for name in COUNTERS},
        "decisions": {action.name: status.decisions[action.name] for action in Action},
        "verdicts": dict(status.verdicts),
        "contained": dict(status.contained),
        "certificates_cover_traffic": covered(status),
        "drift": None if status.drift is None else dict(status.drift),
        "bytes_behind": status.behind,
        "seconds_since_snapshot": round(time.time() - status.snapshot_at, 3),
        "latest_malformed_lines": list(status.malformed),
    }

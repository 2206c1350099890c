"""The leaderboard as JSON and as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import tyro
from marl_stl_agents.run_directory import read_json, write_json
from pydantic import TypeAdapter, ValidationError

from benchmarks.common.tables import replace_section
from benchmarks.common.worlds import WORLDS
from benchmarks.leaderboard.open_world import OpenResult
from benchmarks.leaderboard.track import Result
from marl_stl_env.errors import SubmissionError

PAGE = Path("docs/results/leaderboard.md")
RESULTS = Path("benchmarks/results")
#: Heading to the field of a result and its digits, for each track.
_COLUMNS: dict[type, dict[str, tuple[str, int]]] = {
    Result: {
        "normalized score": ("normalized_score", 3),
        "F1": ("f1", 3),
        "reward per event": ("reward_per_event", 3),
        "... with 1 Byzantine sensor": ("one_byzantine", 3),
        "agent-steps": ("agent_steps", 0),
        "CPU s": ("cpu_seconds", 0),
    },
    OpenResult: {
        "normalized score": ("normalized_score", 3),
        "recall": ("recall", 3),
        "false alarms": ("false_alarms", 3),
        **{world: (world, 3) for world in WORLDS},
    },
}

Kind = Literal["run", "decisions", "reference"]


@dataclass(frozen=True)
class Entry:
    """One row of the leaderboard.

    Attributes:
        name: Name of the entry.
        kind: "run" was evaluated from checkpoints, "decisions" from files of decisions;
            "reference" needs no training by reward.
        team: Description of the team.
        results: Results, one per seed.
    """

    name: str
    kind: Kind
    team: str
    results: tuple[Result | OpenResult, ...]

    def with_seconds(self, seconds: Iterable[float]) -> Entry:
        """The entry with the CPU seconds of the training of each seed."""
        timed = zip(self.results, seconds, strict=True)
        results = tuple(replace(result, cpu_seconds=used) for result, used in timed)
        return replace(self, results=results)

    @property
    def score(self) -> float:
        """Mean normalized score."""
        return sum(one.normalized_score for one in self.results) / len(self.results)


_ADAPTER = TypeAdapter(list[Entry])


def read_entries(path: Path) -> list[Entry]:
    """The entries of a leaderboard; none if there is no file yet.

    Raises:
        RunError: If the file is not JSON.
        SubmissionError: If the file is not a leaderboard.
    """
    if not path.exists():
        return []
    try:
        return _ADAPTER.validate_python(read_json(path)["entries"])
    except (ValidationError, KeyError, TypeError) as error:
        raise SubmissionError(f"{path} is not a leaderboard of this version: {error}") from None


@dataclass(frozen=True)
class Board:
    """Where the entries of a track are.

    Attributes:
        section: Name of the table in the page.
        file: JSON file of its entries.
        page: Markdown page with its table.
    """

    section: tyro.conf.Suppress[str] = "entries"
    file: Path = RESULTS / "leaderboard.json"
    page: Path = PAGE

    def add(self, entry: Entry) -> None:
        """Add an entry to file and page, in place of an entry with the same name."""
        others = [one for one in read_entries(self.file) if one.name != entry.name]
        entries = sorted([*others, entry], key=lambda one: -one.score)
        write_json(self.file, {"entries": [asdict(one) for one in entries]})
        replace_section(self.page, self.section, table(entries))


SYNTHETIC = Board()
OPEN_WORLD = Board("open world", RESULTS / "open_world.json")


def table(entries: Sequence[Entry]) -> list[str]:
    """The entries as a table, in Markdown."""
    columns = _COLUMNS[type(entries[0].results[0])] if entries else {}
    head = ("entry", "team", "seeds", *columns)
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *map(row, entries)]


def row(entry: Entry) -> str:
    """One row of :func:`table`: mean over the seeds [smallest, largest]."""
    results = entry.results
    cells = [
        entry.name if entry.kind != "reference" else f"*{entry.name}*",
        entry.team,
        str(len(results)) if entry.kind != "reference" else "",
        *(
            _spread([_field(one, name) for one in results], digits)
            for name, digits in _COLUMNS[type(results[0])].values()
        ),
    ]
    return f"| {' | '.join(cells)} |"


def _field(result: Result | OpenResult, name: str) -> float | None:
    found: float | None = {**vars(result), **getattr(result, "worlds", {})}.get(name)
    return found


def _spread(values: Sequence[float | None], digits: int) -> str:
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return ""
    mean = sum(known) / len(known)
    low, middle, high = (f"{one:,.{digits}f}" for one in (min(known), mean, max(known)))
    return middle if low == high else f"{middle} [{low}, {high}]"

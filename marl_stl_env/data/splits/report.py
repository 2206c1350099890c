"""What a split did with the rows of a table, in numbers and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from marl_stl_env.config import Split

#: Share of the rows in train, validation and test.
SHARES = (0.70, 0.15, 0.15)
#: Of the rows outside the publisher's test set, the share in train and validation.
OFFICIAL_SHARES = (0.85, 0.15)
#: Shares further off than this are reported.
NEAR = 0.01


@dataclass(frozen=True)
class SplitPart:
    """One split: its rows, and the threats among them."""

    rows: int
    threats: int

    @property
    def threat_rate(self) -> float:
        """Share of threats."""
        return self.threats / self.rows


@dataclass(frozen=True)
class SplitReport:
    """What a split did with the rows of a table.

    Attributes:
        method: "stratified", "official" or "temporal".
        rows: Rows of the whole table.
        parts: Split to its size and threats.
        duplicates: Rows whose features equal those of an earlier row of the table.
        removed_duplicates: Split to the rows taken out of it because another split has their
            features: in an official split the test set, in a temporal one an earlier split.
        gap: Rows dropped at the temporal cuts.
        resampled: Split to the rows left out to reach ``threat_rate``.
        dropped_duplicates: Rows left out beforehand because an earlier row has their features.
        held_out: Attack family to its rows that moved from train to validation.
        kept_duplicates: Split to the rows that stay although an earlier split has their features
            (temporal splits only), because most of a class would be gone without them.
        largest_group: Rows of the largest group of equal rows.
        distinct_threats: Groups of equal rows with a threat in train.
    """

    method: str
    rows: int
    parts: Mapping[Split, SplitPart]
    duplicates: int
    removed_duplicates: Mapping[Split, int] = field(default_factory=dict)
    gap: int = 0
    resampled: Mapping[Split, int] = field(default_factory=dict)
    dropped_duplicates: int = 0
    held_out: Mapping[str, int] = field(default_factory=dict)
    kept_duplicates: Mapping[Split, int] = field(default_factory=dict)
    largest_group: int = 1
    distinct_threats: int = 0

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SplitReport:
        """The report that ``dataclasses.asdict`` described."""
        parts = {name: SplitPart(**part) for name, part in data["parts"].items()}
        return cls(**{**data, "parts": parts})

    @property
    def nominal_shares(self) -> tuple[float, ...]:
        """The shares asked for, of the splits that are drawn: without an official test set."""
        return OFFICIAL_SHARES if self.method == "official" else SHARES

    @property
    def shares(self) -> tuple[float, ...]:
        """The shares that came out, of the same splits."""
        rows = [part.rows for part in self.parts.values()][: len(self.nominal_shares)]
        return tuple(count / sum(rows) for count in rows)

    def lines(self) -> list[str]:
        """The report in lines for people."""
        lines = [f"{self.method} split of {self.rows:,} events"]
        for name, part in self.parts.items():
            lines.append(
                f"  {name:<10} {part.rows:>9,} events, {part.threats:>8,} threats "
                f"({part.threat_rate:.2%})"
            )
        return lines + [f"  {note}" for note in self.notes()]

    def notes(self) -> list[str]:
        """What happened besides the drawing, in lines for people."""
        return [*self._share_notes(), *self._duplicate_notes(), *self._other_notes()]

    def _share_notes(self) -> list[str]:
        pairs = zip(self.shares, self.nominal_shares, strict=True)
        if max(abs(share - nominal) for share, nominal in pairs) <= NEAR:
            return []
        notes = [
            f"shares are {_percent(self.shares)} % instead of {_percent(self.nominal_shares)} %: "
            f"{self._share_reason()}"
        ]
        if self._whole_groups:
            notes.append(
                f"train has {self.distinct_threats:,} distinct threats; drop_duplicates=True keeps "
                "one event of each group of equal ones"
            )
        return notes

    @property
    def _whole_groups(self) -> bool:
        """Whether only groups of equal rows can have moved the shares."""
        return self.method != "temporal" and not self.held_out and not self.dropped_duplicates

    def _share_reason(self) -> str:
        if self._whole_groups:
            return (
                "groups of equal events stay whole (the largest has "
                f"{self.largest_group:,} events), and threat rates are kept equal"
            )
        if self.held_out:
            return "the events of held-out families moved to validation"
        if any(self.resampled.values()):
            return "each split was resampled to the threat rate"
        return "events were removed from some splits (see below), or the table is small"

    def _duplicate_notes(self) -> list[str]:
        lines = []
        if self.dropped_duplicates:
            fate = "one event of each group was kept"
        elif any(self.kept_duplicates.values()):
            fate = "those that recur in a later split are counted below"
        else:
            fate = "equal events stand in the same split"
        lines.append(f"{self.duplicates:,} events repeat another one; {fate}")
        where = "an earlier split" if self.method == "temporal" else "the test set"
        for name, count in self.removed_duplicates.items():
            if count:
                lines.append(f"{count:,} events removed from {name}: {where} has equal events")
        for name, count in self.kept_duplicates.items():
            if count:
                lines.append(
                    f"{count:,} events of {name} equal events of an earlier split and were kept: "
                    "without them more than half of a class would be gone"
                )
        return lines

    def _other_notes(self) -> list[str]:
        lines = []
        for family, count in self.held_out.items():
            lines.append(f"{count:,} events of {family} held out: in validation, not in train")
        if self.gap:
            lines.append(f"{self.gap:,} events dropped at the cuts in time")
        for name, count in self.resampled.items():
            if count:
                lines.append(f"{count:,} events left out of {name} to set the threat rate")
        return lines

    def __str__(self) -> str:
        return "\n".join(self.lines())


def _percent(shares: tuple[float, ...]) -> str:
    return "/".join(f"{100 * share:.0f}" for share in shares)

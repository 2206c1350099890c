"""Splitting a table into train, validation and test rows.

Pure functions from a table to row indices. Rows with exactly equal features never straddle two
splits. Row order inside a split is the table's order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from marl_stl_env.config import Split, SplitMethod
from marl_stl_env.data.splits.duplicates import Duplicates, find_duplicates
from marl_stl_env.data.splits.stratify import stratified_parts
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import SplitError, UnknownNameError
from marl_stl_env.types import BoolArray, IntArray

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_SHARES = (0.70, 0.15, 0.15)
_OFFICIAL_SHARES = (0.85, 0.15)
_GAP = 0.01
RATE_TOLERANCE = 0.001

Rows = dict[Split, IntArray]


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
        removed_duplicates: Split to the rows taken out of it because a later split has their
            features.
        gap: Rows dropped at the temporal cuts.
        resampled: Split to the rows left out to reach ``threat_rate``.
        dropped_duplicates: Rows left out beforehand because an earlier row has their features.
        held_out: Attack family to its rows that moved from train to validation.
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

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SplitReport:
        """The report that ``dataclasses.asdict`` described."""
        parts = {name: SplitPart(**part) for name, part in data["parts"].items()}
        return cls(**{**data, "parts": parts})

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
        fate = "all but one left out" if self.dropped_duplicates else "kept on one side"
        lines = [f"{self.duplicates:,} events repeat another one; {fate}"]
        for name, count in self.removed_duplicates.items():
            if count:
                lines.append(f"{count:,} events removed from {name}: a later split has them too")
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


def split_rows(
    table: TrafficTable,
    method: SplitMethod = "auto",
    *,
    seed: int = 0,
    threat_rate: float | None = None,
    holdout_families: Sequence[str] = (),
    drop_duplicates: bool = False,
) -> tuple[Rows, SplitReport]:
    """Split a table.

    Args:
        table: The raw table.
        method: "stratified" draws 70/15/15 by attack family; "official" keeps the publisher's
            test set and draws 85/15 from the other rows; "temporal" cuts 70/15/15 in time order
            and drops 1 % of the rows at each cut; "auto" is official where the publisher gives a
            test set, stratified elsewhere.
        seed: The same seed gives the same split.
        threat_rate: Leave out rows of the class that is too frequent, in every split, until
            this share are threats; None leaves them all.
        holdout_families: Attack families whose rows leave train and stand in validation. Threat
            rates may differ then, and are set alike by ``threat_rate`` only.
        drop_duplicates: Keep the first of all rows with equal features.

    Returns:
        Ascending row indices of each split, and the report.

    Raises:
        UnknownNameError: If there is no such method or family.
        SplitError: If the table cannot be split this way; the message says what to do.
    """
    if method == "auto":
        method = "stratified" if table.official_test is None else "official"
    if method not in _METHODS:
        raise UnknownNameError("split_method", method, ("auto", *_METHODS))
    _check_classes("the table", table.labels)
    rng = np.random.default_rng(seed)
    duplicates = find_duplicates(table.features)
    first = table.official_test if method == "official" else None
    kept = _kept(duplicates, first) if drop_duplicates else np.arange(len(table))
    rows, removed, gap = _METHODS[method](table, duplicates, kept, rng)
    held_out = _hold_out(table, duplicates, rows, holdout_families)
    for name in SPLITS:
        _check_classes(f"the {method} {name} split", table.labels[rows[name]])
    resampled = {}
    if threat_rate is not None:
        before = {name: len(rows[name]) for name in SPLITS}
        rows = {
            name: _resample(rows[name], table.labels, threat_rate, name, rng) for name in SPLITS
        }
        resampled = {name: before[name] - len(rows[name]) for name in SPLITS}
    parts = {name: SplitPart(len(r), int(table.labels[r].sum())) for name, r in rows.items()}
    if method != "temporal" and not (held_out and threat_rate is None):
        _check_rates(method, parts)
    report = SplitReport(
        method, len(table), parts, duplicates.extra, removed, gap, resampled,
        len(table) - len(kept), held_out,
    )  # fmt: skip
    return rows, report


def _kept(duplicates: Duplicates, first: BoolArray | None) -> IntArray:
    """One row of each group, ascending: the first one, and one of ``first`` where there is one."""
    order = np.arange(len(duplicates.groups))
    if first is not None:
        order = np.concatenate([order[first], order[~first]])
    return np.sort(order[np.unique(duplicates.groups[order], return_index=True)[1]])


def _hold_out(
    table: TrafficTable, duplicates: Duplicates, rows: Rows, families: Sequence[str]
) -> dict[str, int]:
    """Move the rows of these families, and rows equal to them, from train to validation."""
    train, moved = rows["train"], np.zeros(len(rows["train"]), bool)
    held_out = {}
    for family in dict.fromkeys(families):
        if family not in table.family_names:
            raise UnknownNameError("holdout family", family, table.family_names)
        mine = (table.families[train] == table.family_names.index(family)) & table.labels[train]
        if not mine.any():
            raise SplitError(f"no training row is a threat of family {family!r}: hold out another")
        held_out[family] = int(mine.sum())
        moved |= mine
    if held_out:
        moved = np.isin(duplicates.groups[train], duplicates.groups[train[moved]])
        rows["train"] = train[~moved]
        rows["validation"] = np.sort(np.concatenate([rows["validation"], train[moved]]))
    return held_out


def _stratified(
    table: TrafficTable, duplicates: Duplicates, kept: IntArray, rng: np.random.Generator
) -> tuple[Rows, dict[Split, int], int]:
    part = stratified_parts(table, duplicates.groups, kept, _SHARES, rng)
    return {name: kept[part == i] for i, name in enumerate(SPLITS)}, {}, 0


def _official(
    table: TrafficTable, duplicates: Duplicates, kept: IntArray, rng: np.random.Generator
) -> tuple[Rows, dict[Split, int], int]:
    test = table.official_test
    if test is None:
        raise SplitError(
            f"{table.name} has no official test set; use split_method 'stratified' or 'temporal'"
        )
    if test.all() or not test.any():
        raise SplitError(
            "the official test set is the whole table or empty; load the training file as well, "
            "or use split_method 'stratified'"
        )
    leaked = ~test & np.isin(duplicates.groups, duplicates.groups[test])
    rest = kept[(~test & ~leaked)[kept]]
    _check_classes("what the official test set leaves for training", table.labels[rest])
    part = stratified_parts(table, duplicates.groups, rest, _OFFICIAL_SHARES, rng)
    rows: Rows = {
        "train": rest[part == 0],
        "validation": rest[part == 1],
        "test": kept[test[kept]],
    }
    return rows, {"train": int(leaked[kept].sum())}, 0


def _temporal(
    table: TrafficTable,
    duplicates: Duplicates,
    kept: IntArray,
    rng: np.random.Generator,  # noqa: ARG001 - time decides, not chance
) -> tuple[Rows, dict[Split, int], int]:
    if table.times is None:
        raise SplitError(
            f"{table.name} has no times; use split_method 'stratified', or name a time column"
        )
    total = len(kept)
    gap = max(1, round(_GAP * total))
    first, second = round(_SHARES[0] * total), round((_SHARES[0] + _SHARES[1]) * total)
    ends = (first - gap // 2, second - gap // 2, total)
    starts = (0, ends[0] + gap, ends[1] + gap)
    rows: Rows = {
        name: kept[a : max(a, b)] for name, a, b in zip(SPLITS, starts, ends, strict=True)
    }
    removed: dict[Split, int] = {}
    later = rows["test"]
    for name in ("validation", "train"):
        repeated = np.isin(duplicates.groups[rows[name]], duplicates.groups[later])
        removed[name] = int(repeated.sum())
        rows[name] = rows[name][~repeated]
        later = np.concatenate([rows[name], later])
    return rows, removed, 2 * gap


_METHODS = {"stratified": _stratified, "official": _official, "temporal": _temporal}


def _resample(
    rows: IntArray, labels: BoolArray, rate: float, name: str, rng: np.random.Generator
) -> IntArray:
    """Leave out rows of the class that is too frequent until ``rate`` of the rows are threats."""
    threats, benign = rows[labels[rows]], rows[~labels[rows]]
    if len(threats) > rate * len(rows):
        threats = rng.permutation(threats)[: round(rate / (1 - rate) * len(benign))]
    else:
        benign = rng.permutation(benign)[: round((1 - rate) / rate * len(threats))]
    kept = np.sort(np.concatenate([threats, benign]))
    _check_classes(f"the {name} split resampled to threat_rate={rate}", labels[kept])
    return kept


def _check_classes(what: str, labels: BoolArray) -> None:
    threats = int(labels.sum())
    benign = len(labels) - threats
    if min(threats, benign) < 2:
        raise SplitError(
            f"{what} has {threats} threats and {benign} benign events, but needs at least two of "
            "each; use more rows, another split_method or another threat_rate"
        )


def _check_rates(method: str, parts: Mapping[Split, SplitPart]) -> None:
    """Refuse drawn splits whose threat rates differ by more than 0.1 percentage points.

    In a split too small to come that close, two events more or less are let pass.
    """
    drawn = [parts[name] for name in SPLITS if method == "stratified" or name != "test"]
    rates = [part.threat_rate for part in drawn]
    allowed = max(RATE_TOLERANCE, 2 / min(part.rows for part in drawn))
    if max(rates) - min(rates) > allowed:
        raise SplitError(
            f"the threat rates of the {method} splits differ by {max(rates) - min(rates):.2%}, "
            f"more than {allowed:.2%}: large groups of equal events cannot be spread evenly; "
            "remove duplicates, use another split_seed, or set threat_rate"
        )

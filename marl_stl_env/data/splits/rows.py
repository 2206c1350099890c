"""Splitting a table into train, validation and test rows.

Pure functions from a table to row indices. Rows with exactly equal features never straddle two
drawn splits. Row order inside a split is the table's order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from marl_stl_env.config import Split, SplitMethod
from marl_stl_env.data.splits.duplicates import Duplicates, find_duplicates
from marl_stl_env.data.splits.report import OFFICIAL_SHARES, SHARES, SplitPart, SplitReport
from marl_stl_env.data.splits.stratify import stratified_parts
from marl_stl_env.data.splits.temporal import remove_seen, temporal_cuts
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import SplitError, UnknownNameError
from marl_stl_env.types import BoolArray, IntArray

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
#: Threat rates of drawn splits may differ by this much.
RATE_TOLERANCE = 0.001

Rows = dict[Split, IntArray]


@dataclass(frozen=True)
class SplitSettings:
    """How to split; see :func:`split_rows`."""

    method: str
    seed: int
    threat_rate: float | None
    holdout_families: tuple[str, ...]
    drop_duplicates: bool


@dataclass(frozen=True)
class _Drawn:
    """Rows of each split before families are held out and classes resampled."""

    rows: Rows
    removed: Mapping[Split, int] = field(default_factory=dict)
    kept: Mapping[Split, int] = field(default_factory=dict)
    gap: int = 0


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
            test set and draws 85/15 from the other rows; "temporal" cuts 70/15/15 in time order,
            drops 1 % of the rows at each cut, and takes out of validation and test what an
            earlier split has, but never most of a class; "auto" is official where the publisher
            gives a test set, stratified elsewhere.
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
        SplitError: If the table cannot be split this way; the message names a change with which
            it can.
    """
    if method == "auto":
        method = "stratified" if table.official_test is None else "official"
    if method not in _METHODS:
        raise UnknownNameError("split_method", method, ("auto", *_METHODS))
    settings = SplitSettings(method, seed, threat_rate, tuple(holdout_families), drop_duplicates)
    duplicates = find_duplicates(table.features)
    try:
        return _split(table, duplicates, settings)
    except SplitError as error:
        raise SplitError(f"{error}; {_advice(table, duplicates, settings)}") from error


def _split(
    table: TrafficTable, duplicates: Duplicates, settings: SplitSettings
) -> tuple[Rows, SplitReport]:
    _check_classes("the table", table.labels)
    rng = np.random.default_rng(settings.seed)
    method, rate = settings.method, settings.threat_rate
    first = table.official_test if method == "official" else None
    kept = _kept(duplicates, first) if settings.drop_duplicates else np.arange(len(table))
    drawn = _METHODS[method](table, duplicates, kept, rng)
    rows = drawn.rows
    held_out = _hold_out(table, duplicates, rows, settings.holdout_families)
    for name in SPLITS:
        _check_classes(f"the {method} {name} split", table.labels[rows[name]])
    resampled = {}
    if rate is not None:
        before = {name: len(rows[name]) for name in SPLITS}
        rows = {name: _resample(rows[name], table.labels, rate, name, rng) for name in SPLITS}
        resampled = {name: before[name] - len(rows[name]) for name in SPLITS}
    parts = {name: SplitPart(len(r), int(table.labels[r].sum())) for name, r in rows.items()}
    if method != "temporal" and not (held_out and rate is None):
        _check_rates(method, parts)
    train = rows["train"]
    report = SplitReport(
        method, len(table), parts, duplicates.extra, drawn.removed, drawn.gap, resampled,
        len(table) - len(kept), held_out, drawn.kept, int(np.bincount(duplicates.groups).max()),
        len(np.unique(duplicates.groups[train[table.labels[train]]])),
    )  # fmt: skip
    return rows, report


def _advice(table: TrafficTable, duplicates: Duplicates, settings: SplitSettings) -> str:
    """A change of the settings with which the table can be split: each one named was tried."""
    once: dict[str, Any] = {"drop_duplicates": True}
    drawn: dict[str, Any] = {"method": "stratified"}
    rate = min(max(round(table.threat_rate, 3), 0.001), 0.999)
    choices: dict[str, dict[str, Any]] = {
        "drop_duplicates=True": once,
        "split_method='stratified'": drawn,
        "threat_rate=None": {"threat_rate": None},
        "no holdout_families": {"holdout_families": ()},
        f"threat_rate={rate}": {"threat_rate": rate},
        "split_method='stratified' with drop_duplicates=True": once | drawn,
    }
    for text, change in choices.items():
        changed = replace(settings, **change)
        if changed == settings:
            continue
        try:
            _split(table, duplicates, changed)
        except SplitError:
            continue
        return f"{text} works"
    return "no other setting helps: more events are needed, with features of their own"


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
) -> _Drawn:
    part = stratified_parts(table, duplicates.groups, kept, SHARES, rng)
    return _Drawn({name: kept[part == i] for i, name in enumerate(SPLITS)})


def _official(
    table: TrafficTable, duplicates: Duplicates, kept: IntArray, rng: np.random.Generator
) -> _Drawn:
    test = table.official_test
    if test is None:
        raise SplitError(f"{table.name} has no official test set")
    if test.all() or not test.any():
        raise SplitError("the official test set is the whole table or empty")
    leaked = ~test & np.isin(duplicates.groups, duplicates.groups[test])
    rest = kept[(~test & ~leaked)[kept]]
    _check_classes("what the official test set leaves for training", table.labels[rest])
    part = stratified_parts(table, duplicates.groups, rest, OFFICIAL_SHARES, rng)
    rows: Rows = {
        "train": rest[part == 0],
        "validation": rest[part == 1],
        "test": kept[test[kept]],
    }
    return _Drawn(rows, {"train": int(leaked[kept].sum())})


def _temporal(
    table: TrafficTable,
    duplicates: Duplicates,
    kept: IntArray,
    rng: np.random.Generator,  # noqa: ARG001 - time decides, not chance
) -> _Drawn:
    if table.times is None:
        raise SplitError(f"{table.name} has no times (name a time column to split by time)")
    cut, gap = temporal_cuts(kept)
    rows, removed, stay = remove_seen(cut, duplicates.groups, table.labels)
    return _Drawn(rows, removed, stay, gap)


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
            "each"
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
            f"more than {allowed:.2%}: groups of equal events stay whole, and are too large here"
        )

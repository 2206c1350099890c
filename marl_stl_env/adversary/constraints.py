"""What an attacker may change of its own events, and whether a disguise keeps to it.

A disguise changes raw columns, before any scaling. Labels, protocols and every column that is not
named stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from marl_stl_env.errors import ConfigError, UnknownNameError
from marl_stl_env.types import BoolArray, Float32Array, Float64Array
from marl_stl_env.validation import check_range, check_types, from_plain

#: Relative tolerance of checks: features are kept in float32.
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Mutable:
    """The limits of one column.

    ``factor`` multiplies ``x + unit``, ``shift`` adds to ``x``. Where ``low`` is left out the
    column may only grow, where ``high`` is left out only shrink.

    Attributes:
        change: How the column changes.
        low: Smallest factor (0 to 1) or shift (at most 0).
        high: Largest factor (at least 1) or shift (at least 0).
        least: The column never falls below this.
        most: The column never rises above this.
        integer: The column holds whole numbers.
        unit: Added before a factor applies, so that zeros can grow.
        cost: Share of an attack's worth that the largest change takes, in [0, 1).
    """

    change: Literal["factor", "shift"] = "factor"
    low: float | None = None
    high: float | None = None
    least: float | None = None
    most: float | None = None
    integer: bool = False
    unit: float = 0.0
    cost: float = 0.05

    def __post_init__(self) -> None:
        check_types(self)
        neutral = 1.0 if self.change == "factor" else 0.0
        low, high = self.low, self.high
        if low is None and high is None:
            raise ConfigError("a mutable column needs low, high or both: how far may it change?")
        if low is not None:
            check_range("low", low, 0.0 if self.change == "factor" else -1e30, neutral)
            if self.change == "factor" and low == 0.0:
                raise ConfigError("low=0.0: a factor is above 0")
        if high is not None:
            check_range("high", high, neutral, 1e30)
        check_range("unit", self.unit, 0.0, 1e30)
        check_range("cost", self.cost, 0.0, 0.999)

    @property
    def room(self) -> tuple[float, float]:
        """The smallest and the largest change of :meth:`coordinate`; 0 is no change."""
        if self.change == "shift":
            return self.low or 0.0, self.high or 0.0
        return math.log(self.low or 1.0), math.log(self.high or 1.0)

    def coordinate(self, values: Float64Array) -> Float64Array:
        """The scale on which changes add up; NaN where a value cannot change.

        Args:
            values: Raw values.  # (rows,) float64
        """
        fixed = ~np.isfinite(values)
        if self.integer:
            fixed |= values != np.floor(values)
        if self.change == "shift":
            return np.where(fixed, np.nan, values)
        fixed |= values + self.unit <= 0.0
        logarithms: Float64Array = np.log(np.where(fixed, 1.0, values + self.unit))
        return np.where(fixed, np.nan, logarithms)

    def changed(self, values: Float64Array, change: float) -> Float64Array:
        """The values after a change of their coordinate, within all limits.

        Args:
            values: Raw values.  # (rows,) float64
            change: Added to the coordinate.
        """
        if change == 0.0:
            return values.copy()
        if self.change == "shift":
            moved = values + change
        else:
            moved = (values + self.unit) * math.exp(change) - self.unit
        least = -math.inf if self.least is None else self.least
        most = math.inf if self.most is None else self.most
        # A value beyond its bounds in the data itself stays, but goes no further.
        moved = np.clip(moved, np.minimum(least, values), np.maximum(most, values))
        if self.integer:  # towards the old value, so that no limit is passed
            moved = np.floor(moved) if change > 0 else np.ceil(moved)
        return np.where(np.isnan(self.coordinate(values)), values, moved)


@dataclass(frozen=True)
class Rate:
    """A column that is a product of columns over a product of columns, up to a constant.

    Attributes:
        of: Columns whose growth lets it grow.
        per: Columns whose growth lets it shrink.
    """

    of: tuple[str, ...] = ()
    per: tuple[str, ...] = ()


@dataclass(frozen=True)
class Constraints:
    """All that is allowed on one data set.

    Attributes:
        mutable: Column to its limits.
        sums: Column to the columns that it is the sum of.
        rates: Column to the columns that it follows from.
        about: Where the limits come from, in a sentence.
    """

    mutable: Mapping[str, Mutable]
    sums: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rates: Mapping[str, Rate] = field(default_factory=dict)
    about: str = ""

    def __post_init__(self) -> None:
        if not self.mutable:
            raise ConfigError("constraints without a mutable column leave nothing to disguise")
        for name in [*self.sums, *self.rates]:
            if name in self.mutable or (name in self.sums and name in self.rates):
                raise ConfigError(
                    f"column {name!r} is both changed and derived from others; let it be one"
                )

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Constraints:
        """Constraints as JSON has them.

        Raises:
            ConfigError: If something is not what it should be.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"constraints are a mapping, not {values!r:.80}")
        for name in values:
            if name not in ("mutable", "sums", "rates", "about"):
                raise UnknownNameError("entry", name, ("mutable", "sums", "rates", "about"))
        parts = {name: values.get(name, {}) for name in ("mutable", "sums", "rates")}
        for name, part in parts.items():
            if not isinstance(part, Mapping):
                raise ConfigError(f"{name} maps columns, and is not {part!r:.80}")
        mutable = {name: from_plain(Mutable, one) for name, one in parts["mutable"].items()}
        sums = {name: _names(name, one) for name, one in parts["sums"].items()}
        rates = {name: from_plain(Rate, one) for name, one in parts["rates"].items()}
        return cls(mutable, sums, rates, str(values.get("about", "")))

    def check_columns(self, names: tuple[str, ...], categories: Mapping[str, Any]) -> None:
        """Refuse columns that a table does not have, or that hold categories.

        Raises:
            UnknownNameError: If there is no such column.
            ConfigError: If one holds categories: a protocol or a service is never disguised.
        """
        used = [*self.mutable, *self.sums, *self.rates]
        used += [part for parts in self.sums.values() for part in parts]
        used += [name for rate in self.rates.values() for name in (*rate.of, *rate.per)]
        for name in used:
            if name not in names:
                raise UnknownNameError("column", name, names)
            if name in categories:
                raise ConfigError(f"column {name!r} holds categories; those are never disguised")

    def violations(
        self, names: tuple[str, ...], before: Float32Array, after: Float32Array
    ) -> dict[str, BoolArray]:
        """Which events leave which constraint; nothing where all keep to all.

        Args:
            names: The columns.
            before: Raw events.  # (rows, columns) float32
            after: The same events, disguised.  # (rows, columns) float32

        Returns:
            What is violated, in words, to the events.  # (rows,) bool each
        """
        old = {name: before[:, i].astype(np.float64) for i, name in enumerate(names)}
        new = {name: after[:, i].astype(np.float64) for i, name in enumerate(names)}
        found: dict[str, BoolArray] = {}
        for name in names:
            if name in self.mutable:
                found |= _outside(name, self.mutable[name], old[name], new[name])
            elif name not in self.sums and name not in self.rates:
                same = (old[name] == new[name]) | (np.isnan(old[name]) & np.isnan(new[name]))
                found[f"{name} stays"] = ~same
        for total, parts in self.sums.items():
            wanted = old[total] + sum_grown(parts, old, new)
            size = 1.0 + np.abs(old[total]) + sum(np.abs(old[part]) for part in parts)
            found[f"{total} is the sum of {', '.join(parts)}"] = _differ(new[total], wanted, size)
        for name, rate in self.rates.items():
            wanted = old[name] * rate_factor(self, rate, old, new)
            found[f"{name} follows"] = _differ(new[name], wanted, np.abs(wanted))
        return {what: rows for what, rows in found.items() if rows.any()}


def _differ(values: Float64Array, wanted: Float64Array, size: Float64Array) -> BoolArray:
    """Where values are not what they should be, to the precision of features of this size."""
    known = np.isfinite(wanted) & np.isfinite(size)
    gap = np.zeros(len(values))
    np.subtract(values, wanted, out=gap, where=known)
    return known & (np.abs(gap) > _TOLERANCE * np.where(known, size, 0.0))


def sum_grown(
    parts: tuple[str, ...], old: Mapping[str, Float64Array], new: Mapping[str, Float64Array]
) -> Float64Array:
    """What a sum grows by once its parts have changed; missing parts add nothing.

    Args:
        parts: Its columns.
        old: Column to its raw values.  # (rows,) float64 each
        new: Column to its changed values.  # (rows,) float64 each
    """
    grown: Float64Array = np.zeros(len(old[parts[0]]))
    for part in parts:
        known = np.isfinite(old[part])
        grown[known] += new[part][known] - old[part][known]
    return grown


def rate_factor(
    constraints: Constraints,
    rate: Rate,
    old: Mapping[str, Float64Array],
    new: Mapping[str, Float64Array],
) -> Float64Array:
    """What a rate is multiplied by once the columns that it follows from have changed.

    Args:
        constraints: The constraints.
        rate: The rate.
        old: Column to its raw values.  # (rows,) float64 each
        new: Column to its changed values.  # (rows,) float64 each
    """
    factor: Float64Array = np.ones(len(next(iter(old.values()))))
    for names, sign in ((rate.of, 1.0), (rate.per, -1.0)):
        for name in names:
            unit = constraints.mutable[name].unit if name in constraints.mutable else 0.0
            before, after = old[name] + unit, new[name] + unit
            moves = np.isfinite(before) & (before > 0.0) & (after > 0.0)
            grown = np.where(moves, after, 1.0) / np.where(moves, before, 1.0)
            factor = factor * grown**sign
    return factor


def _outside(
    name: str, limits: Mutable, old: Float64Array, new: Float64Array
) -> dict[str, BoolArray]:
    """Where one column leaves its limits, computed from the limits as they are stated."""
    known, given, found_there = np.isfinite(old), old, new
    old, new = np.where(known, old, 0.0), np.where(known, new, 0.0)
    slack = _TOLERANCE * (1.0 + np.abs(old) + np.abs(new))
    if limits.change == "factor":
        base = old + limits.unit
        low, high = base * (limits.low or 1.0), base * (limits.high or 1.0)
        low, high = np.minimum(low, high) - limits.unit, np.maximum(low, high) - limits.unit
    else:
        low, high = old + (limits.low or 0.0), old + (limits.high or 0.0)
    found = {f"{name} changes too far": known & ((new < low - slack) | (new > high + slack))}
    if limits.least is not None:
        found[f"{name} >= {limits.least}"] = known & (new < np.minimum(limits.least, old) - slack)
    if limits.most is not None:
        found[f"{name} <= {limits.most}"] = known & (new > np.maximum(limits.most, old) + slack)
    if limits.integer:
        whole = known & (old == np.floor(old))
        found[f"{name} is whole"] = whole & (new != np.floor(new))
    same = (given == found_there) | (np.isnan(given) & np.isnan(found_there))
    found[f"{name} stays where it is missing"] = ~known & ~same
    return found


def _names(column: str, given: Any) -> tuple[str, ...]:
    if not isinstance(given, list | tuple) or not all(isinstance(name, str) for name in given):
        raise ConfigError(f"{column!r} is the sum of a list of columns, not of {given!r:.80}")
    return tuple(given)

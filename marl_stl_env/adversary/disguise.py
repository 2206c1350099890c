"""Disguises: fixed changes of the columns that an attacker may change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from marl_stl_env.adversary.constraints import Constraints, rate_factor, sum_grown
from marl_stl_env.types import Float32Array, Float64Array


@dataclass(frozen=True, eq=False)
class Disguises:
    """K disguises, each the same change for every event.

    A change adds to the coordinate of each mutable column: to its logarithm, which is a factor, or
    to the column itself. So a disguise can be undone, and the law of a disguised column follows
    from that of the column.

    Attributes:
        constraints: What they keep to.
        columns: The mutable columns.
        changes: Change of each column's coordinate.  # (K, mutable columns) float64
    """

    constraints: Constraints
    columns: tuple[str, ...]
    changes: Float64Array

    def __len__(self) -> int:
        return len(self.changes)

    def apply(self, names: tuple[str, ...], events: Float32Array, number: int) -> Float32Array:
        """Events in a disguise.

        Args:
            names: The columns of the events.
            events: Raw features.  # (rows, columns) float32
            number: Which disguise, from 0.

        Returns:
            Raw features, in a fresh array.  # (rows, columns) float32
        """
        place = {name: at for at, name in enumerate(names)}
        old = {name: events[:, at].astype(np.float64) for name, at in place.items()}
        new, after = dict(old), events.copy()
        limits = self.constraints
        for column, change in zip(self.columns, self.changes[number].tolist(), strict=True):
            after[:, place[column]] = limits.mutable[column].changed(old[column], change)
            # What follows from a column follows from what is kept of it, which is float32.
            new[column] = after[:, place[column]].astype(np.float64)
        for total, parts in limits.sums.items():
            after[:, place[total]] = old[total] + sum_grown(parts, old, new)
            new[total] = after[:, place[total]].astype(np.float64)
        for name, rate in limits.rates.items():
            after[:, place[name]] = old[name] * rate_factor(limits, rate, old, new)
        return after

    def effectiveness(self, weight: float = 1.0) -> Float64Array:
        """What is left of an attack's worth: 1 without a disguise, then that of each disguise.

        Every column takes its ``cost`` in proportion to the share of its room that is used.

        Args:
            weight: Weight of the costs.

        Returns:
            Shares in [0, 1].  # (K + 1,) float64
        """
        left, used = np.ones(len(self) + 1), np.abs(self.used())
        for at, column in enumerate(self.columns):
            cost = weight * self.constraints.mutable[column].cost
            left[1:] *= np.clip(1.0 - cost * used[:, at], 0.0, 1.0)
        return left

    def used(self) -> Float64Array:
        """The share of its room that each disguise takes of each column, -1 to 1.

        # (K, mutable columns) float64
        """
        rooms = np.array([self.constraints.mutable[column].room for column in self.columns])
        room = np.where(self.changes < 0, -rooms[:, 0], rooms[:, 1])
        return self.changes / np.where(room > 0, room, 1.0)

    def described(self, number: int) -> dict[str, float]:
        """Column to its change in one disguise: a factor or a shift; unchanged ones are left out.

        Args:
            number: Which disguise, from 0.
        """
        shown = {}
        for column, change in zip(self.columns, self.changes[number].tolist(), strict=True):
            if change:
                factor = self.constraints.mutable[column].change == "factor"
                shown[column] = float(np.exp(change)) if factor else change
        return shown

"""Disguises fitted to training events: what makes attacks look like benign events near them."""

from __future__ import annotations

import numpy as np

from marl_stl_env.adversary.constraints import Constraints
from marl_stl_env.adversary.disguise import Disguises
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.types import Float64Array, IntArray

#: Events that disguises are fitted to, at most.
_ATTACKS, _BENIGN = 4096, 8192
_ROUNDS = 20
_SEED = 23
#: How much further than its benign neighbours every second disguise goes.
_BEYOND = 2.5


def fit_disguises(
    constraints: Constraints, raw: TrafficTable, scaled: TrafficTable, rows: IntArray, count: int
) -> Disguises:
    """K disguises for the attacks of a training split.

    Every attack has a nearest benign event, by the scaled features that may not change. The
    differences between the two in the mutable columns, cut off at what is allowed, are gathered
    into clusters (Lloyd 1982, "Least squares quantization in PCM"). The centre of a cluster is one
    disguise; a second one goes further in the same direction, as far as is allowed.

    Args:
        constraints: What an attacker may change.
        raw: The table as loaded.
        scaled: Its training rows, scaled.
        rows: Its training rows.  # (k,) int64
        count: Number of disguises (K).

    Raises:
        UnknownNameError: If a mutable column does not exist.
        ConfigError: If one holds categories.
    """
    constraints.check_columns(raw.feature_names, raw.categories)
    columns = tuple(constraints.mutable)
    rng = np.random.default_rng(_SEED)
    attacks = _some_of_every_family(scaled, rng)
    benign = np.flatnonzero(~scaled.labels)
    benign = np.sort(rng.permutation(benign)[:_BENIGN])
    if not len(attacks) or not len(benign):
        return Disguises(constraints, columns, np.zeros((count, len(columns))))
    derived = {*columns, *constraints.sums, *constraints.rates}
    fixed = [at for at, name in enumerate(scaled.feature_names) if name not in derived]
    # In double precision: a neighbour that changed with the last digit would change everything.
    features = scaled.features[:, fixed]
    nearest = benign[
        _nearest(features[attacks].astype(np.float64), features[benign].astype(np.float64))
    ]
    room = np.array([constraints.mutable[column].room for column in columns])
    wanted = np.empty((len(attacks), len(columns)))
    for at, column in enumerate(columns):
        values = raw.features[:, raw.feature_names.index(column)][rows].astype(np.float64)
        where = constraints.mutable[column].coordinate(values)
        wanted[:, at] = np.nan_to_num(where[nearest] - where[attacks])
    allowed = np.clip(wanted, room[:, 0], room[:, 1])
    width = np.maximum(room[:, 1] - room[:, 0], 1e-12)
    centres = _clusters(allowed / width, -(-count // 2), rng) * width
    further = np.clip(_BEYOND * centres, room[:, 0], room[:, 1])
    changes = np.stack([centres, further], axis=1).reshape(-1, len(columns))[:count]
    whole = [constraints.mutable[c].integer and constraints.mutable[c].change == "shift"
             for c in columns]  # fmt: skip
    return Disguises(constraints, columns, np.where(whole, np.round(changes), changes))


def _some_of_every_family(table: TrafficTable, rng: np.random.Generator) -> IntArray:
    """Rows of attacks, as many of each family as there are, up to an equal share."""
    threats = rng.permutation(np.flatnonzero(table.labels))
    families = table.families[threats]
    present = np.unique(families)
    share = _ATTACKS // max(len(present), 1)
    chosen = [threats[families == family][:share] for family in present]
    return np.sort(np.concatenate([*chosen, np.zeros(0, np.int64)]))


def _nearest(events: Float64Array, others: Float64Array) -> IntArray:
    """The nearest of the others to each event.  # (events,) int64."""
    sizes = (others * others).sum(axis=1)
    found = [
        (sizes - 2.0 * (events[start : start + 512] @ others.T)).argmin(axis=1)
        for start in range(0, len(events), 512)
    ]
    return np.concatenate(found)


def _clusters(points: Float64Array, count: int, rng: np.random.Generator) -> Float64Array:
    """The centres of clusters, begun at points far from one another; more than points repeat."""
    centres = points[rng.integers(len(points), size=1)]
    while len(centres) < count:
        distances = _squared(points, centres).min(axis=1)
        total = distances.sum()
        chances = distances / total if total > 0 else None
        centres = np.append(centres, points[rng.choice(len(points), 1, p=chances)], axis=0)
    for _ in range(_ROUNDS):
        owner = _squared(points, centres).argmin(axis=1)
        sizes = np.bincount(owner, minlength=count)
        sums = np.zeros_like(centres)
        np.add.at(sums, owner, points)
        centres = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centres)
    return centres


def _squared(points: Float64Array, centres: Float64Array) -> Float64Array:
    """Squared distances.  # (points, centres) float64."""
    squared: Float64Array = ((points[:, None] - centres) ** 2).sum(axis=2)
    return squared

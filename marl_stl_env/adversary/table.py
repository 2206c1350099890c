"""The events of a split together with their disguises, as one table that an engine replays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from marl_stl_env.adversary.catalogue import find_constraints
from marl_stl_env.adversary.disguise import Disguises
from marl_stl_env.adversary.fit import fit_disguises
from marl_stl_env.config import EnvConfig, Split
from marl_stl_env.config.adversary import AdversaryConfig
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.data.preprocess import BLOCK_ROWS
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.streams import mix
from marl_stl_env.errors import ConfigError
from marl_stl_env.types import Float32Array, Int8Array, IntArray
from marl_stl_env.validation import check_memory


@dataclass(frozen=True, eq=False)
class DisguisedTable:
    """A split whose attacks are there in every disguise.

    Of N events, T of them attacks, and K disguises the table has N + K T rows: the events as they
    are, then the attacks in the first disguise, and so on. Labels, families, entities and all
    other facts of a disguised attack are those of the attack.

    Attributes:
        table: All rows, scaled.
        events: Number of events without disguise (N).
        count: Number of attacks (T).
        first_rows: Row of an attack in the first disguise, less T.  # (N,) int64
        owners: The attacker that owns an event; -1 for a benign one.  # (N,) int8
        disguises: The disguises.
    """

    table: TrafficTable
    events: int
    count: int
    first_rows: IntArray
    owners: Int8Array
    disguises: Disguises

    def rows(self, events: IntArray, chosen: IntArray | Int8Array) -> IntArray:
        """The row of each event in the disguise that was chosen for it.

        Args:
            events: Rows of events without disguise.  # (lanes,) int64
            chosen: 0 for none, 1 to K for a disguise of an attack.  # (lanes,) integer
        """
        return np.where(chosen > 0, self.disguised_rows(events, chosen), events)

    def disguised_rows(self, attacks: IntArray, chosen: IntArray | Int8Array) -> IntArray:
        """The row of each attack in a disguise.

        Args:
            attacks: Rows of attacks without disguise.  # (attacks,) int64
            chosen: 1 to K.  # (attacks,) integer
        """
        found: IntArray = self.first_rows.take(attacks) + self.shifts.take(chosen)
        return found

    @cached_property
    def shifts(self) -> IntArray:
        """Rows from an attack's first row to that in each disguise.  # (K + 1,) int64."""
        return np.arange(len(self.disguises) + 1) * self.count

    @property
    def plain(self) -> TrafficTable:
        """The events without disguises."""
        return self.table.take(np.arange(self.events))


def disguised_table(
    config: EnvConfig,
    adversary: AdversaryConfig,
    table: TrafficTable | PreparedData | None = None,
) -> DisguisedTable:
    """The disguised events of the split that a configuration names.

    Args:
        config: The environment.
        adversary: The attackers.
        table: Prepared data, or a raw table, in place of what ``config.data`` names.

    Raises:
        ConfigError: If there are no constraints, or training replays made-up events.
        UnknownNameError: If a column does not exist.
        DataError: If the data cannot be read, split or scaled.
    """
    prepared = prepare(config, table)
    replays = prepared.config.balance != "none" or prepared.config.synthetic_outliers
    if config.split == "train" and replays:
        raise ConfigError(
            "balance and synthetic_outliers replay events that nobody sent, and those cannot be "
            "disguised; use balance='none' and synthetic_outliers=0"
        )
    return _disguised(prepared, adversary, config.split)


@lru_cache(maxsize=8)
def fitted_disguises(prepared: PreparedData, adversary: AdversaryConfig) -> Disguises:
    """The disguises of a data set, fitted to its training split; the last few are remembered.

    Raises:
        ConfigError: If there are no constraints.
        UnknownNameError: If a column does not exist.
    """
    constraints = find_constraints(adversary, prepared.raw.name)
    train, rows = prepared.tables["train"], prepared.rows["train"]
    return fit_disguises(constraints, prepared.raw, train, rows, adversary.disguises)


@lru_cache(maxsize=8)
def _disguised(prepared: PreparedData, adversary: AdversaryConfig, split: Split) -> DisguisedTable:
    plain, rows, raw = prepared.tables[split], prepared.rows[split], prepared.raw
    threats = np.flatnonzero(plain.labels)
    count, width = adversary.disguises, plain.features.shape[1]
    size = (len(plain) + count * len(threats)) * width * 4.0
    check_memory({f"disguises={count}": size})
    disguises = fitted_disguises(prepared, adversary)
    features = np.empty((len(plain) + count * len(threats), width), np.float32)
    features[: len(plain)] = plain.features
    for start in range(0, len(threats), BLOCK_ROWS):
        block = threats[start : start + BLOCK_ROWS]
        events = np.asarray(raw.features[rows[block]])
        for number in range(count):
            changed = disguises.apply(raw.feature_names, events, number)
            first = len(plain) + number * len(threats) + start
            features[first : first + len(block)] = _scaled(prepared, changed)
    features.setflags(write=False)
    sources = np.concatenate([np.arange(len(plain)), np.tile(threats, count)])
    state = plain.row_state(sources) | {"features": features, "times": None, "posterior": None}
    first_rows = np.zeros(len(plain), np.int64)
    first_rows[threats] = len(plain) - len(threats) + np.arange(len(threats))
    return DisguisedTable(
        TrafficTable(**state),
        len(plain),
        len(threats),
        first_rows,
        _owners(plain, adversary.attackers),
        disguises,
    )


def _scaled(prepared: PreparedData, events: Float32Array) -> Float32Array:
    """Raw events as the sensors see them.  # (rows, outputs) float32."""
    names = prepared.raw.feature_names
    columns = {c.name: events[:, names.index(c.name)] for c in prepared.preprocessor.columns}
    return prepared.preprocessor.encode(columns, prepared.raw.categories, len(events))


def _owners(table: TrafficTable, attackers: int) -> Int8Array:
    """Who owns each event: attackers share the entities, or the attacks where there are none."""
    what = np.arange(len(table)) if table.entities is None else table.entities
    shares = (mix(what.astype(np.int64) + 1) >> 11) % attackers
    return np.where(table.labels, shares, -1).astype(np.int8)

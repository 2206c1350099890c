"""Worlds for attacks nobody has seen: data sets, and the families to leave out of each in turn.

A fold of a world is prepared data whose training part lacks some families; they stand in its
validation part, beside benign events and the families that were trained on. Worlds are samples, so
that a fold costs seconds: at most ``EVENTS`` events, at most half of them threats, of all families
as evenly as there are enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from marl_stl_env.config import EnvConfig, RewardConfig
from marl_stl_env.data.ingest.locate import resolve_data_dir
from marl_stl_env.data.opinions.fit import turns
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.data.registry import load_dataset
from marl_stl_env.data.splits.duplicates import find_duplicates
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import ConfigError
from marl_stl_env.types import BoolArray

#: Events of a world, at most; 70 % of them are for training.
EVENTS = 14_000
#: Share of threats, at most: files with capped classes have more threats than any network.
MOST_THREATS = 0.5
REWARD = RewardConfig()
#: Random groups of attack types or kinds.
GROUPS = 5
#: The classes of attack types, as the publishers of KDD99 name them.
CLASSES = {
    "denial of service": ("back", "land", "neptune", "pod", "smurf", "teardrop"),
    "probe": ("ipsweep", "nmap", "portsweep", "satan"),
    "remote to local": (
        *("ftp_write", "guess_passwd", "imap", "multihop", "phf", "spy"),
        *("warezclient", "warezmaster"),
    ),
    "user to root": ("buffer_overflow", "loadmodule", "perl", "rootkit"),
}


@dataclass(frozen=True)
class World:
    """A data set whose attack families are left out in turn.

    Attributes:
        dataset: Name of the data set.
        classes: Whether whole classes of NSL-KDD and KDD99 are left out, or random groups.
        folder: Folder of its files under the data folder; "" for that of the data set.
        options: Options of the data set.
    """

    dataset: str
    classes: bool = False
    folder: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def folds(self) -> int:
        """How many folds it has."""
        return len(CLASSES) if self.classes else GROUPS


#: The worlds, in the order of the tables.
WORLDS = {
    "NSL-KDD, classes": World("nsl-kdd", classes=True),
    "NSL-KDD, types": World("nsl-kdd"),
    "UNSW-NB15, categories": World("unsw-nb15"),
    "KDD99, classes": World("kdd99", classes=True),
    "CIC-IDS2017 corrected, kinds": World(
        "cic-ids2017", folder="cic_ids2017_improved", options={"pattern": "*.csv.gz"}
    ),
}


@dataclass(frozen=True, eq=False)
class Fold:
    """A world without some families.

    Attributes:
        world: Name of the world.
        held: The families that training lacks.
        rate: Threat rate of the training file, at most one half.
        prepared: The data.
    """

    world: str
    held: tuple[str, ...]
    rate: float
    prepared: PreparedData

    @property
    def evaluated(self) -> BoolArray:
        """Validation events that count: benign ones and those of held-out families.  # (rows,)."""
        table = self.prepared.tables["validation"]
        names = [table.family_names.index(name) for name in self.held]
        return np.asarray(~table.labels | np.isin(table.families, names))


def make_fold(
    name: str, number: int, env: EnvConfig, data_dir: Path | None = None, seed: int = 0
) -> Fold:
    """A fold of a world, prepared as an environment asks.

    A family too rare to have an event among those for training is not left out, and not evaluated.

    Args:
        name: One of ``WORLDS``.
        number: Which fold.
        env: Team, balancing, outliers and second opinions; data set and split are the world's.
        data_dir: Folder with the data files.
        seed: Seed of the sample and of random groups.
    """
    table, rate = sample(name, data_dir, seed)
    data = replace(
        env.data, dataset=WORLDS[name].dataset, split_method="stratified", drop_duplicates=True,
        split_seed=seed, holdout_families=(),
    )  # fmt: skip
    train = prepare(EnvConfig(data=data), table).tables["train"]
    there = {table.family_names[code] for code in np.unique(train.families[train.labels])}
    held = tuple(one for one in left_out(WORLDS[name], table, seed)[number] if one in there)
    return Fold(
        name, held, rate, prepare(replace(env, data=replace(data, holdout_families=held)), table)
    )


def shares(table: TrafficTable, stopped: BoolArray) -> tuple[float, float]:
    """Recall, the mean over the attack families, each alike, and the share of false alarms.

    Args:
        table: Some events.
        stopped: Whether each is stopped.  # (rows,) bool
    """
    labels, families = table.labels, table.families
    recalls = [stopped[labels & (families == code)].mean() for code in np.unique(families[labels])]
    return float(np.mean(recalls)), float(stopped[~labels].mean())


def reward_at(rate: float, recall: float, false_alarms: float) -> float:
    """Reward per event at a threat rate, without costs of actions."""
    threats = REWARD.true_positive * recall + REWARD.false_negative * (1 - recall)
    benign = REWARD.true_negative * (1 - false_alarms) + REWARD.false_positive * false_alarms
    return rate * threats + (1 - rate) * benign


@cache
def sample(name: str, data_dir: Path | None, seed: int = 0) -> tuple[TrafficTable, float]:
    """The events of a world, and its threat rate.

    Args:
        name: One of ``WORLDS``.
        data_dir: Folder with the data files.
        seed: Seed of the sample.
    """
    world, root = WORLDS[name], resolve_data_dir(data_dir)
    if root is None:
        raise ConfigError("worlds are read from files; give --data-dir or MARL_STL_DATA_DIR")
    folder = root / world.folder if world.folder else root
    raw = load_dataset(world.dataset, data_dir=folder, **world.options)
    first = np.sort(np.unique(find_duplicates(raw.features).groups, return_index=True)[1])
    if raw.official_test is not None:
        first = first[~raw.official_test[first]]
    rate = min(float(raw.labels[first].mean()), MOST_THREATS)
    rng = np.random.default_rng(seed)
    benign = rng.permutation(first[~raw.labels[first]])
    size = min(EVENTS, round(len(benign) / (1 - rate)))
    threats = turns(rng.permutation(first[raw.labels[first]]), raw.families)[: round(rate * size)]
    rows = np.sort(np.concatenate([benign[: size - len(threats)], threats]))
    return replace(raw.take(rows), official_test=None, times=None, entities=None), rate


def left_out(world: World, table: TrafficTable, seed: int = 0) -> list[tuple[str, ...]]:
    """The families of each fold that the table has enough events of."""
    codes, counts = np.unique(table.families[table.labels], return_counts=True)
    names = [table.family_names[code] for code in codes[counts >= 2]]
    if world.classes:
        return [tuple(n for n in members if n in names) for members in CLASSES.values()]
    order = np.random.default_rng(seed).permutation(len(names))
    return [tuple(names[i] for i in order[fold::GROUPS]) for fold in range(GROUPS)]

"""From a configuration to the scaled tables of its three splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from marl_stl_env.config import EnvConfig, Split
from marl_stl_env.data.locate import resolve_data_dir
from marl_stl_env.data.preprocess import Preprocessor
from marl_stl_env.data.registry import load_dataset
from marl_stl_env.data.splits import SplitReport, split_rows
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.types import IntArray

_KEPT = 4


@dataclass(frozen=True, eq=False)
class PreparedData:
    """A table, split and scaled.

    Attributes:
        raw: The table as loaded.
        rows: Split to its rows of ``raw``, ascending.  # (k,) int64
        tables: Split to its scaled table.
        preprocessor: The scaling, fitted on the training rows.
        report: What the split did.
    """

    raw: TrafficTable
    rows: Mapping[Split, IntArray]
    tables: Mapping[Split, TrafficTable]
    preprocessor: Preprocessor
    report: SplitReport


def prepare(config: EnvConfig, table: TrafficTable | None = None) -> PreparedData:
    """Load, split and scale the data that a configuration names.

    The last few results are kept, so that many environments of one process share their tables.

    Args:
        config: Only its data fields matter: ``dataset``, ``data_dir``, ``split_method``,
            ``split_seed`` and ``threat_rate``.
        table: A raw table to use instead of ``config.dataset``.

    Raises:
        UnknownNameError: If the data set does not exist.
        DataError: If the files are missing or damaged, or the table cannot be split as asked.
    """
    key = EnvConfig(
        dataset=config.dataset,
        data_dir=resolve_data_dir(config.data_dir),
        split_method=config.split_method,
        split_seed=config.split_seed,
        threat_rate=config.threat_rate,
    )
    return _prepare(key, table)


@lru_cache(maxsize=_KEPT)
def _prepare(config: EnvConfig, table: TrafficTable | None) -> PreparedData:
    raw = load_dataset(config.dataset, data_dir=config.data_dir) if table is None else table
    rows, report = split_rows(
        raw, config.split_method, seed=config.split_seed, threat_rate=config.threat_rate
    )
    for index in rows.values():
        index.setflags(write=False)  # shared by everyone who prepares the same
    preprocessor = Preprocessor.fit(raw.take(rows["train"]))
    tables = {name: preprocessor.transform(raw.take(index)) for name, index in rows.items()}
    if config.threat_rate is not None:
        tables = {name: _shift_prior(part, raw.threat_rate) for name, part in tables.items()}
    return PreparedData(raw, rows, tables, preprocessor, report)


def _shift_prior(table: TrafficTable, rate: float) -> TrafficTable:
    """Carry the exact posterior over from a prior of ``rate`` to the table's own threat rate.

    Leaving out rows of one class at random multiplies the odds of a threat by one number:
    Saerens, Latinne, Decaestecker (2002), "Adjusting the outputs of a classifier to new a priori
    probabilities", equation 2.4.
    """
    if table.posterior is None:
        return table
    threat = table.posterior * (table.threat_rate / rate)
    benign = (1 - table.posterior) * ((1 - table.threat_rate) / (1 - rate))
    return replace(table, posterior=threat / (threat + benign))

"""From a configuration to the scaled tables of its three splits.

Data from files is prepared in the cache, in blocks of rows, and memory-mapped from there. So a
table larger than memory can be prepared, prepared data opens at once, and processes share it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from marl_stl_env.config import DataConfig, EnvConfig, Split
from marl_stl_env.data.ingest.cache import entry, key_of
from marl_stl_env.data.ingest.locate import resolve_data_dir
from marl_stl_env.data.ingest.store import (
    FEATURES,
    open_array,
    open_table,
    read_json,
    save_table,
)
from marl_stl_env.data.loaders import DATASETS
from marl_stl_env.data.opinions.prepare import with_opinions
from marl_stl_env.data.preprocess import Preprocessor
from marl_stl_env.data.registry import cached_table, load_dataset, parse_options
from marl_stl_env.data.splits.report import SplitReport
from marl_stl_env.data.splits.rows import SPLITS, split_rows
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.data.training import training_table
from marl_stl_env.data.views import balanced_views, random_columns, varying_columns
from marl_stl_env.errors import ConfigError
from marl_stl_env.plugins import load_plugins
from marl_stl_env.types import Float32Array, Float64Array, IntArray

_CACHED = 4
_META, _ROWS = "prepared.json", "rows.npy"


@dataclass(frozen=True, eq=False)
class PreparedData:
    """A table with its splits and their scaled tables.

    Attributes:
        raw: The table as loaded, with views.
        rows: Split to its rows of ``raw``, ascending.  # (k,) int64
        tables: Split to its scaled table.
        preprocessor: The preprocessing, fitted on the training rows.
        report: Sizes, duplicates and removed rows of the splits.
        config: The configuration of the data.
        folder: Folder in the cache, or None if the data is in memory.
    """

    raw: TrafficTable
    rows: Mapping[Split, IntArray]
    tables: Mapping[Split, TrafficTable]
    preprocessor: Preprocessor
    report: SplitReport
    config: DataConfig
    folder: Path | None = None

    @cached_property
    def training(self) -> TrafficTable:
        """The events that training replays, balanced and with synthetic outliers if configured.

        Evaluation, baselines and preprocessing always use the splits themselves.
        """
        return training_table(
            self.config, self.raw, self.rows["train"], self.tables["train"], self.preprocessor
        )

    @cached_property
    def digest(self) -> str:
        """What tells this data from other data: the name of its cache entry, or its content's."""
        if self.folder is not None:
            return self.folder.name
        found = hashlib.sha256()
        for name, table in self.tables.items():
            shape = table.features.shape
            found.update(f"{name} {shape} {table.views} {table.feature_names}".encode())
            for array in (table.features, table.labels, table.families):
                found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()

    def replayed(self, split: Split) -> TrafficTable:
        """The scaled table that an environment replays for a split."""
        return self.training if split == "train" else self.tables[split]


def prepare(config: EnvConfig, table: TrafficTable | PreparedData | None = None) -> PreparedData:
    """Load, split and scale the data of a configuration.

    The last few results are cached in memory, so that environments share their tables.

    Args:
        config: Uses ``config.data`` and, with random views, the number of sensors.
        table: A raw table to use instead of ``config.data.dataset``. Prepared data is returned
            unchanged.

    Raises:
        UnknownNameError: If the data set, an option or a family does not exist.
        ConfigError: If an option of the data set is not usable, or the table is no table.
        DataError: If files are missing or damaged, or the table cannot be split as configured.
    """
    if isinstance(table, PreparedData):
        return table
    if table is not None and not isinstance(table, TrafficTable):
        raise ConfigError(
            f"table is a {type(table).__name__}, not a TrafficTable; a DataFrame becomes one with "
            "load_dataset('custom', frame=frame, label=COLUMN)"
        )
    load_plugins(config.plugins)
    data, source = config.data, None
    if table is None:
        source = cached_table(
            data.dataset,
            data_dir=data.data_dir,
            download=data.download,
            options=parse_options(data.dataset_options),
        )
    folder = resolve_data_dir(data.data_dir)
    version = DATASETS.version(data.dataset) if table is None else 0
    prepared = _prepare(replace(data, data_dir=folder, download=False), table, source, version)
    if config.random_share is not None and config.see_features:
        views = config.see_features
        prepared = _with_random_views(prepared, views, config.random_share, data.split_seed)
    return _with_opinions(prepared) if config.second_opinions else prepared


@lru_cache(maxsize=_CACHED)
def _prepare(
    config: DataConfig, table: TrafficTable | None, source: Path | None, version: int
) -> PreparedData:
    """Prepare the given table, the one of a cache entry, or the one that the loader generates."""
    del version  # tells a data set that was registered anew from the old one
    if source is not None:
        settings = {"table": source.name, **_split_settings(config)}
        folder = entry("prepared", key_of(settings), lambda draft: _write(config, source, draft))
        return _open(config, folder, source)
    if table is None:
        table = load_dataset(config.dataset, **parse_options(config.dataset_options))
    return prepare_in_memory(config, table)


@lru_cache(maxsize=_CACHED)
def _with_random_views(prepared: PreparedData, views: int, share: float, seed: int) -> PreparedData:
    """The same tables with views of random columns; one-hot columns of a category stay together."""
    names = [column.name for column in prepared.preprocessor.columns]
    raw_names = prepared.raw.feature_names
    all_varying = varying_columns(prepared.raw, prepared.rows["train"])
    varying = [bool(all_varying[raw_names.index(name)]) for name in names]
    drawn = random_columns(varying, views, share, np.random.default_rng(seed))
    members = {f"random_{i}": tuple(names[c] for c in columns) for i, columns in enumerate(drawn)}
    preprocessor = replace(prepared.preprocessor, views=members)
    dropped = set(raw_names).difference(names)  # in all views, as every raw column needs a view
    raw_views = {
        view: tuple(i for i, name in enumerate(raw_names) if name in (dropped | set(shown)))
        for view, shown in members.items()
    }

    def with_views(table: TrafficTable, views: Mapping[str, tuple[int, ...]]) -> TrafficTable:
        return TrafficTable.of_checked(table.state() | {"views": views})

    outputs = preprocessor.output_views
    return replace(
        prepared,
        raw=with_views(prepared.raw, raw_views),
        tables={name: with_views(table, outputs) for name, table in prepared.tables.items()},
        preprocessor=preprocessor,
    )


@lru_cache(maxsize=_CACHED)
def _with_opinions(prepared: PreparedData) -> PreparedData:
    """The same tables with second opinions behind their features, in a view of their own."""
    tables, preprocessor = with_opinions(
        prepared.tables, prepared.preprocessor, prepared.config.split_seed, prepared.folder
    )
    return replace(prepared, tables=tables, preprocessor=preprocessor)


def prepare_in_memory(config: DataConfig, raw: TrafficTable) -> PreparedData:
    """Split and scale a table without the cache.

    Raises:
        SplitError: If the table cannot be split as configured.
    """
    raw, rows, report, preprocessor = _plan(config, raw)
    tables = {name: preprocessor.transform(raw, index) for name, index in rows.items()}
    tables = {name: _with_shifted_prior(config, raw, t) for name, t in tables.items()}
    return PreparedData(raw, rows, tables, preprocessor, report, config)


def _split_settings(config: DataConfig) -> dict[str, object]:
    return {
        "method": config.split_method,
        "seed": config.split_seed,
        "threat_rate": config.threat_rate,
        "holdout_families": config.holdout_families,
        "drop_duplicates": config.drop_duplicates,
    }


def _plan(
    config: DataConfig, raw: TrafficTable
) -> tuple[TrafficTable, dict[Split, IntArray], SplitReport, Preprocessor]:
    """The raw table with views, the rows of each split, their report and the preprocessing."""
    rows, report = split_rows(raw, **_split_settings(config))  # type: ignore[arg-type]
    for index in rows.values():
        index.setflags(write=False)  # cached results are shared
    raw = balanced_views(raw, rows["train"])
    if config.holdout_families and raw.posterior is not None:
        raw = replace(raw, posterior=None)  # splits then have other proportions of families
    return raw, rows, report, Preprocessor.fit(raw, rows["train"])


def _write(config: DataConfig, source: Path, folder: Path) -> None:
    raw, rows, report, preprocessor = _plan(config, open_table(source))
    folder.mkdir()
    for name, index in rows.items():
        (folder / name).mkdir()
        np.save(folder / name / _ROWS, index)
        shape = (len(index), len(preprocessor.feature_names))
        features = _write_blocks(folder / name / FEATURES, shape, preprocessor, raw, index)
        part = TrafficTable(**(raw.row_state(index) | preprocessor.described(features)))
        save_table(_with_shifted_prior(config, raw, part), folder / name)
    meta = {
        "report": asdict(report),
        "preprocessor": preprocessor.to_dict(),
        "views": dict(raw.views),
    }
    (folder / _META).write_text(json.dumps(meta), encoding="utf-8")


def _write_blocks(
    path: Path,
    shape: tuple[int, int],
    preprocessor: Preprocessor,
    raw: TrafficTable,
    rows: IntArray,
) -> Float32Array:
    with path.open("wb") as handle:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_2_0(handle, header)
        for block in preprocessor.blocks(raw, rows):
            block.tofile(handle)
    return open_array(path)


def _open(config: DataConfig, folder: Path, source: Path) -> PreparedData:
    meta = read_json(folder / _META)
    preprocessor = Preprocessor.from_dict(meta["preprocessor"])
    views = {view: tuple(columns) for view, columns in meta["views"].items()}
    raw = open_table(source)
    return PreparedData(
        TrafficTable.of_checked(raw.state() | {"views": views}),
        {name: open_array(folder / name / _ROWS) for name in SPLITS},
        {name: open_table(folder / name) for name in SPLITS},
        preprocessor,
        SplitReport.from_dict(meta["report"]),
        config,
        folder,
    )


def _with_shifted_prior(config: DataConfig, raw: TrafficTable, part: TrafficTable) -> TrafficTable:
    if config.threat_rate is None or part.posterior is None:
        return part
    return replace(part, posterior=shift_prior(part.posterior, raw.threat_rate, part.threat_rate))


def shift_prior(posterior: Float64Array, old: float, new: float) -> Float64Array:
    """Convert P(threat | features) from one threat rate to another.

    Removing rows of one class at random multiplies the odds of a threat by a constant: Saerens,
    Latinne and Decaestecker (2002), "Adjusting the outputs of a classifier to new a priori
    probabilities", Neural Computation 14(1), equation 2.4.

    Args:
        posterior: Probabilities at the old rate.  # (rows,) float64
        old: Old threat rate.
        new: New threat rate.

    Returns:
        Probabilities at the new rate.  # (rows,) float64
    """
    threat = posterior * (new / old)
    return threat / (threat + (1 - posterior) * ((1 - new) / (1 - old)))

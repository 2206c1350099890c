"""Scaled tables with second opinions behind their features, in memory or in the cache."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from marl_stl_env.config import Split
from marl_stl_env.data.ingest.cache import entry, key_of
from marl_stl_env.data.ingest.store import open_array, read_json, release
from marl_stl_env.data.opinions.fit import SETTINGS, fit_opinions
from marl_stl_env.data.opinions.opinions import VIEW, Opinions
from marl_stl_env.data.preprocess import BLOCK_ROWS, Preprocessor
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.types import Float32Array

Tables = Mapping[Split, TrafficTable]
_META = "opinions.json"


def with_opinions(
    tables: Tables, preprocessor: Preprocessor, seed: int, folder: Path | None
) -> tuple[Tables, Preprocessor]:
    """Fit second opinions to the training split, and add them to all splits.

    Training events have opinions out of fold, all others those of the forests that are kept.

    Args:
        tables: The scaled tables.
        preprocessor: Their scaling.
        seed: Seed of the opinions.
        folder: The tables' folder in the cache, after which the opinions are named there; None
            where they are in memory.

    Returns:
        The tables and the scaling with opinions.

    Raises:
        ConfigError: If the training split has fewer than two attack families.
        MissingLibraryError: If scikit-learn is not installed.
    """
    if folder is None:
        fitted, features = _fit(tables, seed, None)
    else:
        key = key_of([folder.name, seed, SETTINGS])
        made = entry("opinions", key, lambda draft: _write(tables, seed, draft))
        fitted = Opinions.from_dict(read_json(made / _META)["opinions"], preprocessor.width)
        features = {name: open_array(_path(made, name)) for name in tables}
    changed = replace(preprocessor, opinions=fitted)
    return {
        name: TrafficTable.of_checked(
            table.state()
            | {
                "features": features[name],
                "feature_names": changed.feature_names,
                "views": {**table.views, VIEW: changed.output_views[VIEW]},
            }
        )
        for name, table in tables.items()
    }, changed


def _write(tables: Tables, seed: int, folder: Path) -> None:
    folder.mkdir()
    fitted, _ = _fit(tables, seed, folder)
    (folder / _META).write_text(json.dumps({"opinions": fitted.to_dict()}), encoding="utf-8")


def _fit(
    tables: Tables, seed: int, folder: Path | None
) -> tuple[Opinions, dict[Split, Float32Array]]:
    """The opinions, and the features of each split with them, in files of the folder if any."""
    fitted, out_of_fold = fit_opinions(tables["train"], seed)
    return fitted, {
        name: _extended(
            table.features,
            fitted,
            out_of_fold if name == "train" else None,
            None if folder is None else _path(folder, name),
        )
        for name, table in tables.items()
    }


def _extended(
    features: Float32Array, fitted: Opinions, known: Float32Array | None, path: Path | None
) -> Float32Array:
    """Features with opinions behind them: the known ones, or those of the fitted forests."""
    rows, width = features.shape
    shape = rows, width + len(fitted.names)
    if path is None:
        found: Float32Array = np.empty(shape, np.float32)
    else:
        found = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    for start in range(0, rows, BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        seen = np.asarray(features[block])
        found[block, :width] = seen
        found[block, width:] = fitted.columns(seen) if known is None else known[block]
        release(features)
    return found


def _path(folder: Path, split: Split) -> Path:
    return folder / f"{split}.npy"

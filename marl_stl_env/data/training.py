"""The events that training replays: optionally balanced, and with synthetic outliers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from marl_stl_env.config import DataConfig
from marl_stl_env.data.encoding import CLIP
from marl_stl_env.data.preprocess import Preprocessor
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.types import Float32Array, IntArray

#: Family name of synthetic outliers.
SYNTHETIC_OUTLIER = "<synthetic outlier>"


def training_table(
    config: DataConfig,
    raw: TrafficTable,
    rows: IntArray,
    train: TrafficTable,
    preprocessor: Preprocessor,
) -> TrafficTable:
    """The table that lanes replay in training.

    Args:
        config: Uses ``balance``, ``synthetic_outliers`` and ``split_seed``.
        raw: The table as loaded.
        rows: Its training rows.  # (k,) int64
        train: These rows, scaled.
        preprocessor: The fitted preprocessing.
    """
    if config.balance == "none" and not config.synthetic_outliers:
        return train
    rng = np.random.default_rng(config.split_seed)
    places = np.arange(len(train))
    if config.balance == "families":
        places = balanced_rows(train, rng)
    table = replace(train.take(places), entities=None, times=None, posterior=None)
    if count := round(config.synthetic_outliers * len(places)):
        outliers = shuffled_columns(raw.features, rows[places], count, rng)
        table = _with_synthetic_outliers(raw, preprocessor, table, outliers)
    return table.take(rng.permutation(len(table)))


def balanced_rows(table: TrafficTable, rng: np.random.Generator) -> IntArray:
    """Rows of the table in which all attack families are equally frequent.

    Benign rows and the number of threats stay the same. Rows of a large family are drawn without
    replacement; all rows of a small family occur before one repeats.

    Args:
        table: The table with labels and families.
        rng: Source of randomness.

    Returns:
        Row indices, ascending; rows of small families repeat.  # (rows,) int64
    """
    threats = np.flatnonzero(table.labels)
    families = table.families[threats]
    present = rng.permutation(np.unique(families))
    shares = np.array_split(threats, len(present))  # only their lengths count; equal to within 1
    drawn = [
        np.resize(rng.permutation(threats[families == family]), len(share))
        for family, share in zip(present, shares, strict=True)
    ]
    return np.sort(np.concatenate([np.flatnonzero(~table.labels), *drawn]))


def shuffled_columns(
    features: Float32Array, rows: IntArray, count: int, rng: np.random.Generator
) -> Float32Array:
    """Synthetic outliers: every column is drawn from a row of its own.

    These samples of the product of the marginals are the artificial anomalies of Theiler and Cai
    (2003), "Resampling approach for anomaly detection in multispectral images". They turn anomaly
    detection into classification.

    Args:
        features: Raw features, categories as codes.  # (table rows, columns) float32
        rows: The rows to draw from.  # (k,) int64
        count: Number of outliers.
        rng: Source of randomness.

    Returns:
        Raw features of the outliers.  # (count, columns) float32
    """
    outliers = np.empty((count, features.shape[1]), np.float32)
    for column in range(features.shape[1]):
        outliers[:, column] = features[:, column][rng.choice(rows, count)]
    return outliers


def _with_synthetic_outliers(
    raw: TrafficTable, preprocessor: Preprocessor, table: TrafficTable, outliers: Float32Array
) -> TrafficTable:
    """The table with these outliers, scaled, at the end.

    Second opinions on them are "threat", as firmly as can be: so they teach what is unlike all
    known events to the sensors that see features, and nothing to those that see opinions.
    """
    code, count = len(table.family_names), len(outliers)
    added = replace(
        raw,
        features=outliers,
        labels=np.ones(count, bool),
        families=np.zeros(count, np.int16),
        entities=None,
        times=None,
        posterior=None,
        official_test=None,
    )
    plain = replace(preprocessor, opinions=None).transform(added).features
    scaled = np.pad(
        plain, ((0, 0), (0, table.features.shape[1] - plain.shape[1])), constant_values=CLIP
    )
    return replace(
        table,
        features=np.concatenate([table.features, scaled]),
        labels=np.concatenate([table.labels, added.labels]),
        families=np.concatenate([table.families, np.full(count, code, np.int16)]),
        family_names=(*table.family_names, SYNTHETIC_OUTLIER),
        official_test=None,
    )

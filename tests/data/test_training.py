from __future__ import annotations

import numpy as np
import pytest

from marl_stl_env.config import DataConfig, EnvConfig
from marl_stl_env.data import load_dataset, prepare
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.data.training import (
    SYNTHETIC_OUTLIER,
    balanced_rows,
    shuffled_columns,
)
from marl_stl_env.engine.engine import Engine
from marl_stl_env.errors import ConfigError
from tests.data.tables import make_table


@pytest.fixture(scope="module")
def raw() -> TrafficTable:
    return load_dataset("synthetic", rows=4_000)


def test_without_settings_it_is_the_training_split(raw: TrafficTable) -> None:
    prepared = prepare(EnvConfig(), raw)
    assert prepare(EnvConfig(), raw).training is prepared.tables["train"]


def test_balanced_rows_by_hand() -> None:
    # Families 1, 2, 3 have 6, 2 and 1 threats: 3 of each are drawn.
    families = np.repeat([0, 1, 2, 3], [4, 6, 2, 1])
    table = make_table(np.zeros((13, 1)), families > 0, families)
    rows = balanced_rows(table, np.random.default_rng(0))
    assert np.bincount(families[rows]).tolist() == [4, 3, 3, 3]
    assert rows[:4].tolist() == [0, 1, 2, 3]
    of_largest = rows[families[rows] == 1]
    assert len(set(of_largest.tolist())) == 3
    assert set(rows[families[rows] == 2].tolist()) == {10, 11}
    assert rows[families[rows] == 3].tolist() == [12] * 3


def test_balance_keeps_the_events_and_the_threat_rate(raw: TrafficTable) -> None:
    prepared = prepare(EnvConfig(), raw)
    train = prepared.tables["train"]
    table = prepare(EnvConfig(data=DataConfig(balance="families")), raw).training
    assert len(table) == len(train)
    assert table.threat_rate == train.threat_rate
    counts = np.bincount(table.families[table.labels])
    assert np.ptp(counts[counts > 0]) <= 1
    known = {
        row.tobytes(): family for row, family in zip(train.features, train.families, strict=True)
    }
    assert all(
        known[row.tobytes()] == family
        for row, family in zip(table.features, table.families, strict=True)
    )


def test_shuffled_columns_are_independent() -> None:
    column = np.arange(2_000, dtype=np.float32)
    features = np.stack([column, column], axis=1)
    rows = np.arange(1_000)
    made = shuffled_columns(features, rows, 50_000, np.random.default_rng(0))
    assert made.max() < 1_000
    assert np.abs(made.mean(axis=0) - 499.5).max() < 5.0
    assert np.abs(np.corrcoef(made.T) - np.eye(2)).max() < 0.02


def test_synthetic_outliers_are_threats_among_the_training_events(raw: TrafficTable) -> None:
    prepared = prepare(EnvConfig(), raw)
    train = prepared.tables["train"]
    table = prepare(EnvConfig(data=DataConfig(synthetic_outliers=0.25)), raw).training
    synthetic_outlier = table.families == table.family_names.index(SYNTHETIC_OUTLIER)
    assert synthetic_outlier.sum() == round(0.25 * len(train))
    assert table.labels[synthetic_outlier].all()
    assert table.labels[~synthetic_outlier].sum() == train.labels.sum()
    assert 0 < np.flatnonzero(synthetic_outlier)[0] < 50  # mixed in, not appended
    one_hot = [i for i, name in enumerate(table.feature_names) if name.startswith("service=")]
    assert one_hot
    np.testing.assert_array_equal(table.features[synthetic_outlier][:, one_hot].sum(axis=1), 1.0)
    for column in range(table.features.shape[1]):
        assert np.isin(table.features[synthetic_outlier, column], train.features[:, column]).all()


def test_the_seed_of_the_split_draws_them(raw: TrafficTable) -> None:
    config = EnvConfig(data=DataConfig(synthetic_outliers=0.1, balance="families"))
    prepared = prepare(config, raw)
    assert prepare(config, raw).training is prepared.training
    other = prepare(
        EnvConfig(data=DataConfig(synthetic_outliers=0.1, balance="families", split_seed=1)), raw
    ).training
    assert (other.features != prepared.training.features).any()


def test_only_training_replays_them(raw: TrafficTable) -> None:
    config = EnvConfig(data=DataConfig(synthetic_outliers=0.5))
    prepared = prepare(config, raw)
    assert len(Engine.from_config(config, 1, 0, raw).table) == 1.5 * len(prepared.tables["train"])
    evaluated = Engine.from_config(
        EnvConfig(data=DataConfig(synthetic_outliers=0.5), split="test"), 1, 0, raw
    )
    assert evaluated.table is prepared.tables["test"]


def test_a_negative_share_is_refused() -> None:
    with pytest.raises(ConfigError, match="synthetic_outliers"):
        EnvConfig(data=DataConfig(synthetic_outliers=-0.1))

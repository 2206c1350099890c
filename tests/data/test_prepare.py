from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from marl_stl_env.config import DataConfig, EnvConfig
from marl_stl_env.data import dataset_info, load_dataset, prepare
from marl_stl_env.data.datasets.synthetic.model import posterior
from marl_stl_env.data.registry import datasets
from marl_stl_env.errors import ConfigError, UnknownNameError


def test_names() -> None:
    assert {"synthetic", "nsl-kdd"} <= set(datasets())
    assert "Tavallaee" in dataset_info("nsl-kdd").citation
    with pytest.raises(UnknownNameError, match="known: synthetic, nsl-kdd"):
        load_dataset("nslkdd")
    with pytest.raises(UnknownNameError):
        prepare(EnvConfig(data=DataConfig(dataset="nope")))


def test_importing_the_data_package_loads_no_heavy_library() -> None:
    code = (
        "import sys, marl_stl_env.data\n"
        "heavy = {'pandas', 'torch', 'sklearn', 'matplotlib', 'stable_baselines3'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert loaded.strip() == "[]"


def test_shared_by_everything_but_data_fields() -> None:
    table = load_dataset("synthetic", rows=2_000)
    one = prepare(EnvConfig(), table)
    assert prepare(EnvConfig(agents=2, split="test", episode_length=7), table) is one
    assert prepare(EnvConfig(data=DataConfig(split_seed=1)), table) is not one
    assert prepare(EnvConfig(data=DataConfig(threat_rate=0.2)), table) is not one
    assert prepare(EnvConfig(data=DataConfig(split_method="temporal")), table) is not one
    assert prepare(EnvConfig(), table) is one
    assert prepare(EnvConfig(), load_dataset("synthetic", rows=2_000)) is not one


def test_tables_are_the_scaled_rows() -> None:
    raw = load_dataset("synthetic", rows=2_000)
    prepared = prepare(EnvConfig(), raw)
    assert prepared.raw is raw
    assert raw.posterior is not None
    assert raw.entities is not None
    for name, rows in prepared.rows.items():
        table = prepared.tables[name]
        np.testing.assert_array_equal(table.labels, raw.labels[rows])
        np.testing.assert_array_equal(table.posterior, raw.posterior[rows])
        np.testing.assert_array_equal(table.entities, raw.entities[rows])
        assert table.times is not None
    numeric = prepared.tables["train"].feature_names.index("entropy")
    train = prepared.tables["train"].features[:, numeric].astype(np.float64)
    assert train.mean() == pytest.approx(0, abs=1e-6)
    assert train.std() == pytest.approx(1, abs=1e-2)  # clipping aside


def test_posterior_follows_the_threat_rate() -> None:
    raw = load_dataset("synthetic", rows=60_000)
    prepared = prepare(EnvConfig(data=DataConfig(threat_rate=0.5)), raw)
    table, rows = prepared.tables["train"], prepared.rows["train"]
    assert table.posterior is not None
    # Bayes' rule with the likelihood ratio that the raw posterior implies.
    raw_p = posterior(raw.features[rows])
    ratio = raw_p / (1 - raw_p) * (0.891 / 0.109)
    np.testing.assert_allclose(table.posterior, ratio / (1 + ratio), rtol=2e-3, atol=1e-6)
    assert table.posterior.mean() == pytest.approx(0.5, abs=0.01)
    unsure = (table.posterior > 0.3) & (table.posterior < 0.7)
    error = table.labels[unsure].mean() - table.posterior[unsure].mean()
    assert abs(error) < 4.5 * 0.5 / np.sqrt(unsure.sum())


def test_environments_may_hold_one_table_under_two_configs() -> None:
    config = EnvConfig(data=DataConfig(split_seed=3, dataset_options=("rows=2000",)))
    assert prepare(config) is prepare(replace(config, agents=7))


@pytest.mark.parametrize("table", [pd.DataFrame({"x": [1.0], "y": [0]}), "flows.csv", np.zeros(3)])
def test_a_table_that_is_none_says_how_to_make_one(table: Any) -> None:
    with pytest.raises(ConfigError, match=r"not a TrafficTable; .*load_dataset\('custom', frame="):
        prepare(EnvConfig(), table)

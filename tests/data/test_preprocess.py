from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from marl_stl_env.data import Preprocessor, TrafficTable, load_dataset
from marl_stl_env.errors import TableError

from .tables import make_table


@pytest.fixture(scope="module")
def table() -> TrafficTable:
    return load_dataset("synthetic", rows=3_000)


def column(values: Any, **fields: Any) -> TrafficTable:
    values = np.asarray(values, np.float32)
    features = np.stack([values, np.arange(len(values))], axis=1)
    return make_table(features, np.arange(len(values)) % 2, **fields)


def test_numeric_columns_match_scipy(table: TrafficTable) -> None:
    scaled = Preprocessor.fit(table).transform(table)
    for name in ("entropy", "bytes_out", "peers"):
        raw = table.features[:, table.feature_names.index(name)].astype(np.float64)
        if abs(stats.skew(raw)) > 2:
            raw = np.sign(raw) * np.log1p(np.abs(raw))
        expected = np.clip(stats.zscore(raw), -5, 5)
        actual = scaled.features[:, scaled.feature_names.index(name)]
        np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_test_rows_never_change_train_rows(table: TrafficTable) -> None:
    train, rest = np.arange(2_000), np.arange(2_000, 3_000)
    features = table.features.copy()
    features[rest, 4] = 1e9
    altered = replace(table, features=features)
    before = Preprocessor.fit(table.take(train)).transform(table)
    after = Preprocessor.fit(altered.take(train)).transform(altered)
    np.testing.assert_array_equal(before.features[train], after.features[train])
    assert not np.array_equal(before.features[rest], after.features[rest])


def test_columns_and_views(table: TrafficTable) -> None:
    scaled = Preprocessor.fit(table).transform(table)
    assert "service=http" in scaled.feature_names
    assert list(scaled.views) == ["flow", "content", "timing", "host"]
    flat = [index for view in scaled.views.values() for index in view]
    assert flat == list(range(scaled.features.shape[1]))
    assert scaled.categories == {}
    for name in ("labels", "families", "entities", "times", "posterior"):
        np.testing.assert_array_equal(getattr(scaled, name), getattr(table, name))


def test_views_stay_contiguous_when_the_raw_ones_are_interleaved() -> None:
    features = np.random.default_rng(0).normal(size=(30, 4))
    table = make_table(features, np.arange(30) % 2, views={"b": (3, 1), "a": (0, 2)})
    scaled = Preprocessor.fit(table).transform(table)
    assert scaled.views == {"b": (0, 1), "a": (2, 3)}
    assert scaled.feature_names == ("f3", "f1", "f0", "f2")


def test_overlapping_views_share_columns() -> None:
    features = np.random.default_rng(0).normal(size=(30, 3))
    table = make_table(features, np.arange(30) % 2, views={"a": (0, 1), "b": (1, 2)})
    assert Preprocessor.fit(table).transform(table).views == {"a": (0, 1), "b": (1, 2)}


def test_round_trip_through_json(table: TrafficTable) -> None:
    fitted = Preprocessor.fit(table)
    restored = Preprocessor.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert restored == fitted
    np.testing.assert_array_equal(
        restored.transform(table).features, fitted.transform(table).features
    )


def test_damaged_description() -> None:
    with pytest.raises(TableError, match="columns"):
        Preprocessor.from_dict({"inputs": ["a"]})


def test_rare_and_unseen_categories_share_other() -> None:
    codes = np.repeat([0, 1, 2], [12, 10, 9])
    names = {"f0": ("http", "dns", "smtp", "never")}
    train = column(codes, categories=names)
    fitted = Preprocessor.fit(train)
    assert fitted.feature_names == ("f0=http", "f0=dns", "f0=<other>", "f1")
    later = column([1, 0, 2, 3, np.nan], categories=names)
    np.testing.assert_array_equal(
        fitted.transform(later).features[:, :3],
        [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]],
    )


def test_categories_are_matched_by_name() -> None:
    codes = np.repeat([0, 1], 10)
    fitted = Preprocessor.fit(column(codes, categories={"f0": ("http", "dns")}))
    later = column([0, 1, 2], categories={"f0": ("new", "dns", "http")})
    np.testing.assert_array_equal(
        fitted.transform(later).features[:, :3], [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
    )


@pytest.mark.parametrize("bad", [4.0, -1.0, 0.5, 2.0])
def test_codes_without_a_name_are_refused(bad: float) -> None:
    with pytest.raises(TableError, match=r"'f0' holds codes outside 0\.\.1"):
        Preprocessor.fit(column([0, 1, bad], categories={"f0": ("http", "dns")}))


def test_missing_values_follow_the_stated_rule() -> None:
    train = column([1, 2, 4, 7, np.nan, np.inf, -np.inf])
    same = column([1, 2, 4, 7, 3, 7, 1])  # median of 1, 2, 4, 7 is 3
    np.testing.assert_array_equal(
        Preprocessor.fit(train).transform(train).features,
        Preprocessor.fit(same).transform(same).features,
    )


def test_constant_columns_are_dropped_and_told() -> None:
    fitted = Preprocessor.fit(column([3.0] * 8))
    assert fitted.feature_names == ("f1",)
    assert fitted.dropped == {"f0": "constant on the training rows (3)"}
    assert any("f0" in line and "constant" in line for line in fitted.describe())
    assert "f0" in Preprocessor.fit(column([np.nan] * 8)).dropped


def test_a_view_of_constants_is_refused() -> None:
    with pytest.raises(TableError, match="every column of view 'a' is constant"):
        Preprocessor.fit(column([3.0] * 8, views={"a": (0,), "b": (1,)}))


def test_other_columns_are_refused(table: TrafficTable) -> None:
    with pytest.raises(TableError, match="fitted on f0, f1"):
        Preprocessor.fit(column(np.arange(8))).transform(table)


values = st.floats(width=32, allow_nan=True, allow_infinity=True)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, (12, 3), elements=values), arrays(np.float32, (5, 3), elements=values))
def test_every_value_is_within_the_bounds(train: np.ndarray, later: np.ndarray) -> None:
    ramp = np.arange(12, dtype=np.float32)[:, None]
    fitted = Preprocessor.fit(make_table(np.hstack([train, ramp]), np.arange(12) % 2))
    for part in (train, later):
        filled = np.hstack([part, np.zeros((len(part), 1), np.float32)])
        scaled = fitted.transform(make_table(filled, np.arange(len(part)) % 2)).features
        assert (scaled >= fitted.low).all()
        assert (scaled <= fitted.high).all()


def test_bounds_of_a_mixed_table(table: TrafficTable) -> None:
    fitted = Preprocessor.fit(table)
    for name, low, high in zip(fitted.feature_names, fitted.low, fitted.high, strict=True):
        assert (low, high) == ((0, 1) if "=" in name else (-5, 5))
    scaled = fitted.transform(table).features
    assert (scaled >= fitted.low).all()
    assert (scaled <= fitted.high).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), values, st.integers(0, 2))
def test_a_test_row_never_changes_a_train_row(seed: int, value: float, column: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(80, 3)).astype(np.float32)
    train, later = np.arange(0, 50), np.arange(50, 80)
    changed = features.copy()
    changed[rng.choice(later), column] = value
    scaled = []
    for part in (features, changed):
        table = make_table(part, np.arange(80) % 2)
        fitted = Preprocessor.fit(table, train)
        scaled.append((fitted, fitted.transform(table, train).features))
    assert scaled[0][0] == scaled[1][0]
    np.testing.assert_array_equal(scaled[0][1], scaled[1][1])


def test_rows_are_those_of_the_smaller_table(table: TrafficTable) -> None:
    rows = np.arange(1, len(table), 2)
    fitted = Preprocessor.fit(table, rows)
    assert fitted == Preprocessor.fit(table.take(rows))
    one, two = fitted.transform(table, rows), fitted.transform(table.take(rows))
    np.testing.assert_array_equal(one.features, two.features)
    np.testing.assert_array_equal(one.labels, two.labels)


def test_blocks_join_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    table = make_table(np.random.default_rng(0).normal(size=(100, 2)), np.arange(100) % 2)
    fitted = Preprocessor.fit(table)
    whole = fitted.transform(table).features
    monkeypatch.setattr("marl_stl_env.data.preprocess.BLOCK_ROWS", 7)
    blocks = list(fitted.blocks(table, np.arange(100)))
    assert [len(block) for block in blocks] == [7] * 14 + [2]
    np.testing.assert_array_equal(np.concatenate(blocks), whole)

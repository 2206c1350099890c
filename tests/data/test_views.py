from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from marl_stl_env.config import DataConfig, EnvConfig
from marl_stl_env.data import load_dataset, prepare
from marl_stl_env.data.views import (
    UNGROUPED,
    balanced_views,
    mutual_information,
    random_columns,
    varying_columns,
)
from marl_stl_env.engine.engine import Engine
from marl_stl_env.errors import TableError

from .tables import make_table


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2))
def test_mutual_information_of_few_values_is_that_of_scikit_learn(
    pairs: list[tuple[int, bool]],
) -> None:
    values, labels = (np.array(column) for column in zip(*pairs, strict=True))
    ours = mutual_information(values.astype(np.float32), labels)
    # Every value lies at a quantile of its own only where there are few enough of each.
    edges = np.unique(np.quantile(values, np.linspace(0, 1, 32)))
    assert ours == pytest.approx(
        mutual_info_score(np.searchsorted(edges, values, "right"), labels), abs=1e-9
    )


def test_information_of_a_known_law() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random(200_000) < 0.5
    flipped = labels ^ (rng.random(200_000) < 0.1)
    expected = np.log(2) + 0.1 * np.log(0.1) + 0.9 * np.log(0.9)  # of a symmetric channel
    assert mutual_information(flipped.astype(np.float32), labels) == pytest.approx(
        expected, abs=0.01
    )


def test_columns_are_dealt_out_forth_and_back() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random(4_000) < 0.4
    strength = [0.0, 8, 1, 7, 2, 6, 3, 5, 4, 0.5]  # of the columns; ranks below
    features = rng.normal(size=(4_000, 10)) + 0.4 * labels[:, None] * np.array(strength)
    table = make_table(features, labels, views={UNGROUPED: tuple(range(10))})
    views = balanced_views(table, np.arange(4_000)).views
    # By strength: 1, 3, 5, 7 | 8, 6, 4, 2 | 9, 0 dealt to seats 0 1 2 3 | 3 2 1 0 | 0 1.
    assert dict(views) == {
        "view_0": (1, 2, 9), "view_1": (0, 3, 4), "view_2": (5, 6), "view_3": (7, 8),
    }  # fmt: skip


def test_other_rows_have_no_part_in_it() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random(600) < 0.4
    features = rng.normal(size=(600, 9))
    views = []
    for noise in (0, 1):
        features[300:] += noise * 100 * labels[300:, None] * np.arange(9)
        table = make_table(features, labels, views={UNGROUPED: tuple(range(9))})
        views.append(balanced_views(table, np.arange(300)).views)
    assert views[0] == views[1]


def test_declared_views_stay() -> None:
    table = make_table(np.zeros((4, 2)), [0, 1, 0, 1], views={"a": (0,), "b": (1,)})
    assert balanced_views(table, np.arange(4)) is table


def test_prepared_tables_have_them() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 3 == 0
    table = make_table(rng.normal(size=(400, 6)), labels, views={UNGROUPED: tuple(range(6))})
    prepared = prepare(EnvConfig(), table)
    assert set(prepared.raw.views) == {"view_0", "view_1", "view_2", "view_3"}
    assert set(prepared.tables["test"].views) == set(prepared.raw.views)


def test_random_columns_have_their_share_and_leave_none_out() -> None:
    views = random_columns([True] * 20, 50, 0.3, np.random.default_rng(0))
    assert {len(view) for view in views} == {6}
    counts = np.bincount(np.concatenate(views), minlength=20)
    assert np.abs(counts - 15).max() < 15  # 50 draws of 6 out of 20
    assert len(set(views)) == 50
    few = random_columns([True] * 20, 2, 0.1, np.random.default_rng(0))
    assert sorted({column for view in few for column in view}) == list(range(20))


def test_each_sensor_sees_its_random_view() -> None:
    raw = load_dataset("synthetic", rows=2_000)
    config = EnvConfig(agents=6, views="random")
    prepared, plain = prepare(config, raw), prepare(EnvConfig(), raw)
    assert prepared is prepare(config, raw)
    for split, table in prepared.tables.items():
        assert table.features is plain.tables[split].features
    table, engine = prepared.tables["train"], Engine.from_config(config, 1, 0, raw)
    seen = engine.observations.visible()
    for agent, (name, columns) in enumerate(table.views.items()):
        assert set(np.flatnonzero(seen[agent])) == set(columns)
        # A category is seen whole or not at all, and raw and scaled table name the same columns.
        inputs = {column.partition("=")[0] for column in np.array(table.feature_names)[seen[agent]]}
        assert inputs == {prepared.raw.feature_names[i] for i in prepared.raw.views[name]}
        held = [n for n in table.feature_names if n.partition("=")[0] in inputs]
        assert len(held) == len(columns)
    other = prepare(EnvConfig(data=DataConfig(split_seed=1), agents=6, views="random"), raw)
    assert other.raw.views != prepared.raw.views


def test_random_views_know_of_dropped_columns() -> None:
    rng = np.random.default_rng(0)
    features = np.column_stack([rng.normal(size=(200, 3)), np.ones(200)])
    raw = make_table(features, rng.random(200) < 0.5)
    prepared = prepare(EnvConfig(agents=2, views="random"), raw)
    assert prepared.tables["train"].feature_names == ("f0", "f1", "f2")
    assert len(prepared.raw.take(prepared.rows["test"])) == len(prepared.rows["test"])


@pytest.mark.parametrize("useful", [1, 2, 3, 4, 5])
def test_no_balanced_view_is_constant(useful: int) -> None:
    """Constant columns of every kind beside a few that vary: each view holds one of these."""
    rng = np.random.default_rng(useful)
    rare = np.repeat(np.arange(60), 5)  # 60 categories of 5 rows: all of them share <other>
    constant = [np.ones(300), np.full(300, np.nan), np.zeros(300), rare]
    constant += [np.where(np.arange(300) % 2, np.nan, 3.0), np.where(np.arange(300) % 2, 3, np.inf)]
    features = np.column_stack([*constant, rng.normal(size=(300, useful))])
    count = features.shape[1]
    table = make_table(
        features, np.arange(300) % 3 == 0, views={UNGROUPED: tuple(range(count))},
        categories={"f2": ("only",), "f3": tuple(f"c{i}" for i in range(60))},
    )  # fmt: skip
    assert varying_columns(table, np.arange(300)).tolist() == [False] * 6 + [True] * useful
    for config in (EnvConfig(agents=4), EnvConfig(agents=4, views="random", view_share=0.2)):
        prepared = prepare(config, table)
        train = prepared.tables["train"]
        for columns in train.views.values():
            assert np.ptp(train.features[:, list(columns)], axis=0).max() > 0
        assert {c for v in prepared.raw.views.values() for c in v} == set(range(count))
    assert len(prepare(EnvConfig(), table).raw.views) == min(4, useful)


def test_a_column_that_varies_outside_the_sample_counts() -> None:
    features = np.zeros((120_001, 2), np.float32)
    features[7, 0] = 1.0  # the information is that of every third row
    features[::2, 1] = 1.0
    table = make_table(features, np.arange(120_001) % 2 == 0, views={UNGROUPED: (0, 1)})
    assert dict(balanced_views(table, np.arange(120_001)).views) == {"view_0": (1,), "view_1": (0,)}


def test_nothing_that_varies_is_refused() -> None:
    table = make_table(np.ones((60, 2)), np.arange(60) % 2 == 0, views={UNGROUPED: (0, 1)})
    with pytest.raises(TableError, match="all 2 columns are constant on the 60 training rows"):
        balanced_views(table, np.arange(60))


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.integers(1, 5), st.integers(0, 99))
def test_every_random_view_holds_a_column_that_varies(
    varying: list[bool], views: int, seed: int
) -> None:
    varying[seed % len(varying)] = True
    drawn = random_columns(varying, views, 0.2, np.random.default_rng(seed))
    assert len(drawn) == views
    assert all(any(varying[column] for column in view) for view in drawn)
    assert {column for view in drawn for column in view} == set(range(len(varying)))

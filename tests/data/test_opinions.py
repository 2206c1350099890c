"""Second opinions: scikit-learn's own probabilities, and nothing learned from an event's family."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from marl_stl_agents.run_data import check_data, describe_data
from marl_stl_agents.run_directory import write_json
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.metrics import roc_auc_score

from marl_stl_env.config import DataConfig, EnvConfig
from marl_stl_env.data import load_dataset, prepare
from marl_stl_env.data.opinions import fit
from marl_stl_env.data.opinions.fit import evenly, fit_opinions, parts_of
from marl_stl_env.data.opinions.forest import Forest, forest_of
from marl_stl_env.data.opinions.opinions import VIEW, log_odds
from marl_stl_env.data.opinions.prepare import with_opinions
from marl_stl_env.data.preprocess import Preprocessor
from marl_stl_env.data.training import SYNTHETIC_OUTLIER
from marl_stl_env.engine.engine import Engine
from marl_stl_env.errors import ConfigError, RunError, TableError
from marl_stl_env.types import Float32Array
from tests.data.tables import make_table, of_text

#: A forest of scikit-learn, the same as arrays, and events.
Fitted = tuple[Any, Forest, Float32Array]
ENV = EnvConfig(agents=6, second_opinions=2, views="groups")


@pytest.fixture(autouse=True, scope="module")
def small_forests() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "TREES", 8)
        yield


@pytest.fixture(scope="module", params=[RandomForestClassifier, ExtraTreesClassifier])
def fitted(request: pytest.FixtureRequest) -> Fitted:
    """A forest of scikit-learn, the same as arrays, and events on its very thresholds."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 5)).round(1).astype(np.float32)
    labels = features[:, 0] + rng.normal(size=400) > 0
    model = request.param(12, max_leaf_nodes=30, random_state=0).fit(features, labels)
    forest = forest_of("mine", model.estimators_, 5)
    on = np.repeat(features[:100], 2, axis=0)
    inner = np.flatnonzero(np.isfinite(forest.threshold))
    for row, node in enumerate(rng.choice(inner, len(on))):
        step = np.float32(0) if row % 2 else np.float32(np.inf)
        value = forest.threshold[node]
        on[row, forest.feature[node]] = value if row % 2 else np.nextafter(value, step)
    return model, forest, np.concatenate([features, on])


def test_a_forest_is_that_of_scikit_learn(fitted: Fitted) -> None:
    model, forest, events = fitted
    np.testing.assert_allclose(
        forest.probabilities(events), model.predict_proba(events)[:, 1], atol=1e-6
    )
    assert forest.probabilities(events[:0]).shape == (0,)


def test_a_saved_forest_is_the_same(fitted: Fitted) -> None:
    _, forest, events = fitted
    again = Forest.from_dict(json.loads(json.dumps(forest.to_dict())), 5)
    assert again.levels == forest.levels
    np.testing.assert_array_equal(again.probabilities(events), forest.probabilities(events))


@pytest.mark.parametrize(
    ("array", "value"),
    [("left", 0), ("left", 10**6), ("feature", 5), ("feature", -1), ("value", 2.0), ("roots", -1)],
)
def test_a_damaged_forest_is_refused(fitted: Fitted, array: str, value: float) -> None:
    """No walk may leave the arrays or go round in a circle."""
    _, forest, _ = fitted
    names = ("feature", "threshold", "left", "value", "roots")
    arrays = {name: getattr(forest, name).copy() for name in names}
    place = int(np.flatnonzero(arrays["left"] != np.arange(len(arrays["left"])))[3])
    arrays[array][0 if array == "roots" else place] = value
    with pytest.raises(TableError, match="contradict"):
        Forest.checked("mine", arrays, 5)


@pytest.mark.parametrize("data", [{}, {"name": "x", "left": "?"}, {"name": 3}])
def test_what_is_no_forest(data: dict[str, object]) -> None:
    with pytest.raises(TableError):
        Forest.from_dict(data, 5)


def test_log_odds_by_hand() -> None:
    found = log_odds(np.array([0.0, 0.5, 0.9, 1.0]))
    np.testing.assert_allclose(found, [-5, 0, np.log(90.25 / 10.25), 5], rtol=1e-6)


def test_groups_of_families() -> None:
    """Seven families are in five parts, each in one; benign events are in all of them."""
    families = np.repeat(np.arange(8), [200, 9, 9, 9, 9, 9, 9, 9])
    table = make_table(np.zeros((263, 1)), families > 0, families)
    part = parts_of(table, np.random.default_rng(0))
    of_family = [np.unique(part[families == one]).tolist() for one in range(1, 8)]
    assert [len(one) for one in of_family] == [1] * 7
    assert sorted(np.bincount(np.concatenate(of_family)).tolist()) == [1, 1, 1, 2, 2]
    assert np.unique(part[families == 0]).tolist() == [0, 1, 2, 3, 4]


def test_large_families_give_way() -> None:
    """Of 10 benign events and families of 20, 6 and 4, 20 events keep the rate 3/4."""
    families = np.repeat([0, 1, 2, 3], [10, 20, 6, 4])
    table = make_table(np.zeros((40, 1)), families > 0, families)
    kept = evenly(table, np.arange(40), 20, np.random.default_rng(0))
    assert np.bincount(families[kept]).tolist() == [5, 6, 5, 4]
    assert evenly(table, np.arange(7), 20, np.random.default_rng(0)).tolist() == list(range(7))


def test_training_events_are_scored_without_their_family() -> None:
    """Each family has a column of its own, which says all to who has met it and nothing else."""
    rng = np.random.default_rng(1)
    families = rng.integers(0, 5, 1500)
    features = rng.normal(size=(1500, 6))
    for family in range(1, 5):
        features[families == family, family] += 30
    table = make_table(features, families > 0, families)
    opinions, known = fit_opinions(table, seed=0)
    fresh = opinions.columns(table.features)
    assert known.shape == fresh.shape == (1500, 2)
    for forest in range(2):
        assert (fresh[table.labels, forest] > 0).mean() > 0.99
        assert (known[table.labels, forest] > 0).mean() < 0.05


def test_benign_events_are_scored_out_of_fold_too() -> None:
    """Labels are drawn at random: a forest knows those it was fitted on, and no others."""
    rng = np.random.default_rng(2)
    families = np.where(rng.random(600) < 0.5, 0, rng.integers(1, 4, 600))
    table = make_table(rng.normal(size=(600, 4)), families > 0, families)
    opinions, known = fit_opinions(table, seed=0)
    assert roc_auc_score(table.labels, opinions.columns(table.features)[:, 0]) > 0.9
    assert 0.35 < roc_auc_score(table.labels, known[:, 0]) < 0.65


def test_one_family_is_not_enough() -> None:
    labels = np.arange(40) % 2 == 0
    with pytest.raises(ConfigError, match=r"1 attack family.*second_opinions=0"):
        fit_opinions(make_table(np.zeros((40, 1)), labels), seed=0)


@pytest.fixture(scope="module")
def raw() -> object:
    return load_dataset("synthetic", rows=1600)


def test_who_sees_what(raw: object) -> None:
    """The last two sensors see the two opinions alone, the other four a group of columns each."""
    prepared = prepare(ENV, raw)  # type: ignore[arg-type]
    table = prepared.tables["validation"]
    plain = prepare(replace(ENV, second_opinions=0), raw).tables["validation"]  # type: ignore[arg-type]
    width = plain.features.shape[1]
    assert table.feature_names[width:] == prepared.preprocessor.feature_names[width:]
    assert list(table.views) == [*plain.views, VIEW]
    engine = Engine(ENV, table, lanes=1)
    visible = engine.observations.visible()
    assert engine.observations.layout[width : width + 2] == (
        "second opinion: random forest",
        "second opinion: extra trees",
    )
    assert visible[4:, width:].all()
    assert not visible[4:, :width].any()
    assert not visible[:4, width:].any()
    alone = Engine(replace(ENV, agents=4, second_opinions=0), plain, lanes=1)
    np.testing.assert_array_equal(visible[:4, :width], alone.observations.visible())


def test_new_events_are_scored_by_all(raw: object) -> None:
    prepared = prepare(ENV, raw)  # type: ignore[arg-type]
    scaling = prepared.preprocessor
    saved = Preprocessor.from_dict(json.loads(json.dumps(scaling.to_dict())))
    for split in ("validation", "test"):
        features = prepared.tables[split].features
        wanted = saved.with_opinions(features[:, : saved.width])
        np.testing.assert_array_equal(features, wanted)
    train = prepared.tables["train"].features
    assert (train != scaling.with_opinions(train[:, : scaling.width])).any()
    np.testing.assert_array_equal(scaling.high[-2:], [5, 5])
    np.testing.assert_array_equal(scaling.low[-2:], [-5, -5])


def test_outliers_teach_nothing_about_opinions(raw: object) -> None:
    """On synthetic outliers the opinions are the firmest "threat" there is."""
    env = replace(ENV, data=DataConfig(synthetic_outliers=0.25))
    table = prepare(env, raw).training  # type: ignore[arg-type]
    made = table.families == table.family_names.index(SYNTHETIC_OUTLIER)
    assert made.sum() == 280
    assert (table.features[made][:, -2:] == 5).all()
    assert not (table.features[~made][:, -2:] == 5).all()


def test_the_cache_holds_what_memory_holds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = "".join(f"{a:.3f},{b:.3f},k{k}\n" for (a, b), k in zip(
        rng.normal(size=(400, 2)), rng.integers(0, 4, 400), strict=True
    ))  # fmt: skip
    of_text(tmp_path / "flows.csv", f"a,b,y\n{rows}", benign_values=["k0"])
    options = (f"path={tmp_path / 'flows.csv'}", "label=y", 'benign_values=["k0"]')
    env = replace(ENV, data=DataConfig(dataset="custom", dataset_options=options))
    cached = prepare(env)
    plain = prepare(replace(env, second_opinions=0))
    assert plain.folder is not None
    tables, scaling = with_opinions(plain.tables, plain.preprocessor, 0, None)
    assert cached.preprocessor.to_dict() == scaling.to_dict()
    for split, table in tables.items():
        assert isinstance(cached.tables[split].features, np.memmap)
        np.testing.assert_array_equal(cached.tables[split].features, table.features)


def test_forests_of_another_version_are_named(raw: object, tmp_path: Path) -> None:
    prepared = prepare(ENV, raw)  # type: ignore[arg-type]
    facts = describe_data(prepared)
    write_json(tmp_path / "data.json", facts)
    check_data(tmp_path, prepared)
    facts["preprocessor"]["opinions"][1]["value"] = "AAAA"
    write_json(tmp_path / "data.json", facts)
    with pytest.raises(RunError, match=r"second opinions are others.*scikit-learn"):
        check_data(tmp_path, prepared)
    facts["source"] = {"other": "0"}
    write_json(tmp_path / "data.json", facts)
    with pytest.raises(RunError, match="the data differs"):
        check_data(tmp_path, prepared)

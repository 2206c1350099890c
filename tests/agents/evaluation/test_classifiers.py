"""Scores of fitted classifiers in the cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn
from marl_stl_agents.diagnostics.preflight import preflight
from marl_stl_agents.evaluation.classifiers import FittedClassifiers
from marl_stl_agents.evaluation.rollout_metrics import baselines
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from marl_stl_env.config import DataConfig, EnvConfig
from marl_stl_env.data.ingest.cache import content_digest
from marl_stl_env.data.ingest.manifest import write_manifest
from marl_stl_env.data.prepare import PreparedData, prepare
from tests.conftest import make_table

COLUMNS = (0, 2)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MARL_STL_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The columns of every classifier that is fitted."""
    found: list[tuple[int, ...]] = []
    fit = FittedClassifiers._fit

    def counted(self: FittedClassifiers, columns: tuple[int, ...]) -> Any:
        found.append(columns)
        return fit(self, columns)

    monkeypatch.setattr(FittedClassifiers, "_fit", counted)
    return found


@pytest.fixture(scope="module")
def prepared() -> PreparedData:
    return prepare(EnvConfig(), make_table(rows=600))


def expected(prepared: PreparedData, split: str, model: Any = None) -> Any:
    """The same scores, of scikit-learn alone."""
    train = prepared.tables["train"]
    model = (model or GaussianNB()).fit(train.features[:, [0, 2]], train.labels)
    return model.predict_proba(prepared.tables[split].features[:, [0, 2]])[:, 1]  # type: ignore[index]


def test_fitted_once_and_read_afterwards(prepared: PreparedData, fits: list[Any]) -> None:
    for _ in range(2):
        classifiers = FittedClassifiers(prepared, None, GaussianNB)
        classifiers.score([COLUMNS, COLUMNS])
        for split in ("validation", "test"):
            found = classifiers.scores(COLUMNS, split)
            np.testing.assert_array_equal(found, expected(prepared, split))
    assert fits == [COLUMNS]
    for _ in range(2):
        training = FittedClassifiers(prepared, None, GaussianNB).scores(COLUMNS, "train")
        np.testing.assert_array_equal(training, expected(prepared, "train"))
    assert fits == [COLUMNS] * 2  # of a split that evaluations need not


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def listed(content: Any) -> Callable[[Path], None]:
    """Another content, with a list of the folder's files that agrees with it."""

    def change(path: Path) -> None:
        np.save(path, content, allow_pickle=True)
        write_manifest(path.parent, content_digest)

    return change


@pytest.mark.parametrize(
    "damage",
    [
        Path.unlink,
        cut,
        lambda path: np.save(path, np.zeros(90)),
        listed(np.zeros(7)),
        listed(np.full(90, np.nan)),
        listed(np.full(90, 1.5)),
        listed(np.zeros(90, np.float32)),
    ],
)
def test_damaged_scores_are_computed_again(
    prepared: PreparedData, fits: list[Any], own_cache: Path, damage: Callable[[Path], None]
) -> None:
    FittedClassifiers(prepared, None, GaussianNB).score([COLUMNS])
    (path,) = own_cache.glob("classifiers/*/validation.npy")
    damage(path)
    for _ in range(2):
        found = FittedClassifiers(prepared, None, GaussianNB).scores(COLUMNS, "validation")
        np.testing.assert_array_equal(found, expected(prepared, "validation"))
    assert len(fits) == 2


def test_other_data_or_versions_are_fitted_anew(
    prepared: PreparedData, fits: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def scores(data: PreparedData, rows: int | None = None, model: Any = GaussianNB) -> Any:
        return FittedClassifiers(data, rows, model).scores(COLUMNS, "test")

    count = len(prepared.tables["train"])
    first = scores(prepared)
    assert (scores(prepared, count) == first).all()  # the same rows under another limit
    assert len(fits) == 1
    assert (scores(prepared, count // 2) != first).any()
    other = LogisticRegression(C=0.5)
    found = scores(prepared, model=lambda: LogisticRegression(C=0.5))
    np.testing.assert_array_equal(found, expected(prepared, "test", other))
    assert (scores(prepared, model=LogisticRegression) != found).any()
    train = prepared.tables["train"]
    turned = replace(train, labels=~train.labels)
    changed = replace(prepared, tables={**prepared.tables, "train": turned})
    np.testing.assert_allclose(scores(changed), 1 - first, rtol=1e-5)
    assert len(fits) == 5
    monkeypatch.setattr(sklearn, "__version__", "0.0")
    scores(prepared)
    assert len(fits) == 6


class OwnBayes(GaussianNB):  # type: ignore[misc] # scikit-learn carries no types
    """A class whose code may change while its name stays."""


def test_own_classes_are_not_kept(prepared: PreparedData, own_cache: Path) -> None:
    found = FittedClassifiers(prepared, None, OwnBayes).scores(COLUMNS, "test")
    np.testing.assert_array_equal(found, expected(prepared, "test"))
    assert not own_cache.exists()


def test_a_cache_that_cannot_be_written(
    prepared: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MARL_STL_CACHE_DIR", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="scores are not kept"):
        found = FittedClassifiers(prepared, None, GaussianNB).scores(COLUMNS, "test")
    np.testing.assert_array_equal(found, expected(prepared, "test"))


def test_the_evaluation_reads_what_the_preflight_fitted(fits: list[Any]) -> None:
    config = EnvConfig(data=DataConfig(dataset_options=("rows=1200",)))
    preflight(config, prepare(config))
    assert fits
    fits.clear()
    assert {"supervised", "supervised_vote"} < baselines(config, prepare(config), "test").keys()
    assert fits == []

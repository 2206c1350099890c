"""Classifiers fitted on the training split; their scores on the splits stay in the cache."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np

from marl_stl_env.config import Split
from marl_stl_env.data.ingest.cache import entry, key_of
from marl_stl_env.data.ingest.store import open_array
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.errors import CacheError, OutputError
from marl_stl_env.files import remove_folder
from marl_stl_env.types import Float32Array, Float64Array

_KIND = "classifiers"
#: Raised whenever the same classifier would be given other rows or columns.
_VERSION = 1
#: Classifiers that multiply densities may go above 1 by so much.
_ROUNDING = 1e-6
#: The splits that are scored and kept together. Labels are looked at in training alone.
_EVALUATED: Final[tuple[Split, ...]] = ("validation", "test")
_TRAINING: Final[tuple[Split, ...]] = ("train",)

Columns = tuple[int, ...]


@dataclass(frozen=True)
class Recipe:
    """An unfitted classifier of scikit-learn, which is imported when one is made.

    Attributes:
        kind: The class with its module, "sklearn.ensemble.RandomForestClassifier" say.
        settings: Arguments of the class by name.
    """

    kind: str
    settings: dict[str, object]

    def __call__(self) -> Any:
        """A new one."""
        module, _, name = self.kind.rpartition(".")
        return getattr(import_module(module), name)(**self.settings)


class FittedClassifiers:
    """Classifiers of one kind, one for each set of columns, fitted where nobody has done it yet.

    The key of what is kept in the cache is the data, the columns, the training rows, the classifier
    with all its settings, and the versions of the libraries that compute. What is damaged there is
    fitted anew.

    Args:
        prepared: The data.
        max_rows: Training rows to fit on, evenly spaced; None takes all.
        make_model: Makes an unfitted classifier of scikit-learn.
        at_once: Classifiers that are fitted side by side.
    """

    def __init__(
        self,
        prepared: PreparedData,
        max_rows: int | None,
        make_model: Callable[[], Any],
        at_once: int = 2,
    ) -> None:
        self._prepared, self._make_model, self._at_once = prepared, make_model, at_once
        rows = len(prepared.tables["train"])
        self._step = -(-rows // max_rows) if max_rows else 1
        self._models: dict[Columns, Any] = {}
        self._scores: dict[tuple[Columns, Split], Float64Array] = {}

    def score(self, columns: Iterable[Columns], *, training: bool = False) -> None:
        """Score splits with each set of columns, several classifiers at a time.

        Each is fitted by one thread: with more, the waiting of the threads for each other makes
        it many times slower on cores that are shared.

        Args:
            columns: What each classifier sees.
            training: Score the training split, in place of the evaluated ones.
        """
        splits = _TRAINING if training else _EVALUATED
        missing = [one for one in dict.fromkeys(columns) if (one, splits[0]) not in self._scores]
        with ThreadPoolExecutor(self._at_once) as pool:
            found = pool.map(lambda one: self._kept(one, splits), missing)
            for one, scores in zip(missing, found, strict=True):
                self._scores |= {(one, split): scores[split] for split in splits}

    def scores(self, columns: Columns, split: Split) -> Float64Array:
        """P(threat) of every event of a split, not calibrated.  # (rows,) float64."""
        self.score([columns], training=split in _TRAINING)
        return self._scores[columns, split]

    def scores_of(self, columns: Columns, features: Float32Array) -> Float64Array:
        """P(threat) of any events, not calibrated.

        Args:
            columns: What the classifier sees.
            features: All columns of the events, scaled.  # (events, features) float32

        Returns:
            # (events,) float64
        """
        from threadpoolctl import threadpool_limits

        if columns not in self._models:
            self._models[columns] = self._fit(columns)
        seen = features[:, list(columns)]
        with threadpool_limits(1):
            scores = self._models[columns].predict_proba(seen)[:, 1]
        return np.asarray(scores, np.float64)

    def _kept(self, columns: Columns, splits: tuple[Split, ...]) -> dict[Split, Float64Array]:
        """The scores in the cache; they are computed where there are none, or damaged ones."""
        key = self._key(columns, splits)
        if key is None:
            return self._computed(columns, splits)
        found: dict[Split, Float64Array] = {}

        def build(folder: Path) -> None:
            found.update(self._computed(columns, splits))
            folder.mkdir()
            for split, scores in found.items():
                np.save(folder / f"{split}.npy", scores, allow_pickle=False)

        try:
            folder = entry(_KIND, key, build)
            try:
                return self._opened(folder, splits)
            except CacheError:
                remove_folder(folder)
                return self._opened(entry(_KIND, key, build), splits)
        except OutputError as error:
            warnings.warn(f"the classifiers' scores are not kept: {error}", stacklevel=2)
            return found or self._computed(columns, splits)

    def _opened(self, folder: Path, splits: tuple[Split, ...]) -> dict[Split, Float64Array]:
        """The scores of an entry.

        Raises:
            CacheError: If they are no probabilities of this data's events.
        """
        found: dict[Split, Float64Array] = {}
        for split in splits:
            scores = np.array(open_array(folder / f"{split}.npy"))
            rows = len(self._prepared.tables[split])
            whole = scores.dtype == np.float64 and scores.shape == (rows,)
            if not (whole and (np.abs(scores - 0.5) <= 0.5 + _ROUNDING).all()):
                raise CacheError(f"{folder} has no probabilities of the {split} split; remove it")
            found[split] = scores
        return found

    def _computed(self, columns: Columns, splits: tuple[Split, ...]) -> dict[Split, Float64Array]:
        tables = self._prepared.tables
        return {split: self.scores_of(columns, tables[split].features) for split in splits}

    def _fit(self, columns: Columns) -> Any:
        from threadpoolctl import threadpool_limits

        train = self._prepared.tables["train"]
        features = train.features[:: self._step, list(columns)]
        with threadpool_limits(1):
            return self._make_model().fit(features, train.labels[:: self._step])

    def _key(self, columns: Columns, splits: tuple[Split, ...]) -> str | None:
        """Name of the entry; None for a class of the user's own, whose code has no version."""
        import scipy

        make = self._make_model
        if isinstance(make, Recipe):
            kind, known = make.kind, make.settings
            sklearn_version = version("scikit-learn")
        else:
            import sklearn

            sklearn_version, model = sklearn.__version__, make()
            kind = f"{type(model).__module__}.{type(model).__qualname__}"
            known = model.get_params()
        if not kind.startswith("sklearn."):
            return None
        versions = [sklearn_version, scipy.__version__, np.__version__]
        settings = [_VERSION, columns, splits, self._step, kind, known, versions]
        return key_of([self._prepared.digest, *settings])

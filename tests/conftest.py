"""Tables and data folders that many tests share."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from marl_stl_env.config import StlConfig
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.plugins import temporary_plugins

# Before torch is imported, and for the programs that tests start: on a busy machine threads that
# wait for one another cost far more than they bring to networks of this size.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"
# One width and no colours in all terminal output, so that a test finds the sentence it looks for.
os.environ["COLUMNS"] = "100"
for variable in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
    os.environ.pop(variable, None)

# The same examples in every run: a test that fails on one machine fails on all.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")

#: A team that is small and not watched, for numbers worked out by hand and for short trainings.
UNWATCHED = StlConfig(monitor=False)
FOUR: dict[str, Any] = {"agents": 4, "views": "groups", "stl": UNWATCHED}

VIEWS = {"flow": (0, 1, 2), "content": (3, 4), "timing": (5, 6), "host": (7, 8, 9)}


def make_table(rows: int = 600, seed: int = 0, threat_rate: float = 0.2) -> TrafficTable:
    """A small purely numeric table in which the first column of every view hints at the label."""
    rng = np.random.default_rng(seed)
    labels = rng.random(rows) < threat_rate
    features = rng.normal(size=(rows, 10)).astype(np.float32)
    features[:, [0, 3, 5, 7]] += 1.5 * labels[:, None]
    families = np.where(labels, rng.integers(1, 3, rows), 0).astype(np.int16)
    return TrafficTable(
        name="toy",
        features=np.clip(features, -5, 5),
        labels=labels,
        families=families,
        family_names=("benign", "scan", "flood"),
        feature_names=tuple(f"x{i}" for i in range(10)),
        views=VIEWS,
    )


def with_entities(table: TrafficTable, entities: int, seed: int = 0) -> TrafficTable:
    """The table with every event on one of a few entities, in runs."""
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, entities, len(table))
    runs = np.maximum.accumulate(np.where(rng.random(len(table)) < 0.4, np.arange(len(table)), 0))
    return TrafficTable(**(table.state() | {"entities": chosen[runs].astype(np.int32)}))


@pytest.fixture
def table() -> TrafficTable:
    return make_table()


@pytest.fixture
def data_dir() -> Path:
    """The folder of the public data sets; the test is skipped where it is not given."""
    folder = os.environ.get("MARL_STL_DATA_DIR")
    if not folder:
        pytest.skip("MARL_STL_DATA_DIR does not point to the public data sets")
    return Path(folder)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Torch computes on one thread before any test builds a model."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of the test run's own."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["MARL_STL_CACHE_DIR"] = str(folder)
    return folder


@pytest.fixture
def own_registrations() -> Iterator[None]:
    """Whatever a test registers, and whichever plugins it imports, is forgotten afterwards."""
    with temporary_plugins():
        yield

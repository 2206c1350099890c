import copy
import pickle

import numpy as np
import pytest
from scipy.stats import chisquare

from marl_stl_env.arrays import NUMPY
from marl_stl_env.engine.streams import mix, random_words
from tests.oracles import splitmix64

GOLDEN = 0x9E3779B97F4A7C15


def test_published_vector() -> None:
    # The reference outputs for seed 1234567 that implementations of SplitMix64 are checked with.
    assert splitmix64(1234567, 3) == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


@pytest.mark.parametrize("seed", [0, 1, 1234567, 2**63 + 5])
def test_mix_is_splitmix64(seed: int) -> None:
    counters = np.array([(seed + k * GOLDEN) % 2**64 for k in range(1, 6)], dtype=np.uint64)
    assert mix(counters.view(np.int64)).view(np.uint64).tolist() == splitmix64(seed, 5)


def test_words_differ_by_seed_episode_and_draw() -> None:
    grid = np.arange(20, dtype=np.uint64)
    words = random_words(grid[:, None, None], grid[None, :, None], grid[None, None, :])
    assert words.shape == (20, 20, 20)
    assert len(np.unique(words)) == words.size


@pytest.mark.parametrize("axis", range(3))
def test_uniform_along_every_counter(axis: int) -> None:
    counters = [np.zeros(20_000, dtype=np.uint64) for _ in range(3)]
    counters[axis] = np.arange(20_000, dtype=np.uint64)
    bound = 1_000_003
    values = NUMPY.below(random_words(*counters).view(np.int64), bound) / bound
    assert values.min() >= 0.0
    assert values.max() < 1.0
    counts = np.histogram(values, bins=50, range=(0, 1))[0]
    assert chisquare(counts).pvalue > 1e-3
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.02


def test_there_is_one_numpy() -> None:
    """Monitors, faults and rules ask whether arrays are numpy's by its identity."""
    assert pickle.loads(pickle.dumps(NUMPY)) is copy.deepcopy(NUMPY) is NUMPY

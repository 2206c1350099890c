"""The id that also works where nobody has imported the package: in a child process."""

from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv
from stable_baselines3.common.vec_env import SubprocVecEnv

from tests.documents import DOCS

ANYWHERE = "marl_stl_env:marl_stl_env/Traffic-v0"
# What is pickled for the child names gymnasium alone: nothing in it imports the package.
MAKE = partial(gymnasium.make, ANYWHERE, episode_length=3)


def first_episode(env: Any, seed: int) -> list[Any]:
    return [env.reset(seed=seed)[0], *(env.step(1)[0] for _ in range(3))]


@pytest.mark.timeout(300)
def test_gymnasiums_child_processes() -> None:
    venv = AsyncVectorEnv([MAKE], context="spawn")
    try:
        seen = [venv.reset(seed=4)[0], *(venv.step(np.ones(1, int))[0] for _ in range(3))]
    finally:
        venv.close()
    np.testing.assert_array_equal(np.concatenate(seen), first_episode(MAKE(), 4))


@pytest.mark.timeout(300)
@pytest.mark.long
def test_stable_baselines3_child_processes() -> None:
    venv = SubprocVecEnv([partial(MAKE, render_mode="rgb_array")], start_method="spawn")
    try:
        venv.seed(4)
        seen = [np.asarray(venv.reset())]
        picture = venv.render()
        seen += [np.asarray(venv.step(np.ones(1, int))[0]) for _ in range(2)]
    finally:
        venv.close()
    np.testing.assert_array_equal(np.concatenate(seen), first_episode(MAKE(), 4)[:3])
    assert picture is not None
    assert picture.shape == (500, 900, 3)


def test_the_documents_name_that_id() -> None:
    page = (DOCS / "guide" / "libraries.md").read_text(encoding="utf-8")
    assert ANYWHERE in page

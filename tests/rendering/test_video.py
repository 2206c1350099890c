"""The video recorders of the libraries get a picture at the reset and after every step."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import RecordVideo
from gymnasium.wrappers.vector import RecordVideo as RecordVectorVideo
from matplotlib import pyplot
from pettingzoo.test.render_test import render_test
from stable_baselines3.common.vec_env import VecVideoRecorder

import marl_stl_env as mse
from marl_stl_env.envs.sb3 import TrafficVecEnv
from marl_stl_env.envs.supersuit import supersuit_vec_env
from marl_stl_env.envs.vector import TrafficVectorEnv
from tests.conftest import make_table

TABLE = make_table()
STEPS = 2


@pytest.fixture
def videos(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What reaches moviepy, which need not be installed: (frames, frames per second)."""
    made: list[Any] = []

    class Clip:
        def __init__(self, sequence: list[Any], fps: int) -> None:
            made.append((list(sequence), fps))

        def write_videofile(self, *_: Any, **__: Any) -> None:
            """Nothing is written."""

    for name in ("moviepy", "moviepy.video", "moviepy.video.io"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    clips = ModuleType("moviepy.video.io.ImageSequenceClip")
    clips.ImageSequenceClip = Clip  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, clips.__name__, clips)
    return made


def assert_video(videos: list[Any], shape: tuple[int, int]) -> None:
    ((frames, fps),) = videos
    assert len(frames) == 1 + STEPS
    assert fps == 4
    assert {frame.shape for frame in frames} == {(*shape, 3)}
    assert len({frame.tobytes() for frame in frames}) == 1 + STEPS  # every step shows


def test_gymnasium_records_one_environment(videos: list[Any], tmp_path: Path) -> None:
    env: Any = gymnasium.make(
        "marl_stl_env/Traffic-v0", table=TABLE, episode_length=STEPS, render_mode="rgb_array"
    )
    env = RecordVideo(env, str(tmp_path / "new"), episode_trigger=lambda _: True)
    env.reset(seed=0)
    for _ in range(STEPS):
        env.step(1)
    env.close()
    assert_video(videos, (500, 900))


def test_pettingzoo_records_a_team(videos: list[Any], tmp_path: Path) -> None:
    recorder = pytest.importorskip("pettingzoo.utils.wrappers.record_video_parallel")
    team = mse.parallel_env(table=TABLE, episode_length=STEPS, render_mode="rgb_array")
    env: Any = recorder.RecordVideoParallel(
        team, str(tmp_path / "new"), episode_trigger=lambda _: True
    )
    env.reset(seed=0)
    while env.agents:
        env.step(dict.fromkeys(env.agents, 1))
    env.close()
    assert_video(videos, (500, 900))


def test_gymnasium_records_a_vector(videos: list[Any], tmp_path: Path) -> None:
    env: Any = TrafficVectorEnv(2, table=TABLE, render_mode="rgb_array")
    env = RecordVectorVideo(env, str(tmp_path / "new"), episode_trigger=lambda _: True)
    env.reset(seed=0)
    for _ in range(STEPS):
        env.step(np.ones(2, int))
    env.close()
    assert_video(videos, (500, 1800))


@pytest.mark.parametrize(
    "make", [TrafficVecEnv, pytest.param(supersuit_vec_env, marks=pytest.mark.long)]
)
def test_stable_baselines3_records_lanes(videos: list[Any], tmp_path: Path, make: Any) -> None:
    venv = make(mse.EnvConfig(), 2, 0, TABLE, render_mode="rgb_array")
    recorder = VecVideoRecorder(venv, str(tmp_path), lambda step: step == 0, video_length=STEPS)
    recorder.reset()
    for _ in range(STEPS):
        recorder.step(np.ones(venv.num_envs, int))
    assert_video(videos, (1000, 900))


def test_pettingzoos_own_test_of_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    pyplot.switch_backend("agg")
    monkeypatch.setattr(pyplot, "pause", lambda _: None)
    render_test(lambda render_mode: mse.aec_env(table=TABLE, render_mode=render_mode))
    pyplot.close("all")

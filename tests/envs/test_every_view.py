"""What holds for every view: ``np_random``, ``repr`` and frames right after a reset."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import supersuit
from gymnasium.utils import seeding
from matplotlib import pyplot
from stable_baselines3.common.vec_env import DummyVecEnv

import marl_stl_env as mse
from marl_stl_env.envs.sb3 import TrafficVecEnv
from marl_stl_env.envs.supersuit import supersuit_vec_env
from marl_stl_env.envs.vector import TrafficVectorEnv
from marl_stl_env.errors import ConfigError, ResetNeededError, UnknownNameError
from tests.envs.views import LANES, TABLE, VIEWS

SEEDED = [name for name in VIEWS if name not in ("sb3", "supersuit")]  # SB3 has no np_random
MAKE_VEC = "marl_stl_env/Traffic-v0"


@pytest.mark.parametrize("name", SEEDED)
def test_np_random_is_seeded_by_reset(name: str) -> None:
    view = VIEWS[name]
    env = view.make().unwrapped if name.startswith("single") else view.make()
    assert isinstance(env.np_random, np.random.Generator)  # before any reset too
    wanted = seeding.np_random(11)[0].random(5)
    for _ in range(2):
        view.reset(env, 11)
        np.testing.assert_array_equal(env.np_random.random(5), wanted)
    env.reset()  # without a seed the stream goes on
    assert env.np_random.random() not in wanted


def test_np_random_of_a_team_says_its_seed_and_stays_out_of_the_dynamics() -> None:
    one, other = (VIEWS["parallel"].make() for _ in "ab")
    assert one.np_random_seed is None
    one.reset(seed=4)
    other.reset(seed=4)
    assert one.np_random_seed == 4
    one.np_random.random(100)
    for env in (one, other):
        env.reset()
    np.testing.assert_array_equal(one.state(), other.state())


def test_a_vector_takes_the_seed_of_its_first_lane() -> None:
    env = VIEWS["vector next step"].make()
    env.reset(seed=[9, 2, 5])
    assert env.np_random.random() == seeding.np_random(9)[0].random()


@pytest.mark.parametrize("frames", [2, (1, 3)])
def test_supersuit_skips_frames(frames: Any) -> None:
    team = supersuit.frame_skip_v0(mse.parallel_env(table=TABLE, episode_length=8), frames)
    plain = mse.parallel_env(table=TABLE, episode_length=8)
    team.reset(seed=0)
    plain.reset(seed=0)
    skips = seeding.np_random(0)[0]
    while team.agents:
        low, high = (frames, frames) if isinstance(frames, int) else frames
        actions = dict.fromkeys(team.agents, 1)
        rewards, total = team.step(actions)[1], 0.0
        for _ in range(int(skips.integers(low, high + 1))):
            if plain.agents:
                total += plain.step(actions)[1]["sensor_0"]
        assert rewards["sensor_0"] == total


@pytest.mark.parametrize("seed", [-1, 1.5, "1", True, 2**70])
@pytest.mark.parametrize("name", [*SEEDED, "sb3", "supersuit"])
def test_a_wrong_seed_is_refused(name: str, seed: Any) -> None:
    env = VIEWS[name].make()
    with pytest.raises(ConfigError, match="seed"):
        VIEWS[name].reset(env, seed)


def test_repr_is_one_readable_line() -> None:
    settings: dict[str, Any] = {"reward": {"true_positive": 5.0}, "episode_length": 9}
    usual = "toy/train, agents=7, views='overlap'"
    analyst = "toy/train, agents=1, views='full'"
    said = {
        repr(mse.parallel_env(table=TABLE)): f"TrafficParallelEnv({usual})",
        repr(mse.aec_env(table=TABLE, split="test")): (
            "TrafficAecEnv(toy/test, agents=7, views='overlap')"
        ),
        repr(TrafficVecEnv(mse.EnvConfig(deliberation=1), 2, table=TABLE)): (
            f"TrafficVecEnv({usual}, lanes=2, deliberation=1)"
        ),
        repr(supersuit_vec_env(None, 2, table=TABLE)): (
            f"SuperSuitVecEnv(2 copies of TrafficParallelEnv({usual}))"
        ),
        repr(gymnasium.make(MAKE_VEC, table=TABLE, **settings).unwrapped): (
            f"TrafficEnv({analyst}, id='{MAKE_VEC}', episode_length=9, reward.true_positive=5.0)"
        ),
        repr(TrafficVectorEnv(2, table=TABLE)): f"TrafficVectorEnv({analyst}, num_envs=2)",
    }
    for given_line, wanted in said.items():
        assert given_line == wanted
    data = mse.DataConfig(data_dir=Path("data").absolute())
    line = repr(mse.parallel_env(data=data, stl=mse.StlConfig(False)))
    assert f"data.data_dir={Path('data').absolute()}, stl.monitor=False" in line


def test_repr_stays_one_line_whatever_the_settings_hold() -> None:
    specs = ("quiet=G (alerts_16 <= 6)\n", "calm=G\x1b[31m")
    config = mse.EnvConfig(stl=mse.StlConfig(False, specs=(*specs, "x=" + "y" * 200)))
    line = repr(mse.parallel_env(config, table=TABLE))
    assert line.isprintable()
    assert len(line) < 160
    assert "..." in line


@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
@pytest.mark.parametrize("name", SEEDED)
def test_a_frame_right_after_reset(name: str, mode: str) -> None:
    view = VIEWS[name]
    env = view.make(render_mode=mode)
    bare = env.unwrapped if hasattr(env, "unwrapped") else env
    if name != "aec":
        with pytest.raises(ResetNeededError, match="reset"):
            bare.render()
    view.reset(env, 3)
    frames = env.render() if name.startswith("vector") else (env.render(),)
    assert len(frames) == (LANES if name.startswith("vector") else 1)
    for frame in frames:
        if mode == "ansi":
            assert frame.startswith("event 0  entity ")
            assert "undecided" in frame
            assert "decision" not in frame
        else:
            assert (frame.dtype, frame.shape) == (np.dtype(np.uint8), (500, 900, 3))


def painted(picture: Any, colour: tuple[int, int, int]) -> int:
    """Pixels of one colour."""
    return int((picture == colour).all(axis=2).sum())


ALLOW, BLOCK = (0x56, 0xB4, 0xE9), (0xE6, 0x9F, 0x00)


def test_the_timeline_is_empty_after_reset_and_after_every_later_one() -> None:
    env = VIEWS["parallel"].make(render_mode="rgb_array")
    env.reset(seed=3)
    empty = env.render()
    env.step(dict.fromkeys(env.agents, 1))
    assert painted(env.render(), BLOCK) > painted(empty, BLOCK)
    env.reset()
    np.testing.assert_array_equal(env.render(), empty)


def test_the_event_shown_after_reset_is_the_one_evaluated_next() -> None:
    env = VIEWS["parallel"].make(render_mode="ansi")
    env.reset(seed=3)
    before = env.render().splitlines()
    env.step(dict.fromkeys(env.agents, 1))
    after = env.render().splitlines()
    assert before[0] == after[0]
    assert [line.replace("undecided", "block    ") for line in before[1:5]] == after[1:5]


def test_a_restored_state_is_shown_where_it_stands() -> None:
    env, other = (VIEWS["parallel"].make(render_mode="ansi") for _ in "ab")
    env.reset(seed=3)
    for _ in range(2):
        env.step(dict.fromkeys(env.agents, 1))
    other.set_state(env.get_state())
    assert other.render().startswith("event 2")


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_a_lane_that_begins_anew_is_shown_from_its_first_event(mode: str) -> None:
    env = TrafficVectorEnv(
        2, table=TABLE, episode_length=3, autoreset_mode=mode, render_mode="ansi"
    )
    env.reset(seed=0)
    events = []
    for _ in range(8):
        env.step(np.zeros(2, int))
        frames = env.render()
        assert frames is not None
        events.append([int(frame.split()[1]) for frame in frames])
    wanted = [0, 1, 2, 0, 0, 1, 2, 0] if mode == "NextStep" else [0, 1, 0, 0, 1, 0, 0, 1]
    assert events == [[event, event] for event in wanted]


@pytest.mark.parametrize("make", [TrafficVecEnv, supersuit_vec_env])
@pytest.mark.parametrize("lanes", [1, 2, pytest.param(5, marks=pytest.mark.long)])
def test_sb3_tiles_the_pictures_of_the_first_lanes(make: Any, lanes: int) -> None:
    venv = make(mse.EnvConfig(episode_length=5), lanes, 0, TABLE, render_mode="rgb_array")
    assert venv.render_mode == "rgb_array"
    assert venv.metadata["render_fps"] == 4
    with pytest.raises(ResetNeededError, match="reset"):
        venv.render()
    venv.reset()
    height, width = {1: (500, 900), 2: (1000, 900), 5: (1000, 1800)}[lanes]
    empty = venv.render()
    assert empty.shape == (height, width, 3)
    venv.step(np.ones(venv.num_envs, int))
    drawn = venv.render()
    top = (slice(0, 500), slice(0, 900))
    assert painted(drawn[top], BLOCK) > painted(empty[top], BLOCK)
    alone = mse.parallel_env(table=TABLE, episode_length=5, render_mode="rgb_array")
    alone.reset(seed=0)
    alone.step(dict.fromkeys(alone.agents, 1))
    np.testing.assert_array_equal(drawn[top], alone.render())


@pytest.mark.parametrize("make", [TrafficVecEnv, supersuit_vec_env])
def test_sb3_is_told_how_to_get_pictures(make: Any) -> None:
    venv = make(mse.EnvConfig(), 2, 0, TABLE)
    venv.reset()
    with pytest.warns(UserWarning, match="make it with render_mode='rgb_array'"):
        assert venv.get_images() == [None] * venv.num_envs
    for mode in ("human", "ansi", "hologram"):
        with pytest.raises(ConfigError, match="use render_mode='rgb_array'"):
            make(mse.EnvConfig(), 2, 0, TABLE, render_mode=mode)


def test_vectors_show_their_first_lane_in_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    pyplot.switch_backend("agg")
    monkeypatch.setattr(pyplot, "pause", lambda _: shown.append(pyplot.gcf()))
    many = gymnasium.make_vec(MAKE_VEC, num_envs=3, table=TABLE, render_mode="human")
    many.reset(seed=0)
    for _ in range(2):
        many.step(np.zeros(3, np.int64))
    assert many.render() is None
    assert len(shown) == 3  # after the reset and every step, of one lane
    one = gymnasium.make(MAKE_VEC, table=TABLE, render_mode="human")
    one.reset(seed=0)
    for _ in range(2):
        one.step(0)
    for figure in (shown[0], shown[-1]):
        figure.canvas.draw()
    drawn, alone = (np.asarray(figure.canvas.buffer_rgba()) for figure in (shown[0], shown[-1]))
    np.testing.assert_array_equal(drawn, alone)
    one.close()
    many.close()
    assert pyplot.get_fignums() == []


def test_vectors_know_their_modes() -> None:
    with pytest.raises(UnknownNameError, match="rgb_array"):
        gymnasium.make_vec(MAKE_VEC, num_envs=2, table=TABLE, render_mode="hologram")


def test_sb3_draws_single_environments_after_reset() -> None:
    def make() -> Any:
        return gymnasium.make(MAKE_VEC, table=TABLE, render_mode="rgb_array")

    venv = DummyVecEnv([make, make])
    venv.reset()
    picture = venv.render()
    assert picture is not None
    assert picture.shape == (1000, 900, 3)

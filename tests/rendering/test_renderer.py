import gymnasium
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

import marl_stl_env as mse
from marl_stl_env.config import EnvConfig, FaultConfig, StlConfig
from marl_stl_env.errors import UnknownNameError
from marl_stl_env.rendering.frame import Frame
from marl_stl_env.rendering.text import as_text
from tests.conftest import FOUR, make_table, with_entities

TABLE = with_entities(make_table(), 20)
CONFIG = EnvConfig(dynamics="response", episode_length=90, stl=StlConfig(monitor=True))
FRAME = Frame(
    step=7,
    time=61.25,
    entity=3,
    threat=True,
    family="scan",
    seen=((("x1", 2.5), ("x0", -0.25)), (("x3", 0.0),)),
    actions=("BLOCK", "silent"),
    faulty=(False, True),
    decision="ALLOW",
    isolated=False,
    reward=-10.0,
    robustness={"quiet": 3.0, "calm": -1.0},
    left={"quiet": 1.0, "calm": -0.5},
)


def test_text_of_one_event() -> None:
    assert as_text(FRAME).splitlines() == [
        "event 7  t=61.2 s  entity 3",
        "  sensor_0  block       x1 +2.5, x0 -0.2",
        "  sensor_1  silent      x3 +0.0  (faulty)",
        "  decision  allow       threat (scan): wrong, -10.0",
        "  specifications  quiet +3.00, calm -1.00",
    ]


def test_ansi_tells_what_infos_tell() -> None:
    env = mse.parallel_env(CONFIG, table=TABLE, render_mode="ansi")
    env.reset(seed=0)
    for step in range(30):
        _, rewards, _, _, infos = env.step(dict.fromkeys(env.agents, 2))
        text, info = str(env.render()), infos["sensor_0"]
        assert text.startswith(f"event {step}")
        assert f"  decision  {mse.Action(info['decision']).name.lower()}" in text
        assert (": right," in text) == (info["label"] == info["decision_vote"])
        assert ("is isolated" in text) == bool(info["isolated"])
        assert f"{rewards['sensor_0']:+.1f}" in text
        assert "posture" in text
    env.reset(seed=1)
    assert "decision" not in str(env.render())


def test_features_shown_are_the_farthest_that_a_sensor_sees() -> None:
    env = mse.parallel_env(table=TABLE, render_mode="ansi", episode_length=20, **FOUR)
    env.reset(seed=3)
    env.step(dict.fromkeys(env.agents, 0))
    assert env.engine.last is not None
    table = env.engine.table
    features = table.features[env.engine.last.rows[0]]
    for sensor, columns in enumerate(table.views.values()):
        farthest = max(columns, key=lambda column: abs(features[column]))
        wanted = f"{table.feature_names[farthest]} {features[farthest]:+.1f}"
        assert wanted in str(env.render()).splitlines()[1 + sensor]


def test_pixels_show_every_event() -> None:
    faults = FaultConfig(1, "silent")
    env = mse.parallel_env(CONFIG, faults=faults, table=TABLE, render_mode="rgb_array")
    env.reset(seed=0)
    pictures = []
    for action in (0, 1, 2, 3):
        env.step(dict.fromkeys(env.agents, action))
        picture = env.render()
        assert isinstance(picture, np.ndarray)
        assert picture.dtype == np.uint8
        assert picture.shape == (500, 900, 3)
        pictures.append(picture)
    colours = {(0, 0x56, 0xB4, 0xE9), (1, 0xE6, 0x9F, 0x00), (2, 0xCC, 0x79, 0xA7)}
    for step, *colour in colours:
        painted = [int((picture == colour).all(axis=2).sum()) for picture in pictures]
        # The key has every colour; the votes of this step add to it.
        assert painted[step] > (painted[step - 1] if step else 0)


def test_human_draws_every_step_and_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    pyplot.switch_backend("agg")
    shown: list[Figure] = []
    monkeypatch.setattr(pyplot, "pause", lambda _: shown.append(pyplot.gcf()))
    env = gymnasium.make("marl_stl_env/TrafficResponse-v0", table=TABLE, render_mode="human")
    env.reset(seed=0)
    assert len(shown) == 1  # the empty timeline
    for _ in range(3):
        env.step(0)
    assert len(shown) == 4
    assert len(shown[0].axes) == 3  # events, rewards, and what is left of the specifications
    env.close()
    assert pyplot.get_fignums() == []


def test_an_unknown_mode_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="rgb_array"):
        mse.parallel_env(table=TABLE, render_mode="hologram")

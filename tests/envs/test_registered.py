"""The registered ids: one meaning of ``max_episode_steps``, and specs that JSON carries."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

import marl_stl_env as mse
from marl_stl_env.errors import ConfigError
from tests.conftest import make_table, with_entities

TRAFFIC, RESPONSE = "marl_stl_env/Traffic-v0", "marl_stl_env/TrafficResponse-v0"
TABLE = with_entities(make_table(), 30)


def made(name: str, how: str, **settings: Any) -> Any:
    """One environment, in one of the ways that Gymnasium has to make it."""
    if how == "make":
        return gymnasium.make(name, **settings)
    return gymnasium.make_vec(name, num_envs=1, vectorization_mode=how, **settings)


def episode(env: Any, seed: int) -> np.ndarray[Any, Any]:
    """The observations of a whole episode, the last one included."""
    action = 1 if env.action_space.shape == () else np.ones(1, int)
    seen, over = [env.reset(seed=seed)[0]], False
    while not over:
        observation, _, _, truncated, _ = env.step(action)
        seen.append(observation)
        over = bool(np.all(truncated))
    return np.array(seen).reshape(len(seen), -1)


@pytest.mark.parametrize("name", [TRAFFIC, RESPONSE])
@pytest.mark.parametrize(
    ("settings", "length"),
    [
        ({}, 600),  # all of the table, which is shorter than the default of 1000
        ({"max_episode_steps": 30}, 30),
        ({"episode_length": 40}, 40),
        ({"max_episode_steps": 30, "episode_length": 40}, 30),
        ({"max_episode_steps": 40, "episode_length": 30}, 40),
        ({"max_episode_steps": -1, "episode_length": 30}, 30),
        ({"max_episode_steps": 50, "config": mse.EnvConfig(episode_length=20)}, 50),
    ],
)
def test_the_time_limit_means_the_same_however_it_is_made(
    name: str, settings: dict[str, Any], length: int
) -> None:
    table = make_table(1000) if settings else TABLE
    table = with_entities(table, 30)
    length = length if settings else len(mse.parallel_env(table=table).engine.table)
    one = episode(made(name, "make", table=table, **settings), 7)
    assert len(one) == length + 1
    for how in ("vector_entry_point", "sync"):
        many = episode(made(name, how, table=table, **settings), 7)
        np.testing.assert_array_equal(many, one)


def test_a_limit_above_the_default_length_is_reached() -> None:
    for how in ("make", "vector_entry_point"):
        env = made(TRAFFIC, how, max_episode_steps=1500)
        assert len(episode(env, 0)) == 1501


def test_lanes_begin_where_single_environments_begin() -> None:
    one = gymnasium.make(TRAFFIC, table=TABLE, max_episode_steps=30)
    many = gymnasium.make_vec(TRAFFIC, num_envs=3, table=TABLE, max_episode_steps=30)
    for lane, observation in enumerate(many.reset(seed=10)[0]):
        np.testing.assert_array_equal(one.reset(seed=10 + lane)[0], observation)


def test_the_spec_names_the_limit_and_keeps_it() -> None:
    for make in (gymnasium.make, gymnasium.make_vec):
        plain: Any = make(TRAFFIC)
        assert plain.spec.max_episode_steps == plain.unwrapped.config.episode_length == 1000
        env: Any = make(TRAFFIC, max_episode_steps=30)
        assert env.spec.max_episode_steps == 30
        again: Any = make(env.spec)
        assert again.spec.max_episode_steps == 30
        assert again.unwrapped.config.episode_length == 30


def test_an_environment_within_another_ones_make_has_its_own_limit() -> None:
    def entry(**_: Any) -> Any:
        inner = gymnasium.make(TRAFFIC, table=TABLE, max_episode_steps=8)
        assert inner.unwrapped.config.episode_length == 8  # type: ignore[attr-defined]
        return gymnasium.make(TRAFFIC, table=TABLE).unwrapped

    gymnasium.register("tests/Outer-v0", entry)
    try:
        outer: Any = gymnasium.make("tests/Outer-v0", max_episode_steps=5)
    finally:
        del gymnasium.registry["tests/Outer-v0"]
    assert outer.unwrapped.config.episode_length == 1000
    assert len(episode(outer, 0)) == 6


@pytest.mark.parametrize("limit", [0, -2, 1.5, "30"])
@pytest.mark.parametrize("make", [gymnasium.make, gymnasium.make_vec])
def test_a_limit_that_is_none_is_refused(make: Any, limit: Any) -> None:
    with pytest.raises(ConfigError, match="episode_length"):
        make(TRAFFIC, max_episode_steps=limit)


SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {"episode_length": 5},
    "config": {"config": mse.EnvConfig(episode_length=5, split="validation")},
    "path": {"data_dir": Path("some") / "where"},
    "data": {"data": mse.DataConfig(data_dir=Path("x"), dataset_options=("rows=900",))},
    "mappings": {
        "reward": {"true_positive": 5.0},
        "response": {"alert_budget": 2},
        "stl": {"monitor": True, "specs": {"quiet": "G (alerts_16 <= 6)"}},
        "dataset_options": {"rows": 900, "seed": 3},
    },
    "lists": {
        "holdout_families": [],
        "dataset_options": ["rows=900"],
        "stl": {"monitor": True, "specs": ["quiet=G (alerts_16 <= 6)", "still=G (alerted <= 0)"]},
    },
    "objects": {
        "reward": mse.RewardConfig(true_positive=5.0, team_share=0.5),
        "consensus": mse.ConsensusConfig(weights="reliability"),
        "faults": mse.FaultConfig(1, "random"),
        "stl": mse.StlConfig(monitor=True, specs=("quiet=G (alerts_16 <= 6)",)),
        "dataset_options": ("rows=900",),
    },
    "empty": {"holdout_families": (), "dataset_options": ()},
    "limit": {
        "max_episode_steps": 12,
        "render_mode": "ansi",
        "dataset_options": ("rows=900",),
    },
}


@pytest.mark.parametrize("name", [TRAFFIC, RESPONSE])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("make", [gymnasium.make, gymnasium.make_vec])
def test_json_rebuilds_the_environment(name: str, settings: dict[str, Any], make: Any) -> None:
    env = make(name, **settings)
    again = make(EnvSpec.from_json(env.spec.to_json()))
    assert again.unwrapped.config == env.unwrapped.config
    assert again.unwrapped.render_mode == env.unwrapped.render_mode
    np.testing.assert_array_equal(again.reset(seed=3)[0], env.reset(seed=3)[0])


def test_json_keeps_what_only_the_vector_has() -> None:
    mode = gymnasium.vector.AutoresetMode.SAME_STEP
    env = gymnasium.make_vec(TRAFFIC, num_envs=3, episode_length=4, autoreset_mode=mode)
    assert env.spec is not None
    again = gymnasium.make_vec(EnvSpec.from_json(env.spec.to_json()))
    assert (again.num_envs, again.metadata["autoreset_mode"]) == (3, mode)


def test_the_spec_of_a_table_keeps_the_table() -> None:
    env = gymnasium.make(TRAFFIC, table=TABLE)
    assert env.unwrapped.spec is not None
    assert env.unwrapped.spec.kwargs["table"] is TABLE


@pytest.mark.parametrize(
    "setting", [{"agents": 1}, {"views": "full"}, {"agents": 1, "views": "full"}]
)
@pytest.mark.parametrize("make", [gymnasium.make, gymnasium.make_vec])
def test_one_analyst_may_be_asked_for_by_name(make: Any, setting: dict[str, Any]) -> None:
    env = make(TRAFFIC, table=TABLE, **setting)
    assert (env.unwrapped.config.agents, env.unwrapped.config.views) == (1, "full")


@pytest.mark.parametrize("setting", [{"agents": 2}, {"agents": 4}, {"views": "groups"}])
@pytest.mark.parametrize("make", [gymnasium.make, gymnasium.make_vec])
def test_a_team_is_refused(make: Any, setting: dict[str, Any]) -> None:
    ((name, value),) = setting.items()
    with pytest.raises(ConfigError, match=f"{name}={value!r}.*parallel_env"):
        make(TRAFFIC, table=TABLE, **setting)

"""PettingZoo's convention: a module for each environment, with three functions."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pettingzoo.test import api_test, parallel_api_test

import marl_stl_env as mse
from marl_stl_env import response_v0, traffic_v0
from marl_stl_env.errors import ConfigError
from tests.conftest import make_table, with_entities
from tests.documents import blocks

TABLE = with_entities(make_table(), 30)
MODULES = pytest.mark.parametrize(
    ("module", "dynamics"), [(traffic_v0, "replay"), (response_v0, "response")]
)


@MODULES
def test_the_functions_make_the_environment_of_the_module(
    module: ModuleType, dynamics: str
) -> None:
    assert module.__all__ == ["env", "parallel_env", "raw_env"]
    team = module.parallel_env(table=TABLE, episode_length=20)
    assert team.config.dynamics == dynamics
    assert module.__name__ == f"marl_stl_env.{team.metadata['name']}"
    parallel_api_test(team, num_cycles=50)
    for make in (module.env, module.raw_env):
        turns = make(table=TABLE, episode_length=20)
        assert turns.unwrapped.config == team.config
        assert turns.metadata["name"] == team.metadata["name"]
        api_test(turns, num_cycles=50)


@MODULES
def test_all_three_play_the_same(module: ModuleType, dynamics: str) -> None:
    config = mse.EnvConfig(agents=4, views="groups", episode_length=20)
    team = module.parallel_env(config, table=TABLE)
    turns = [make(config, table=TABLE) for make in (module.env, module.raw_env)]
    seen, _ = team.reset(seed=3)
    for env in turns:
        env.reset(seed=3)
    for step in range(10):
        actions = {agent: (step + i) % 4 for i, agent in enumerate(team.agents)}
        for env in turns:
            for agent, action in actions.items():
                np.testing.assert_array_equal(env.observe(agent), seen[agent])
                env.step(action)
        seen = team.step(actions)[0]


@MODULES
@pytest.mark.parametrize("how", ["keyword", "config"])
def test_other_dynamics_are_refused(module: ModuleType, dynamics: str, how: str) -> None:
    other: Any = "response" if dynamics == "replay" else "replay"
    if how == "config":
        if other == mse.EnvConfig.dynamics:
            assert module.parallel_env(mse.EnvConfig(), table=TABLE).config.dynamics == dynamics
            return
        given: dict[str, Any] = {"config": mse.EnvConfig(dynamics=other)}
    else:
        given = {"dynamics": other}
    with pytest.raises(ConfigError, match=rf"dynamics='{other}'.*{dynamics}.*use marl_stl_env\."):
        module.parallel_env(table=TABLE, **given)


def test_the_page() -> None:
    for language, content in blocks("guide/environment.md"):
        if "response_v0" in content:
            assert language == "python"
            names: dict[str, Any] = {}
            exec(content, names)
            assert names["env"].config.episode_length == 200

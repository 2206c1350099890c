"""Memory does not grow with the steps."""

import gc
import resource
from pathlib import Path

import numpy as np
import pytest

from marl_stl_env.config import EnvConfig, FaultConfig, StlConfig
from marl_stl_env.envs.parallel import parallel_env
from marl_stl_env.envs.sb3 import TrafficVecEnv
from tests.conftest import make_table, with_entities

_PAGE = resource.getpagesize()
CONFIG = EnvConfig(
    dynamics="response",
    agents=7,
    views="overlap",
    episode_length=256,
    faults=FaultConfig(2, "mixed"),
    stl=StlConfig(monitor=True, observe=True, shield=True),
)


def resident() -> int:
    """Bytes of this process that are in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


@pytest.mark.slow
def test_two_hundred_thousand_steps_of_lanes_leave_memory_as_it_was() -> None:
    venv = TrafficVecEnv(CONFIG, 50, 0, with_entities(make_table(2000), 40))
    rng = np.random.default_rng(0)
    venv.reset()
    before = 0
    for step in range(4400):
        venv.step(rng.integers(0, 4, venv.num_envs))
        if step == 400:
            before = resident()
    assert resident() - before < 4 * 2**20


@pytest.mark.slow
def test_twenty_thousand_steps_of_one_team_leave_memory_as_it_was() -> None:
    env = parallel_env(CONFIG, table=with_entities(make_table(2000), 40))
    rng, before = np.random.default_rng(0), 0
    env.reset(seed=0)
    for step in range(22_000):
        env.step({agent: int(rng.integers(4)) for agent in env.agents})
        if not env.agents:
            env.reset()
        if step == 2000:
            before = resident()
    assert resident() - before < 4 * 2**20

from dataclasses import replace

import numpy as np
import pytest
import torch
from marl_stl_agents.algorithms.ppo import make_model, make_trainer
from marl_stl_agents.buffers.advantages import entity_advantages
from marl_stl_agents.buffers.rollout import TeamRolloutBuffer
from marl_stl_agents.config import PPOConfig, TrainConfig

from marl_stl_env.config import EnvConfig
from marl_stl_env.envs.sb3 import TrafficVecEnv
from marl_stl_env.envs.supersuit import supersuit_vec_env
from marl_stl_env.errors import ConfigError, TableError
from tests.conftest import FOUR, make_table, with_entities
from tests.oracles import gae

TABLE = with_entities(make_table(), 8)
CONFIG = TrainConfig(
    env=EnvConfig(dynamics="response", episode_length=7, **FOUR),
    ppo=PPOConfig(credit="entity", discount=0.9, n_steps=40, bins=0, width=8),
    backend="native",
    lanes=3,
    stl="off",
)


def test_advantages_run_along_the_events_of_an_entity() -> None:
    rng, shape = np.random.default_rng(0), (30, 3)
    rewards, values = (rng.normal(size=shape).astype(np.float32) for _ in range(2))
    entities, ends = rng.integers(0, 4, shape), rng.random(shape) < 0.1
    found = entity_advantages(rewards, values, entities, ends, np.full(shape, 0.9), 0.8)
    for env in range(shape[1]):
        episodes = np.concatenate([[0], np.cumsum(ends[:-1, env])])
        for episode in np.unique(episodes):
            for entity in range(4):
                chain = np.flatnonzero((episodes == episode) & (entities[:, env] == entity))
                if not len(chain):
                    continue
                own = values[chain, env].tolist()
                wanted = gae(
                    rewards[chain, env].tolist(),
                    own,
                    [*own[1:], own[-1]],
                    [False] * (len(chain) - 1) + [True],
                    0.9,
                    0.8,
                )
                np.testing.assert_allclose(found[chain, env], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [TrafficVecEnv, supersuit_vec_env], ids=["native", "supersuit"])
def test_a_rollout_knows_its_entities(make: type[TrafficVecEnv]) -> None:
    venv = make(CONFIG.env, CONFIG.lanes, 0, TABLE)
    model = make_model(CONFIG, venv, TABLE, device="cpu")  # type: ignore[arg-type]
    model.learn(CONFIG.ppo.n_steps * venv.num_envs)
    buffer = model.rollout_buffer
    assert isinstance(buffer, TeamRolloutBuffer)
    alone = TrafficVecEnv(CONFIG.env, CONFIG.lanes, 0, TABLE)
    alone.reset()
    entities = alone.engine.table.entities
    assert entities is not None
    for step in range(CONFIG.ppo.n_steps):
        alone.step(np.zeros(alone.num_envs, np.int64))  # what is met does not hang on actions
        assert alone.engine.last is not None
        met = entities[alone.engine.last.rows]
        np.testing.assert_array_equal(buffer.entities[step], np.repeat(met, 4))


def test_credit_along_entities_needs_entities() -> None:
    replay = replace(CONFIG, env=EnvConfig())
    with pytest.raises(TableError, match="--credit lane"):
        make_trainer(replay, make_table(), torch.device("cpu"))


def test_memory_excludes_credit_along_entities() -> None:
    with pytest.raises(ConfigError, match="--policy mlp"):
        replace(CONFIG, ppo=replace(CONFIG.ppo, policy="lstm"))

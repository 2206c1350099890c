"""Teams on the device against the numpy trainers: faults, deliberation, credit, specifications."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from marl_stl_agents.algorithms.constraints import PricedPPO
from marl_stl_agents.algorithms.device.advantages import (
    entity_advantages,
    lane_advantages,
    next_events,
)
from marl_stl_agents.algorithms.device.env import DeviceVecEnv
from marl_stl_agents.algorithms.device.ppo import DevicePPO
from marl_stl_agents.algorithms.ppo import make_trainer, reward_unit
from marl_stl_agents.buffers import advantages as numpy_advantages
from marl_stl_agents.config import Backend, ConstraintConfig, PPOConfig, TrainConfig
from marl_stl_agents.training.callbacks import training_callbacks
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from marl_stl_env.config import EnvConfig, FaultConfig, StlConfig
from marl_stl_env.engine.torch_arrays import TorchArrays
from tests.agents.algorithms.test_device_ppo import Reseed
from tests.conftest import make_table, with_entities

TABLE, CPU = with_entities(make_table(), 8), torch.device("cpu")
STEPS, LANES = 24, 4
#: One minibatch is the whole rollout, so that its order is idle.
CONFIG = TrainConfig(
    env=EnvConfig(agents=5, episode_length=20, dynamics="response"),
    ppo=PPOConfig(
        n_steps=STEPS,
        batch_size=STEPS * LANES * 5,
        width=16,
        bins=2,
        n_epochs=2,
        discount=0.9,
        return_normalization="none",
    ),
    constraints=ConstraintConfig(measure_episodes=4, measure_every=1),
    lanes=LANES,
    seed=3,
    progress=False,
)
FAULTY = replace(CONFIG.env, faults=FaultConfig(2, "mixed"))
ENTITY = replace(CONFIG.ppo, credit="entity")
CONFIGS = {
    "shape": replace(CONFIG, stl="shape", env=FAULTY),
    "entities, deliberation, faults": replace(
        CONFIG,
        ppo=replace(ENTITY, return_normalization="batch"),
        env=replace(FAULTY, deliberation=1),
    ),
    "lagrangian, sampled rates": replace(
        CONFIG,
        stl="lagrangian",
        constraints=replace(CONFIG.constraints, rates="sampled"),
        ppo=replace(CONFIG.ppo, return_normalization="running"),
    ),
    "all at once": replace(
        CONFIG,
        stl="lagrangian",
        ppo=ENTITY,
        env=replace(
            FAULTY,
            deliberation=1,
            episode_length=8,
            stl=StlConfig(
                shield=True,
                specs=("calm=G (alerts_4 <= 1)", "quick=G (age <= 2)", "open=G (denied_4 <= 0.2)"),
            ),
        ),
        constraints=replace(CONFIG.constraints, budget=0.0),
    ),
}


def trained(config: TrainConfig, backend: Backend) -> tuple[PPO, list[dict[str, Any]]]:
    config = replace(config, backend=backend)
    model = make_trainer(config, TABLE, CPU)
    assert isinstance(model, PPO)
    figures = Reseed()
    callbacks: list[BaseCallback] = [*training_callbacks(config, TABLE), figures]
    model.learn(2 * STEPS * model.n_envs, callback=callbacks, log_interval=10**6)
    return model, figures.figures[1:]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_rollouts_figures_and_weights_are_those_of_numpy(config: TrainConfig) -> None:
    (ours, our_figures), (theirs, their_figures) = (
        trained(config, backend) for backend in ("torch", "native")
    )
    assert isinstance(ours, DevicePPO)
    assert not isinstance(theirs, DevicePPO)
    for first, second in zip(our_figures, their_figures, strict=True):
        assert first.keys() == second.keys()
        for name, value in second.items():
            assert first[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
    assert reward_unit(ours) == pytest.approx(reward_unit(theirs), rel=1e-6)
    weights = theirs.policy.state_dict()
    for name, value in ours.policy.state_dict().items():
        torch.testing.assert_close(value, weights[name], rtol=1e-6, atol=1e-6)
    if config.stl == "lagrangian":
        assert isinstance(theirs, PricedPPO)
        assert ours.names == theirs.names
        assert ours.multipliers.values == pytest.approx(theirs.multipliers.values, abs=1e-9)
        assert theirs.multipliers.values.max() > 0


def test_advantages_are_those_of_numpy() -> None:
    steps, lanes, rng = 40, 6, np.random.default_rng(0)
    rewards, values = rng.normal(size=(2, steps, lanes)).astype(np.float32)
    last = rng.normal(size=lanes).astype(np.float32)
    entities, ended = rng.integers(0, 5, (steps, lanes)), rng.random((steps, lanes)) < 0.1
    discounts = rng.choice([0.9, 1.0], (steps, lanes))
    tensors = [torch.from_numpy(array) for array in (rewards, values, last, discounts)]
    events = next_events(torch.from_numpy(entities), torch.from_numpy(ended), 5)
    for after_end in (None, 0.0):
        ours = entity_advantages(tensors[0], tensors[1], events, tensors[3], 0.8, after_end)
        wanted = numpy_advantages.entity_advantages(
            rewards, values, entities, ended, discounts, 0.8, after_end
        )
        np.testing.assert_allclose(ours, wanted, rtol=1e-6, atol=1e-6)
    going = discounts * ~ended
    given, after, last_ones = tensors[:3]
    ours = lane_advantages(given, after, last_ones, torch.from_numpy(going), 0.8)
    wanted = numpy_advantages.lane_advantages(rewards, np.vstack([values, last]), going, 0.8)
    np.testing.assert_allclose(ours, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", [pytest.param("shape", marks=pytest.mark.long), "all at once"])
def test_no_rollout_or_minibatch_needs_a_value_on_the_host(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tensors on the meta device have no values: whatever asks for one raises."""
    monkeypatch.setattr(DeviceVecEnv, "seed", lambda *_: [])  # it tells the host the seeds
    config = replace(CONFIGS[name], backend="torch")
    config = replace(config, ppo=replace(config.ppo, n_steps=18))
    model = make_trainer(config, TABLE, torch.device("meta"))
    assert isinstance(model, DevicePPO)
    _, callback = model._setup_learn(10**6)
    monkeypatch.setattr(model, "_log_episodes", lambda: None)
    venv = model.get_env()
    assert venv is not None
    for again in (False, True):
        if again:  # constants are there by now, and nothing else is copied
            monkeypatch.setattr(TorchArrays, "asarray", None)
        assert model.collect_rollouts(venv, callback, model.rollout_buffer, 18)
    batch = next(iter(model.rollout_buffer.get(20)))
    assert model.update(batch).device.type == "meta"

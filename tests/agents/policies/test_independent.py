"""One network per sensor, against as many separate networks of torch's own layers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from marl_stl_agents.algorithms.ppo import make_trainer
from marl_stl_agents.checkpoints.policy import saved_policy
from marl_stl_agents.checkpoints.store import best_checkpoint, save_checkpoint
from marl_stl_agents.checkpoints.trainer_state import TrainerState
from marl_stl_agents.config import Backend, PPOConfig, TrainConfig
from marl_stl_agents.policies.build import make_policy
from marl_stl_agents.policies.independent import SensorLinear, SensorNetworks
from marl_stl_agents.policies.team import TeamPolicy
from torch import nn

from marl_stl_env.config import EnvConfig
from marl_stl_env.errors import ConfigError
from tests.conftest import FOUR, make_table

TABLE, CPU = make_table(), torch.device("cpu")
CONFIG = TrainConfig(
    env=EnvConfig(episode_length=10, **FOUR),
    ppo=PPOConfig(n_steps=16, batch_size=64, width=8, bins=0, sharing="independent"),
    lanes=4,
    seed=3,
    backend="native",
    stl="off",
)
SPACE = spaces.Box(-5, 5, (14,), dtype=np.float32)
SENSORS, FEATURES = 4, 10


def policy(depth: int = 2, bins: int = 0) -> TeamPolicy:
    torch.manual_seed(0)
    config = replace(CONFIG, ppo=replace(CONFIG.ppo, depth=depth, bins=bins))
    made = make_policy(config, SPACE, TABLE, CPU)
    assert isinstance(made, TeamPolicy)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.5)
    return made


def networks_of(made: Any) -> SensorNetworks:
    networks: SensorNetworks = made.mlp_extractor
    return networks


def observations(sensors: list[int]) -> torch.Tensor:
    rows = torch.randn(len(sensors), 14, generator=torch.Generator().manual_seed(1))
    rows[:, FEATURES:] = torch.eye(SENSORS)[sensors]
    return rows


def separate(networks: nn.Sequential, sensor: int) -> nn.Sequential:
    """One sensor's network, of torch's own layers."""
    layers: list[nn.Module] = []
    for layer in networks:
        if isinstance(layer, nn.ReLU):
            layers.append(nn.ReLU())
            continue
        assert isinstance(layer, SensorLinear)
        weight, bias = layer.weight.data[sensor], layer.bias.data[sensor, 0]
        linear = nn.Linear(*weight.shape)
        linear.weight.data, linear.bias.data = weight.T.clone(), bias.clone()
        layers.append(linear)
    return nn.Sequential(*layers)


def differentiate(loss: torch.Tensor) -> None:
    torch.autograd.backward(loss)


@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize("sensors", [[2, 0, 0, 3, 2, 1, 0], [1], [3, 3], [0, 1, 2, 3]])
def test_each_row_goes_through_its_sensors_network(depth: int, sensors: list[int]) -> None:
    made, rows = policy(depth), observations(sensors)
    logits, values = networks_of(made)(rows)
    for row, sensor in enumerate(sensors):
        actor = separate(networks_of(made).actor, sensor)
        critic = separate(networks_of(made).critic, sensor)
        torch.testing.assert_close(logits[row], actor(rows[row]))
        torch.testing.assert_close(values[row], critic(rows[row]))
    chosen: Any = made.get_distribution(rows).distribution
    torch.testing.assert_close(chosen.probs, logits.softmax(dim=1))
    torch.testing.assert_close(made.predict_values(rows), values)


def test_a_sensors_loss_leaves_the_other_sensors_alone() -> None:
    made = policy()
    for sensor in range(SENSORS):
        made.zero_grad()
        sensors = [0, 1, 2, 3, 1, sensor]
        logits, values = networks_of(made)(observations(sensors))
        own = torch.tensor(sensors) == sensor
        differentiate(logits[own].logsumexp(dim=1).sum() + values[own].square().sum())
        for parameter in made.parameters():
            assert parameter.grad is not None
            touched = parameter.grad.flatten(1).abs().sum(dim=1) > 0
            assert touched.tolist() == [i == sensor for i in range(SENSORS)]


def test_learning_equals_separate_networks_with_separate_optimisers() -> None:
    made = policy()
    actors = [separate(networks_of(made).actor, sensor) for sensor in range(SENSORS)]
    optimisers = [torch.optim.Adam(actor.parameters(), lr=0.01) for actor in actors]
    together = torch.optim.Adam(made.parameters(), lr=0.01)
    draw = np.random.default_rng(0)
    for _ in range(20):
        sensors = draw.integers(0, SENSORS, 32).tolist()
        rows, size = observations(sensors), len(sensors)
        targets = torch.arange(size) % 4
        loss = nn.functional.cross_entropy(networks_of(made)(rows)[0], targets)
        together.zero_grad()
        differentiate(loss)
        together.step()
        for sensor, (actor, optimiser) in enumerate(zip(actors, optimisers, strict=True)):
            own = torch.tensor(sensors) == sensor
            mine = nn.functional.cross_entropy(actor(rows[own]), targets[own], reduction="sum")
            optimiser.zero_grad()
            differentiate(mine / size)
            optimiser.step()
    for sensor, actor in enumerate(actors):
        now = separate(networks_of(made).actor, sensor)
        for one, other in zip(now.parameters(), actor.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_the_encoding_keeps_the_indicator() -> None:
    made = policy(bins=4)
    sensors = [3, 1, 2, 2, 0]
    features = made.extract_features(observations(sensors))
    assert isinstance(features, torch.Tensor)
    indicator = features[:, networks_of(made).indicator]
    assert indicator.argmax(dim=1).tolist() == sensors
    assert features.shape[1] > 14


@pytest.mark.parametrize(
    "env", [EnvConfig(episode_length=10, **FOUR), EnvConfig(deliberation=1, **FOUR)]
)
def test_both_paths_train_the_same_weights_of_every_sensor(env: EnvConfig) -> None:
    trained = []
    for backend in ("native", "supersuit"):
        model = make_trainer(replace(CONFIG, env=env, backend=backend), TABLE, CPU)
        before = [parameter.clone() for parameter in model.policy.parameters()]
        model.learn(3 * model.n_steps * model.n_envs)
        trained.append([parameter.detach() for parameter in model.policy.parameters()])
        for old, new in zip(before, trained[-1], strict=True):
            assert ((old - new).flatten(1).abs().sum(dim=1) > 0).all()
    for one, other in zip(*trained, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_saved_policy_knows_its_indicator(tmp_path: Path) -> None:
    """With deliberation the indicator is not the end of an observation."""
    config = replace(CONFIG, env=EnvConfig(deliberation=1), ppo=replace(CONFIG.ppo, bins=4))
    model = make_trainer(config, TABLE, CPU)
    model.learn(model.n_steps * model.n_envs)
    save_checkpoint(tmp_path, model.policy, 1, {"reward_per_event": 0.0}, TrainerState({}, {}))
    space: Any = model.observation_space
    loaded = saved_policy(best_checkpoint(tmp_path), space, CPU)
    seen = torch.as_tensor(model._last_obs)
    torch.testing.assert_close(loaded.predict_values(seen), model.policy.predict_values(seen))
    assert networks_of(loaded).indicator.tolist() == networks_of(model.policy).indicator.tolist()


def test_the_device_path_has_it() -> None:
    backend: Backend = "torch"
    model = make_trainer(replace(CONFIG, backend=backend), TABLE, CPU)
    model.learn(model.n_steps * model.n_envs)
    assert isinstance(model.policy, TeamPolicy)


def test_not_with_memory() -> None:
    with pytest.raises(ConfigError, match="sharing='shared'"):
        PPOConfig(policy="lstm", sharing="independent")

"""The trainer of a policy with memory."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from marl_stl_agents.algorithms.ppo import make_model, make_trainer, make_vec_env
from marl_stl_agents.buffers.rollout import TeamRolloutBuffer
from marl_stl_agents.config import PPOConfig, TrainConfig
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy

from marl_stl_env.config import EnvConfig, FaultConfig
from marl_stl_env.errors import ConfigError
from tests.conftest import FOUR, make_table

TABLE, CPU = make_table(), torch.device("cpu")
CONFIG = TrainConfig(
    env=EnvConfig(episode_length=10, faults=FaultConfig(2, "mixed", 3), **FOUR),
    ppo=PPOConfig(
        n_steps=16, batch_size=64, width=16, discount=0.7, schedule="constant", policy="lstm"
    ),
    lanes=4,
    seed=3,
    backend="native",
    stl="off",
)


def rollout(config: TrainConfig) -> Any:
    """A model that has collected its second rollout and not learned from it."""
    venv = make_vec_env(config, TABLE)
    model: Any = make_model(config, venv, TABLE, CPU)
    model.learn(config.ppo.n_steps * venv.num_envs)
    callback = model._init_callback(None)
    model.collect_rollouts(venv, callback, model.rollout_buffer, config.ppo.n_steps)
    return model


def weights(model: Any) -> torch.Tensor:
    return torch.cat([value.flatten() for value in model.policy.state_dict().values()])


@pytest.mark.parametrize("env", [EnvConfig(episode_length=10, **FOUR), CONFIG.env])
def test_both_paths_train_the_same_weights(env: EnvConfig) -> None:
    trained = []
    for backend in ("native", "supersuit"):
        model = make_trainer(replace(CONFIG, env=env, backend=backend), TABLE, CPU)
        model.learn(2 * model.n_steps * model.n_envs)
        trained.append(weights(model))
    torch.testing.assert_close(trained[0], trained[1], rtol=0, atol=0)


def test_the_size_of_the_memory_is_the_width() -> None:
    model = rollout(replace(CONFIG, env=EnvConfig()))
    assert isinstance(model.policy, RecurrentActorCriticPolicy)
    assert (model.policy.lstm_actor.hidden_size, model.policy.lstm_actor.num_layers) == (16, 1)
    assert not isinstance(model.rollout_buffer, TeamRolloutBuffer)


def test_faulty_transitions_do_not_touch_the_update() -> None:
    clean, poisoned = rollout(CONFIG), rollout(CONFIG)
    buffer = poisoned.rollout_buffer
    assert isinstance(buffer, TeamRolloutBuffer)
    # Observations stay: an honest sensor may become faulty and remember them.
    lies = ~buffer.honest
    assert lies.mean() == 0.5
    buffer.actions[lies] = 3
    for name in ("values", "log_probs", "advantages", "returns"):
        getattr(buffer, name)[lies] = 1e6
    before = weights(clean)
    for model in (clean, poisoned):
        np.random.seed(0)
        model.train()
    assert not torch.equal(weights(clean), before)
    torch.testing.assert_close(weights(clean), weights(poisoned), rtol=0, atol=0)


def test_every_honest_transition_comes_once_per_epoch() -> None:
    buffer = rollout(CONFIG).rollout_buffer
    wanted = np.sort(buffer.returns[buffer.honest])
    batches = [batch.returns[batch.mask > 0].numpy() for batch in buffer.get(64)]
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), wanted)


def test_minibatches_of_faulty_sensors_alone_are_left_out() -> None:
    model = rollout(replace(CONFIG, ppo=replace(CONFIG.ppo, n_steps=4, batch_size=3)))
    model.train()
    assert torch.isfinite(weights(model)).all()
    batches = list(model.rollout_buffer.get(3))
    assert len(batches) < 64 / 3
    assert all(batch.mask.sum() > 1 for batch in batches)


def test_the_torch_backend_has_no_memory() -> None:
    with pytest.raises(ConfigError, match="--backend native"):
        replace(CONFIG, backend="torch")

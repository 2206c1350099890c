from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from marl_stl_agents.algorithms.ppo import make_model, make_vec_env
from marl_stl_agents.buffers.credit import within_event
from marl_stl_agents.buffers.rollout import TeamRolloutBuffer
from marl_stl_agents.config import Backend, PPOConfig, TrainConfig
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from marl_stl_env.config import EnvConfig, FaultConfig, RewardConfig
from marl_stl_env.envs.base import team_env
from marl_stl_env.envs.parallel import TrafficParallelEnv
from marl_stl_env.errors import ConfigError
from tests.conftest import FOUR, make_table
from tests.oracles import ScalarFaults

TABLE = make_table()
CONFIG = TrainConfig(
    env=EnvConfig(episode_length=10, faults=FaultConfig(2, "mixed", 3), **FOUR),
    ppo=PPOConfig(n_steps=16, batch_size=64, width=16, discount=0.7, schedule="constant"),
    lanes=4,
    seed=3,
    backend="native",
    stl="off",
)


def rollout(config: TrainConfig) -> OnPolicyAlgorithm:
    """A model that has collected its second rollout and not learned from it."""
    venv = make_vec_env(config, TABLE)
    model = make_model(config, venv, TABLE, torch.device("cpu"))
    steps = config.ppo.n_steps
    model.learn(steps * venv.num_envs)
    callback = model._init_callback(None)
    model.collect_rollouts(venv, callback, model.rollout_buffer, steps)
    return model


def weights(model: OnPolicyAlgorithm) -> torch.Tensor:
    return torch.cat([value.flatten() for value in model.policy.state_dict().values()])


@pytest.mark.parametrize("backend", ["native", "supersuit"])
def test_the_mask_names_the_faulty_sensors(backend: Backend) -> None:
    buffer = rollout(replace(CONFIG, backend=backend)).rollout_buffer
    assert isinstance(buffer, TeamRolloutBuffer)
    for step in range(16):
        episode = (16 + step) // 10
        for lane in range(4):
            faulty = ScalarFaults(CONFIG.env, CONFIG.seed + lane, episode).faulty
            honest = buffer.honest[step, lane * 4 : lane * 4 + 4]
            assert np.flatnonzero(~honest).tolist() == faulty


def test_faulty_transitions_do_not_touch_the_update() -> None:
    clean, poisoned = rollout(CONFIG), rollout(CONFIG)
    buffer: Any = poisoned.rollout_buffer
    lies = ~buffer.honest
    assert lies.mean() == 0.5
    buffer.observations[lies] = 5.0
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
    buffer: Any = rollout(CONFIG).rollout_buffer
    wanted = np.sort(buffer.returns[buffer.honest])
    for _ in range(2):
        batches = [batch.returns.numpy() for batch in buffer.get(48)]
        assert [len(batch) for batch in batches] == [48, 48, 32]
        np.testing.assert_array_equal(np.sort(np.concatenate(batches)), wanted)


def test_without_faults_and_deliberation_it_is_the_buffer_of_sb3() -> None:
    config = replace(CONFIG, env=EnvConfig(episode_length=10))
    trained = []
    for kind in (RolloutBuffer, TeamRolloutBuffer):
        venv = make_vec_env(config, TABLE)
        model = make_model(config, venv, TABLE, torch.device("cpu"))
        assert type(model.rollout_buffer) is RolloutBuffer
        buffer = kind(
            config.ppo.n_steps,
            venv.observation_space,
            venv.action_space,
            "cpu",
            gamma=config.ppo.discount,
            gae_lambda=config.ppo.gae_lambda,
            n_envs=venv.num_envs,
        )
        if isinstance(buffer, TeamRolloutBuffer):
            buffer.watch(team_env(venv))
        model.rollout_buffer = buffer
        model.learn(2 * config.ppo.n_steps * venv.num_envs)
        trained.append(weights(model))
    torch.testing.assert_close(trained[0], trained[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backend", ["native", "supersuit"])
@pytest.mark.parametrize(
    ("discount", "share", "within"), [(0.0, 1.0, 1.0), (0.7, 0.3, 1.0), (0.7, 0.0, 0.0)]
)
def test_discounts_count_from_event_to_event(
    backend: Backend, discount: float, share: float, within: float
) -> None:
    """Advantages against a scalar recursion over one sensor's steps, episode by episode."""
    config = replace(
        CONFIG,
        backend=backend,
        env=EnvConfig(episode_length=5, deliberation=1, reward=RewardConfig(team_share=share)),
        ppo=replace(CONFIG.ppo, discount=discount, gae_lambda=0.8),
    )
    model = rollout(config)
    buffer, venv = model.rollout_buffer, model.get_vec_normalize_env()
    assert isinstance(buffer, TeamRolloutBuffer)
    assert venv is not None
    np.testing.assert_array_equal(buffer.voting[:, 0], np.arange(16) % 2 == 1)
    assert (buffer.rewards[~buffer.voting] != 0.0).any()
    last = model.policy.predict_values(torch.as_tensor(model._last_obs))[:, 0].tolist()
    for sensor in range(16):
        running = 0.0
        for step in reversed(range(16)):
            value = buffer.values[step, sensor]
            following = last[sensor] if step == 15 else buffer.values[step + 1, sensor]
            over = (16 + step) % 10 == 9
            discounted = discount if step % 2 else within
            error = buffer.rewards[step, sensor] - value
            if not over:  # where it is over, SB3 has added the last value to the reward
                error += discounted * following
                running = error + discounted * 0.8 * running
            else:
                running = error
            assert buffer.advantages[step, sensor] == pytest.approx(running, rel=1e-4, abs=1e-4)


def test_proposals_answer_for_the_vote_where_they_can_change_what_it_earns() -> None:
    own, mixed = RewardConfig(team_share=0.0), RewardConfig(team_share=0.2)
    assert within_event(EnvConfig(deliberation=1, reward=own)) == 0.0
    assert within_event(EnvConfig(deliberation=1, reward=mixed)) == 1.0
    assert within_event(EnvConfig(deliberation=1, reward=own, dynamics="response")) == 1.0


def test_both_paths_train_the_same_weights() -> None:
    env = replace(CONFIG.env, deliberation=1)
    trained = []
    for backend in ("native", "supersuit"):
        config = replace(CONFIG, backend=backend, env=env)
        venv = make_vec_env(config, TABLE)
        model = make_model(config, venv, TABLE, torch.device("cpu"))
        model.learn(2 * config.ppo.n_steps * venv.num_envs)
        trained.append(weights(model))
    torch.testing.assert_close(trained[0], trained[1], rtol=0, atol=0)


def test_a_team_of_faulty_sensors_cannot_be_trained() -> None:
    with pytest.raises(ConfigError, match="at least one honest"):
        TrainConfig(env=EnvConfig(faults=FaultConfig(7)))


def test_faulty_sensors_earn_nothing_in_the_parallel_view() -> None:
    env = TrafficParallelEnv(CONFIG.env, table=TABLE)
    env.reset(seed=1)
    _, rewards, _, _, infos = env.step(dict.fromkeys(env.agents, 0))
    faulty = [name for name, info in infos.items() if info["faulty"]]
    assert len(faulty) == 2
    assert [name for name, reward in rewards.items() if reward == 0.0] == faulty

"""PPO on the device against SB3's own PPO on the native path, on the CPU."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from marl_stl_agents.algorithms.device.env import DeviceVecEnv
from marl_stl_agents.algorithms.device.heads import sample
from marl_stl_agents.algorithms.device.ppo import DevicePPO
from marl_stl_agents.algorithms.device.rollout import DeviceRollout
from marl_stl_agents.algorithms.device.statistics import (
    EpisodeStatistics,
    RewardScale,
    explained_variance,
)
from marl_stl_agents.algorithms.ppo import make_trainer, make_vec_env, reward_unit
from marl_stl_agents.config import PPOConfig, ReturnNormalization, TrainConfig
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import RolloutBufferSamples

from marl_stl_env.config import EnvConfig, RewardConfig
from marl_stl_env.errors import DeviceError, DivergedError, StateError
from tests.conftest import FOUR, make_table
from tests.oracles import gae

TABLE = make_table()
CPU = torch.device("cpu")
#: Episodes end inside rollouts, and one minibatch is the whole rollout, so that its order is idle.
CONFIG = TrainConfig(
    env=EnvConfig(episode_length=10, reward=RewardConfig(team_share=0.5), **FOUR),
    ppo=PPOConfig(n_steps=16, batch_size=16 * 4 * 6, width=16, discount=0.9, n_epochs=3),
    lanes=6,
    seed=3,
    progress=False,
    stl="off",
)


class Reseed(BaseCallback):
    """The same sampling of actions in both trainers, and their figures."""

    def __init__(self) -> None:
        super().__init__()
        self.figures: list[dict[str, Any]] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        torch.manual_seed(self.num_timesteps)
        self.figures.append(dict(self.logger.name_to_value))

    def _on_training_end(self) -> None:
        self._on_rollout_start()


def trained(config: TrainConfig, backend: str, rollouts: int) -> tuple[PPO, list[dict[str, Any]]]:
    config = replace(config, backend=backend)  # type: ignore[arg-type]
    torch.set_num_threads(1)
    model = make_trainer(config, TABLE, CPU)
    assert isinstance(model, PPO)
    callback = Reseed()
    steps = rollouts * config.ppo.n_steps * model.n_envs
    model.learn(steps, callback=callback, log_interval=10**6)
    return model, callback.figures[1:]


@pytest.mark.parametrize(
    ("normalization", "discount"),
    [("running", 0.0), ("running", 0.9), ("batch", 0.9), ("none", 0.9)],
)
def test_rollouts_losses_and_weights_are_those_of_sb3(
    normalization: ReturnNormalization, discount: float
) -> None:
    ppo = replace(CONFIG.ppo, discount=discount, return_normalization=normalization)
    config = replace(CONFIG, ppo=ppo)
    (ours, our_figures), (theirs, their_figures) = (
        trained(config, backend, 3) for backend in ("torch", "native")
    )
    assert isinstance(ours, DevicePPO)
    assert not isinstance(theirs, DevicePPO)
    mine, other = ours.rollout_buffer, theirs.rollout_buffer
    for name in ("observations", "actions", "values", "log_probs", "advantages", "returns"):
        tensor = torch.as_tensor(getattr(mine, name)).transpose(0, 1).flatten(0, 1)
        wanted = torch.as_tensor(getattr(other, name)).reshape(tensor.shape)
        torch.testing.assert_close(tensor, wanted.to(tensor.dtype), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        torch.as_tensor(mine.rewards), torch.as_tensor(other.rewards), rtol=1e-4, atol=1e-4
    )
    for first, second in zip(our_figures, their_figures, strict=True):
        for name in ("loss", "value_loss", "policy_gradient_loss", "entropy_loss", "approx_kl"):
            key = f"train/{name}"
            assert first[key] == pytest.approx(second[key], rel=1e-4, abs=1e-5), name
        key = "train/explained_variance"
        assert first[key] == pytest.approx(second[key], abs=1e-4)
    assert reward_unit(ours) == pytest.approx(reward_unit(theirs), rel=1e-4)
    weights = theirs.policy.state_dict()
    for name, value in ours.policy.state_dict().items():
        torch.testing.assert_close(value, weights[name], rtol=1e-3, atol=1e-4)


def test_losses_on_the_same_rollout_equal_sb3_to_1e_5() -> None:
    theirs, _ = trained(CONFIG, "native", 1)
    ours, _ = trained(CONFIG, "torch", 1)
    assert isinstance(ours, DevicePPO)
    ours.policy.load_state_dict(theirs.policy.state_dict())
    buffer = theirs.rollout_buffer
    # As if the policy had moved far since the rollout, so that the ratio is clipped both ways.
    noise = np.random.default_rng(0).normal(scale=0.5, size=buffer.log_probs.shape)
    buffer.log_probs += noise.astype(np.float32)
    batch = next(iter(buffer.get(len(buffer.advantages))))
    theirs.n_epochs, theirs.batch_size = 1, len(buffer.advantages)
    figures = ours.losses(
        RolloutBufferSamples(*batch)._replace(actions=batch.actions.long().flatten())
    )
    theirs.train()
    for name in ("loss", "policy_gradient_loss", "value_loss", "entropy_loss", "clip_fraction"):
        wanted = theirs.logger.name_to_value[f"train/{name}"]
        assert getattr(figures, name).item() == pytest.approx(wanted, abs=1e-5), name
    assert 0.2 < figures.clip_fraction.item() < 0.9


def test_sampling_is_the_policys_own() -> None:
    model, _ = trained(CONFIG, "torch", 1)
    observations = torch.rand(500, 14)
    torch.manual_seed(1)
    with torch.no_grad():
        actions, values, log_probs = sample(model.policy, observations)
        torch.manual_seed(1)
        wanted = model.policy(observations)
    torch.testing.assert_close(actions, wanted[0])
    torch.testing.assert_close(values, wanted[1])
    torch.testing.assert_close(log_probs, wanted[2])


def test_rewards_are_scaled_as_vec_normalize_does() -> None:
    venv = make_vec_env(replace(CONFIG, backend="native"), TABLE)
    scale = RewardScale(24, 0.9, CPU)
    rng = np.random.default_rng(0)
    venv.reset()
    for _ in range(60):
        _, scaled, dones, _ = venv.step(rng.integers(0, 4, 24))
        raw = torch.from_numpy(np.asarray(venv.get_original_reward()))
        ours = scale(raw, torch.from_numpy(dones))
        np.testing.assert_allclose(ours, scaled, rtol=1e-6)


def test_advantages_equal_the_scalar_recursion() -> None:
    steps, streams = 12, 3
    box, actions = spaces.Box(-1.0, 1.0, (2,)), spaces.Discrete(4)
    rollout = DeviceRollout(steps, box, actions, CPU, 0.8, 0.95, streams)
    generator = torch.Generator().manual_seed(0)
    rollout.rewards, rollout.values = torch.randn(2, steps, streams, generator=generator)
    starts = torch.rand(steps + 1, streams, generator=generator) < 0.25
    rollout.episode_starts = starts[:-1].float()
    last = torch.randn(streams, generator=generator)
    rollout.compute_returns_and_advantage(last[:, None], starts[-1].float())
    for stream in range(streams):
        values = rollout.values[:, stream].tolist()
        following = [*values[1:], float(last[stream])]
        ends = starts[1:, stream].tolist()
        # Rewards hold the value after a truncation already.
        next_values = [0.0 if end else value for end, value in zip(ends, following, strict=True)]
        wanted = gae(rollout.rewards[:, stream].tolist(), values, next_values, ends, 0.95, 0.8)
        np.testing.assert_allclose(rollout.advantages[:, stream], wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(rollout.returns, rollout.advantages + rollout.values)


def test_every_transition_is_learned_from_once_per_pass() -> None:
    model, _ = trained(CONFIG, "torch", 1)
    rollout: Any = model.rollout_buffer
    rollout.advantages = torch.arange(16.0 * 24).reshape(16, 24)
    batches = list(rollout.get(100))
    assert [len(batch.advantages) for batch in batches] == [100, 100, 100, 84]
    seen = torch.cat([batch.advantages for batch in batches])
    assert torch.equal(seen.sort().values, torch.arange(16.0 * 24))
    place = int(seen[0])
    assert torch.equal(batches[0].observations[0], rollout.observations[place // 24, place % 24])


def test_episode_statistics() -> None:
    statistics = EpisodeStatistics(2, CPU)
    for over in ([False, False], [True, False], [False, True], [False, False]):
        statistics.add(torch.tensor([1.0, 10.0]), torch.tensor(over))
    figures = statistics.take()
    assert figures == {"reward": 5.5, "return": 16.0, "length": 2.5}
    statistics.add(torch.tensor([1.0, 10.0]), torch.tensor([True, False]))
    # The first stream's open episode had two steps, and this one.
    assert statistics.take() == {"reward": 5.5, "return": 3.0, "length": 3.0}
    statistics.add(torch.tensor([1.0, 10.0]), torch.tensor([False, False]))
    assert statistics.take() == {"reward": 5.5}


def test_explained_variance() -> None:
    returns = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert float(explained_variance(returns, returns)) == 1.0
    assert float(explained_variance(torch.zeros(4), returns)) == 0.0
    assert float(explained_variance(-returns, returns)) == -3.0


def test_a_diverged_update_is_refused() -> None:
    model, _ = trained(CONFIG, "torch", 1)
    model.rollout_buffer.advantages[0, 0] = float("nan")
    with pytest.raises(DivergedError, match="learning-rate"):
        model.train()


def test_others_do_not_step_it() -> None:
    venv = DeviceVecEnv(EnvConfig(**FOUR), 2, 0, TABLE, CPU)
    venv.reset()
    with pytest.raises(DeviceError, match="TrafficVecEnv"):
        venv.step(np.zeros(8, int))


@pytest.mark.parametrize("normalization", ["running", "batch"])
def test_no_rollout_or_minibatch_needs_a_value_on_the_host(
    normalization: ReturnNormalization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tensors on the meta device have no values: whatever asks for one raises."""
    monkeypatch.setattr(DeviceVecEnv, "seed", lambda *_: [])  # it tells the host the seeds
    ppo = replace(CONFIG.ppo, return_normalization=normalization)
    config = replace(CONFIG, backend="torch", ppo=ppo)
    model = make_trainer(config, TABLE, torch.device("meta"))
    assert isinstance(model, DevicePPO)
    callback, steps = Reseed(), CONFIG.ppo.n_steps
    _, callback_list = model._setup_learn(steps * model.n_envs, callback)
    venv = model.get_env()
    assert isinstance(venv, DeviceVecEnv)
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        model.collect_rollouts(venv, callback_list, model.rollout_buffer, steps)  # logs at its end
    monkeypatch.setattr(model, "_log_episodes", lambda: None)
    assert model.collect_rollouts(venv, callback_list, model.rollout_buffer, steps)
    for batch in model.rollout_buffer.get(model.batch_size):
        assert model.update(batch).device.type == "meta"


def test_rollouts_continue_bit_identically() -> None:
    config = replace(CONFIG, backend="torch")
    first, _ = trained(CONFIG, "torch", 2)
    other = make_trainer(replace(config, seed=99), TABLE, CPU)
    assert isinstance(first, DevicePPO)
    assert isinstance(other, DevicePPO)
    other.policy.load_state_dict(first.policy.state_dict())
    other._setup_learn(0)
    other.set_stream_state(first.stream_state())
    rollouts = []
    for model in (first, other):
        torch.manual_seed(5)
        _, callback = model._setup_learn(10**6, reset_num_timesteps=False)
        venv = model.get_env()
        assert venv is not None
        for _ in range(2):
            model.collect_rollouts(venv, callback, model.rollout_buffer, CONFIG.ppo.n_steps)
        rollouts.append(model.rollout_buffer)
    for name in ("observations", "actions", "rewards", "advantages", "episode_starts"):
        mine, wanted = (torch.as_tensor(getattr(rollout, name)) for rollout in rollouts)
        assert torch.equal(mine, wanted), name


def test_a_foreign_state_is_refused() -> None:
    model, _ = trained(CONFIG, "torch", 1)
    assert isinstance(model, DevicePPO)
    state = model.stream_state()
    for name in ("normalizer.returns", "lanes.positions"):
        with pytest.raises((RuntimeError, StateError)):
            model.set_stream_state(state | {name: state[name][:-1]})
        with pytest.raises((KeyError, StateError)):
            model.set_stream_state({key: value for key, value in state.items() if key != name})

"""PPO whose rollouts never leave the training device.

Policy, optimiser, schedules, logging and checkpoints are SB3's own; collecting and learning are
written without a point at which the host waits for the device, but for one per rollout and one
per update, where the figures are logged.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor
from torch.nn import functional

from marl_stl_agents.algorithms.device.env import DeviceVecEnv
from marl_stl_agents.algorithms.device.rollout import DeviceRollout, EpisodeStatistics, RewardScale
from marl_stl_agents.config import ReturnNormalization
from marl_stl_agents.metric_names import REWARD
from marl_stl_env.engine.torch_engine import TorchEngine
from marl_stl_env.errors import DivergedError
from marl_stl_env.types import AnyArray


class Figures(NamedTuple):
    """What one minibatch is worth.  # each () float32."""

    loss: Tensor
    policy_gradient_loss: Tensor
    value_loss: Tensor
    entropy_loss: Tensor
    approx_kl: Tensor
    clip_fraction: Tensor


def heads(policy: ActorCriticPolicy, observations: Tensor) -> tuple[Tensor, Tensor]:
    """What the policy's networks say.

    SB3's own way there builds a torch distribution, whose check of its arguments makes the host
    wait for CUDA.

    Args:
        policy: The policy of every sensor.
        observations: (batch, width) float32

    Returns:
        Log probabilities (batch, actions) float32 and values (batch,) float32.
    """
    latent_pi, latent_vf = policy.mlp_extractor(policy.extract_features(observations))
    log_probs = functional.log_softmax(policy.action_net(latent_pi), dim=1)
    return log_probs, policy.value_net(latent_vf)[:, 0]


def sample(policy: ActorCriticPolicy, observations: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Actions, values and log probabilities, as the policy's ``forward`` gives them.

    ``torch.multinomial`` makes the host wait for CUDA; the exponential race below is what it does
    inside, so that the same random state gives the same actions.

    Args:
        policy: The policy of every sensor.
        observations: (batch, width) float32

    Returns:
        Actions (batch,) int64, values (batch,) float32, log probabilities (batch,) float32.
    """
    log_probs, values = heads(policy, observations)
    probs = log_probs.exp()
    actions = (probs / torch.empty_like(probs).exponential_()).argmax(dim=1)
    return actions, values, _of(log_probs, actions)


def _of(log_probs: Tensor, actions: Tensor) -> Tensor:
    return log_probs.gather(1, actions[:, None])[:, 0]


def explained_variance(values: Tensor, returns: Tensor) -> Tensor:
    """1 - Var(returns - values) / Var(returns).  # () float32."""
    return 1.0 - (returns - values).var(correction=0) / returns.var(correction=0)


class DevicePPO(PPO):
    """SB3's PPO on an environment whose engine lives on the training device.

    The environment is an :class:`marl_stl_agents.algorithms.device.env.DeviceVecEnv`.

    Args:
        args: PPO's.
        return_normalization: How rewards or returns are normalised.
        settings: PPO's.
    """

    def __init__(
        self, *args: Any, return_normalization: ReturnNormalization = "running", **settings: Any
    ) -> None:
        self._return_normalization = return_normalization
        super().__init__(*args, **settings)

    def _setup_model(self) -> None:
        self.rollout_buffer_class = cast("type[RolloutBuffer]", DeviceRollout)
        self.rollout_buffer_kwargs = {"batch_returns": self._return_normalization == "batch"}
        super()._setup_model()
        scaling = self._return_normalization == "running"
        self._scale = RewardScale(self.n_envs, self.gamma, self.device, scaling)
        self._episodes = EpisodeStatistics(self.n_envs, self.device)

    def _maybe_recommend_cpu(self, mlp_class_name: str = "ActorCriticPolicy") -> None:
        """Nothing: where rollouts stay on the device, a GPU is the better place."""

    def _setup_learn(self, *args: Any, **settings: Any) -> tuple[int, BaseCallback]:
        before = self._last_obs
        result = super()._setup_learn(*args, **settings)
        if self._last_obs is not before:
            self._scale.forget_returns()
            self._starts = torch.ones(self.n_envs, device=self.device)
            self._episodes.forget(self._starts.bool())
        return result

    @torch.no_grad()
    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        rollout_buffer: RolloutBuffer,
        n_rollout_steps: int,
    ) -> bool:
        """Fill the buffer; see :meth:`stable_baselines3.PPO.collect_rollouts`."""
        del env  # the engine behind it is stepped without it
        engine = self._engine
        rollout = cast("DeviceRollout", rollout_buffer)
        observations = cast("Tensor", self._last_obs)
        self.policy.set_training_mode(False)
        rollout.reset()
        callback.on_rollout_start()
        for _ in range(n_rollout_steps):
            actions, values, log_probs = sample(self.policy, observations)
            rewards, over = self._step(engine, actions)
            self.num_timesteps += self.n_envs
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            rollout.add(observations, actions, rewards, self._starts, values, log_probs)
            observations = self._observations(engine)
            self._starts = over.float()
        last_values = heads(self.policy, observations)[1]
        rollout.compute_returns_and_advantage(last_values, self._starts)
        self._last_obs = cast("Any", observations)
        self._log_episodes()
        callback.on_rollout_end()
        return True

    def _step(self, engine: TorchEngine, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Scaled rewards and episode ends of one step; finished episodes begin anew."""
        record = engine.step(actions.reshape(engine.lanes, engine.agents))
        earned = cast("Tensor", record.rewards).reshape(-1)
        over = cast("Tensor", record.truncated).repeat_interleave(engine.agents)
        rewards = self._scale(earned, over)
        self._episodes.add(earned, over)
        if engine.may_have_ended:
            if self.gamma > 0.0:  # a time limit is no end: its value counts on
                last = heads(self.policy, self._observations(engine))[1]
                rewards += self.gamma * last * over
            engine.restart()
        return rewards, over

    def _observations(self, engine: TorchEngine) -> Tensor:
        return cast("Tensor", engine.observe()).reshape(self.n_envs, -1)

    def _log_episodes(self) -> None:
        figures = self._episodes.take()
        self.logger.record(f"rollout/{REWARD}", figures["reward"])
        if "return" in figures and self.ep_info_buffer is not None:
            self.ep_info_buffer.clear()
            self.ep_info_buffer.append({"r": figures["return"], "l": figures["length"]})

    def train(self) -> None:
        """Update the policy with the buffer; the losses are those of PPO's own ``train``."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        rollout = cast("DeviceRollout", self.rollout_buffer)
        epochs = []
        for _ in range(self.n_epochs):
            figures = [self.update(batch) for batch in rollout.get(self.batch_size)]
            epochs.append(torch.stack(figures))
        self._n_updates += self.n_epochs
        self._log_update(epochs, explained_variance(rollout.values, rollout.returns))

    def update(self, batch: RolloutBufferSamples) -> Tensor:
        """One step of the optimiser; returns the :class:`Figures`.  # (figures,) float32."""
        figures = self.losses(batch)
        self.policy.optimizer.zero_grad()
        figures.loss.backward()  # type: ignore[no-untyped-call] # torch carries no type here
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
        self.policy.optimizer.step()
        return torch.stack(figures).detach()

    def losses(self, batch: RolloutBufferSamples) -> Figures:
        """The clipped objective (Schulman et al. 2017, equation 9) and what is logged with it."""
        log_probs, values = heads(self.policy, batch.observations)
        entropy = -(log_probs.exp() * log_probs).sum(dim=1)
        advantages = batch.advantages
        if self.normalize_advantage and len(advantages) > 1:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        clip = cast("Any", self.clip_range)(self._current_progress_remaining)
        log_ratio = _of(log_probs, batch.actions) - batch.old_log_prob
        ratio = log_ratio.exp()
        clipped = advantages * ratio.clamp(1.0 - clip, 1.0 + clip)
        policy_loss = -torch.min(advantages * ratio, clipped).mean()
        value_loss = functional.mse_loss(batch.returns, values)
        entropy_loss = -entropy.mean()
        return Figures(
            policy_loss + self.ent_coef * entropy_loss + self.vf_coef * value_loss,
            policy_loss,
            value_loss,
            entropy_loss,
            ((ratio - 1.0) - log_ratio).mean().detach(),
            ((ratio - 1.0).abs() > clip).float().mean(),
        )

    def _log_update(self, epochs: list[Tensor], explained: Tensor) -> None:
        means = torch.cat(epochs).mean(dim=0)
        means[Figures._fields.index("approx_kl")] = epochs[-1][
            :, Figures._fields.index("approx_kl")
        ].mean()
        means[0] = epochs[-1][-1, 0]  # like SB3: the loss of the last minibatch
        logged = dict(zip(Figures._fields, means.tolist(), strict=True))
        logged["explained_variance"] = float(explained)
        logged["clip_range"] = cast("Any", self.clip_range)(self._current_progress_remaining)
        if not np.isfinite(logged["loss"]):
            raise DivergedError(
                f"the loss is {logged['loss']} after {self.num_timesteps} agent-steps; lower "
                "--learning-rate"
            )
        for name, value in logged.items():
            self.logger.record(f"train/{name}", value)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")

    def stream_state(self) -> dict[str, AnyArray]:
        """What the trainer knows of its lanes, under the names of the path "native"."""
        starts, scale, episodes = self._starts.bool(), self._scale, self._episodes
        tensors = {
            "model.last_obs": self._last_obs,
            "model.last_episode_starts": starts,
            "normalizer.returns": scale.returns,
            "normalizer.moments": torch.stack([scale.mean, scale.var, scale.count]),
            "monitor.returns": episodes.returns,
            "monitor.lengths": episodes.lengths,
        }
        arrays = {name: cast("Tensor", tensor).cpu().numpy() for name, tensor in tensors.items()}
        lanes = self._engine.get_state()
        return arrays | {f"lanes.{name}": array for name, array in lanes.items()}

    def set_stream_state(self, arrays: dict[str, AnyArray]) -> None:
        """Go back to what :meth:`stream_state` gave.

        Raises:
            KeyError: If something is missing.
            RuntimeError: If something has another shape.
            StateError: If the lanes are those of another environment.
        """
        scale, episodes = self._scale, self._episodes
        for moment, value in zip(
            (scale.mean, scale.var, scale.count), arrays["normalizer.moments"], strict=True
        ):
            moment.fill_(float(value))
        for tensor, name in (
            (scale.returns, "normalizer.returns"),
            (episodes.returns, "monitor.returns"),
            (episodes.lengths, "monitor.lengths"),
            (self._starts, "model.last_episode_starts"),
            (cast("Tensor", self._last_obs), "model.last_obs"),
        ):
            tensor.copy_(torch.tensor(arrays[name]))
        lanes = {n.removeprefix("lanes."): a for n, a in arrays.items() if n.startswith("lanes.")}
        self._engine.set_state(lanes)

    @property
    def reward_unit(self) -> float:
        """Rewards per unit of the value function's target, as of the last rollout."""
        return float(self._scale.unit * cast("DeviceRollout", self.rollout_buffer).unit)

    @property
    def _engine(self) -> TorchEngine:
        return cast("DeviceVecEnv", self.get_env()).engine

"""PPO whose rollouts never leave the training device.

Policy, optimiser, schedules, logging and checkpoints are SB3's own; collecting and learning are
written without a point at which the host waits for the device, but for one per rollout and one
per update, where the figures are logged.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from marl_stl_agents.algorithms.constraints import PricedPPO
from marl_stl_agents.algorithms.device.env import DeviceVecEnv
from marl_stl_agents.algorithms.device.heads import heads, sample
from marl_stl_agents.algorithms.device.losses import Figures, losses
from marl_stl_agents.algorithms.device.rollout import DeviceRollout, Facts, TeamShape
from marl_stl_agents.algorithms.device.shaping import DeviceShaping
from marl_stl_agents.algorithms.device.statistics import (
    EpisodeStatistics,
    RewardScale,
    SpecStatistics,
    explained_variance,
)
from marl_stl_agents.algorithms.device.stream import set_stream_state, stream_state
from marl_stl_agents.algorithms.multipliers import PIDMultipliers
from marl_stl_agents.buffers.credit import CreditRule
from marl_stl_agents.config import ConstraintConfig
from marl_stl_agents.metric_names import REWARD
from marl_stl_env.engine.state import StepRecord
from marl_stl_env.engine.torch_engine import TorchEngine
from marl_stl_env.errors import DivergedError
from marl_stl_env.types import AnyArray, Float64Array


class DevicePPO(PricedPPO):
    """SB3's PPO on an environment whose engine lives on the training device.

    The environment is a :class:`marl_stl_agents.algorithms.device.env.DeviceVecEnv`. It learns as
    :class:`~marl_stl_agents.algorithms.constraints.LagrangianPPO` does where specifications are
    priced.

    Args:
        args: PPO's.
        credit: Which later rewards and costs an action answers for.
        constraints: The settings of prices and shaping.
        scaling: Whether rewards are divided by the running deviation of the return.
        shaping: Whether satisfying specifications is rewarded.
        settings: PPO's.

    Attributes:
        last_rewards: Unscaled rewards of the last step, shaping included.
            # (lanes * agents,) float32
    """

    def __init__(
        self,
        *args: Any,
        credit: CreditRule | None = None,
        constraints: ConstraintConfig | None = None,
        scaling: bool = True,
        shaping: bool = False,
        **settings: Any,
    ) -> None:
        self._credit, self._scaling = credit or CreditRule(), scaling
        self._constraints, self._shapes = constraints or ConstraintConfig(), shaping
        self._rates: Float64Array | None = None
        super().__init__(*args, **settings)

    def _setup_model(self) -> None:
        engine, credit = self._engine, self._credit
        task, entities = engine.config, engine.table.entities
        follows = credit.path == "entity" and entities is not None
        self.rollout_buffer_class = cast("type[RolloutBuffer]", DeviceRollout)
        team = TeamShape(
            task.agents,
            task.faults.faulty,
            task.deliberation == 1,
            int(entities.max()) + 1 if follows and entities is not None else 0,
        )
        self.rollout_buffer_kwargs = {"credit": credit, "team": team}
        super()._setup_model()
        device, lanes = self.device, engine.lanes
        self._entities = torch.tensor(entities, device=device).long() if follows else None
        self._priced = torch.tensor(credit.costs, dtype=torch.int64, device=device)
        specs = engine.spec_monitor.specifications if engine.spec_monitor is not None else ()
        self.names = tuple(specs[i].name for i in credit.costs)
        self.multipliers = PIDMultipliers(len(credit.costs), self._constraints)
        self.scale = RewardScale(self.n_envs, self.gamma, device, self._scaling)
        self.episodes = EpisodeStatistics(self.n_envs, device)
        self._specs = SpecStatistics([one.name for one in specs], device)
        self.shaping: DeviceShaping | None = None
        if self._shapes:
            self.shaping = DeviceShaping(specs, self._constraints, self.gamma, lanes, device)

    def _maybe_recommend_cpu(self, mlp_class_name: str = "ActorCriticPolicy") -> None:
        """Nothing: where rollouts stay on the device, a GPU is the better place."""

    def _setup_learn(self, *args: Any, **settings: Any) -> tuple[int, BaseCallback]:
        before = self._last_obs
        result = super()._setup_learn(*args, **settings)
        if self._last_obs is not before:
            self.scale.forget_returns()
            self.starts = torch.ones(self.n_envs, device=self.device)
            self.episodes.forget(self.starts.bool())
            if self.shaping is not None:
                self.shaping.forget()
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
            rewards, over, facts = self._step(engine, actions)
            self.num_timesteps += self.n_envs
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            rollout.add(observations, actions, rewards, self.starts, values, log_probs, facts)
            observations = self._observations(engine)
            self.starts = over.float()
        last_values = heads(self.policy, observations)[1]
        rollout.compute_returns_and_advantage(last_values, self.starts)
        self._last_obs = cast("Any", observations)
        self._log_episodes()
        callback.on_rollout_end()
        if self.names:
            rollout.price(self.multipliers.values)
        return True

    def _step(self, engine: TorchEngine, actions: Tensor) -> tuple[Tensor, Tensor, Facts]:
        """Scaled rewards, episode ends and facts of one step; finished episodes begin anew."""
        record = engine.step(actions.reshape(engine.lanes, engine.agents))
        earned = cast("Tensor", record.rewards).reshape(-1)
        over = self._of_sensors(record.truncated)
        voting = self._of_sensors(record.voting) if engine.config.deliberation else None
        self.episodes.add(earned, over, voting)
        self.last_rewards = earned
        if self.shaping is not None:
            worth = self._of_sensors(self.shaping(record))
            self.last_rewards = (earned + worth).float()
        rewards = self.scale(self.last_rewards, over)
        facts = self._facts(record)
        if engine.may_have_ended:
            if engine.spec_monitor is not None:
                self._specs.add(record)
            if self.gamma > 0.0:  # a time limit is no end: its value counts on
                last = heads(self.policy, self._observations(engine))[1][:, 0]
                rewards += self.gamma * last * over
            engine.restart()
        return rewards, over, facts

    def _facts(self, record: StepRecord) -> Facts:
        faulty, voting, rows, violated = (
            cast("Tensor", array)
            for array in (record.faulty, record.voting, record.rows, record.newly_violated)
        )
        entities = None if self._entities is None else self._entities[rows]
        return Facts(faulty, voting, entities, violated.index_select(1, self._priced))

    def _of_sensors(self, per_lane: Any) -> Tensor:
        spread: Tensor = per_lane.repeat_interleave(self._engine.agents)
        return spread

    def _observations(self, engine: TorchEngine) -> Tensor:
        return cast("Tensor", engine.observe()).reshape(self.n_envs, -1)

    def _log_episodes(self) -> None:
        figures = self.episodes.take()
        if "reward" in figures:
            self.logger.record(f"rollout/{REWARD}", figures["reward"])
        if "return" in figures and self.ep_info_buffer is not None:
            self.ep_info_buffer.clear()
            self.ep_info_buffer.append({"r": figures["return"], "l": figures["length"]})
        satisfied, rates = self._specs.take()
        for name, value in satisfied.items():
            self.logger.record(name, value)
        self._rates = None if rates is None else rates[list(self._credit.costs)]

    def sampled_rates(self) -> Float64Array | None:
        """Violation rates of the episodes that the last rollout finished; None without any."""
        return self._rates

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
        observations, values, returns = rollout.learned_from()
        self._log_update(epochs, explained_variance(values, returns))
        if self.names:
            self.logger.record("train/value_loss", self._reward_loss(observations, returns))
            self.log_multipliers()

    @torch.no_grad()
    def _reward_loss(self, observations: Tensor, returns: Tensor) -> float:
        """The loss of the reward's value function after the update."""
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        parts = (torch.split(array, self.batch_size) for array in (observations, returns))
        for seen, wanted in zip(*parts, strict=True):
            errors = heads(self.policy, seen)[1][:, 0] - wanted
            total += errors.double().square().sum()
        return float(total) / len(returns)

    def update(self, batch: RolloutBufferSamples) -> Tensor:
        """One step of the optimiser; returns the :class:`Figures`.  # (figures,) float32."""
        figures = self.losses(batch)
        self.policy.optimizer.zero_grad()
        figures.loss.backward()  # type: ignore[no-untyped-call] # torch carries no type here
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
        self.policy.optimizer.step()
        return torch.stack(figures).detach()

    def losses(self, batch: RolloutBufferSamples) -> Figures:
        """What :func:`~marl_stl_agents.algorithms.device.losses.losses` gives with its settings."""
        clip = cast("Any", self.clip_range)(self._current_progress_remaining)
        weights = (self.ent_coef, self.vf_coef)
        return losses(self.policy, batch, clip, weights, normalized=self.normalize_advantage)

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
        return stream_state(self, self._engine, cast("Tensor", self._last_obs))

    def set_stream_state(self, arrays: dict[str, AnyArray]) -> None:
        """Go back to what :meth:`stream_state` gave.

        Raises:
            KeyError: If something is missing.
            RuntimeError: If something has another shape.
            StateError: If the lanes are those of another environment.
        """
        set_stream_state(self, self._engine, cast("Tensor", self._last_obs), arrays)

    @property
    def reward_unit(self) -> float:
        """Rewards per unit of the value function's target, as of the last rollout."""
        return float(self.scale.unit * cast("DeviceRollout", self.rollout_buffer).unit)

    @property
    def _engine(self) -> TorchEngine:
        return cast("DeviceVecEnv", self.get_env()).engine

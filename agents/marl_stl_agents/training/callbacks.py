"""What happens between the iterations of a training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import unwrap_vec_wrapper

from marl_stl_agents.algorithms.constraints import PricedPPO
from marl_stl_agents.algorithms.device.ppo import DevicePPO
from marl_stl_agents.algorithms.ppo import reward_unit
from marl_stl_agents.algorithms.shaping import SpecShaping
from marl_stl_agents.checkpoints.store import save_checkpoint
from marl_stl_agents.checkpoints.trainer_state import capture
from marl_stl_agents.config import TrainConfig
from marl_stl_agents.diagnostics.checklist import ITERATIONS
from marl_stl_agents.evaluation.metrics import action_shares, score
from marl_stl_agents.evaluation.rollouts import collect_rollout, greedy
from marl_stl_agents.evaluation.stl import CHECKPOINT_EPISODES, FRESH_SEEDS, watch
from marl_stl_agents.metric_names import EXCESS, REWARD
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.envs.base import team_env
from marl_stl_env.stl.specs import CONJUNCTION
from marl_stl_env.types import BoolArray, Float32Array, Float64Array


class RewardCallback(BaseCallback):
    """Logs the mean unscaled reward of a sensor's vote while it samples its actions."""

    def __init__(self) -> None:
        super().__init__()
        self._rewards: list[float] = []

    def _on_step(self) -> bool:
        venv = self.model.get_vec_normalize_env()
        if venv is not None:
            shaping = unwrap_vec_wrapper(venv, SpecShaping)
            bare = venv.get_original_reward() if shaping is None else shaping.bare_rewards
            votes = bare[team_env(venv).last_step.voting]
            if votes.size:
                self._rewards.append(float(votes.mean()))
        return True

    def _on_rollout_end(self) -> None:
        if self._rewards:
            self.logger.record(f"rollout/{REWARD}", sum(self._rewards) / len(self._rewards))
        self._rewards.clear()


class ValueLossCallback(BaseCallback):
    """Logs the value loss of every update in reward units too, where runs can be compared."""

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        # What an update logged is in the logger until the next rollout is done.
        loss = self.logger.name_to_value.get("train/value_loss")
        if loss is not None and isinstance(self.model, OnPolicyAlgorithm):
            unit = reward_unit(self.model)
            self.logger.record("train/value_loss_reward_units", loss * unit**2)

    def _on_training_end(self) -> None:
        self._on_rollout_start()


class SpecsCallback(BaseCallback):
    """Logs satisfaction and robustness of the specifications in a rollout's finished episodes.

    Where rollouts stay on a device, their trainer does.
    """

    def __init__(self) -> None:
        super().__init__()
        self._satisfied: list[BoolArray] = []
        self._robustness: list[Float32Array] = []

    def _on_step(self) -> bool:
        if isinstance(self.model, DevicePPO):
            return True
        lanes = team_env(self.model.get_env())
        over = self.locals["dones"][:: lanes.agents]
        if over.any():
            last = lanes.last_step
            self._satisfied.append(~last.violated[over])
            self._robustness.append(last.robustness[over])
        return True

    def _on_rollout_end(self) -> None:
        if not self._satisfied:
            return
        satisfied, robustness = np.concatenate(self._satisfied), np.concatenate(self._robustness)
        for i, one in enumerate(team_env(self.model.get_env()).specs):
            self.logger.record(f"stl/satisfied/{one.name}", float(satisfied[:, i].mean()))
            self.logger.record(f"stl/robustness/{one.name}", float(robustness[:, i].mean()))
        self.logger.record(f"stl/satisfied/{CONJUNCTION}", float(satisfied.all(axis=1).mean()))
        self._satisfied.clear()
        self._robustness.clear()


class EntropyCallback(BaseCallback):
    """Moves the weight of the entropy bonus from its first to its last value in equal steps.

    Args:
        first: The weight in the first iteration.
        last: The weight in the last.
        iterations: Iterations of the training.
    """

    def __init__(self, first: float, last: float, iterations: int) -> None:
        super().__init__()
        self._first, self._last, self._steps = first, last, max(iterations - 1, 1)

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        share = min((iterations_done(self.model) - 1) / self._steps, 1.0)
        weight = self._first + (self._last - self._first) * share
        setattr(self.model, "ent_coef", weight)  # noqa: B010 - SB3 types it on PPO alone
        self.logger.record("train/entropy_coefficient", weight)


class ViolationRatesCallback(BaseCallback):
    """Measures how often the team violates each priced specification, and tells the multipliers.

    Sampled actions violate specifications that the most probable ones never do, so that prices
    would go to the wrong ones; greedy episodes are what is deployed.

    Args:
        config: The run.
        table: The scaled training table.
    """

    def __init__(self, config: TrainConfig, table: TrafficTable) -> None:
        super().__init__()
        self._config, self._table = config, table

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        model, settings = self.model, self._config.constraints
        if not isinstance(model, PricedPPO) or not model.names:
            return
        if settings.rates == "sampled":
            rates = model.sampled_rates()
            if rates is not None:
                model.measured(rates)
        elif (iterations_done(model) - 1) % settings.measure_every == 0:
            model.measured(self._greedy_rates(model))

    def _greedy_rates(self, model: PricedPPO) -> Float64Array:
        """On episodes whose seeds no lane of the training has.  # (costs,) float64."""
        first = FRESH_SEEDS + iterations_done(model) * self._config.constraints.measure_episodes
        act, episodes = greedy(model.policy), self._config.constraints.measure_episodes
        watched = watch(self._config.task, self._table, act, episodes, first)
        violated = (~watched.satisfied).mean(axis=0)
        return np.array([violated[watched.names.index(name)] for name in model.names])


def iterations_done(model: BaseAlgorithm) -> int:
    """Rollouts that were collected, the one that has just ended included."""
    if not isinstance(model, OnPolicyAlgorithm):
        raise TypeError(f"a training is PPO's, not that of {type(model).__name__}")
    return model.num_timesteps // (model.n_steps * model.n_envs)


def training_callbacks(config: TrainConfig, table: TrafficTable) -> list[BaseCallback]:
    """What a run logs and moves between its rollouts and updates.

    Args:
        config: The run.
        table: The scaled training table.
    """
    callbacks: list[BaseCallback] = [RewardCallback(), ValueLossCallback()]
    if config.rollouts.stl.monitor:
        callbacks.append(SpecsCallback())
    if config.stl == "lagrangian":
        callbacks.append(ViolationRatesCallback(config, table))
    first, last = config.ppo.entropy_coefficient, config.ppo.final_entropy_coefficient
    if last is not None:
        callbacks.append(EntropyCallback(first, last, config.iterations))
    return callbacks


class CheckpointCallback(BaseCallback):
    """Logs every iteration; evaluates the greedy team on validation and saves a checkpoint.

    Args:
        run: The run directory.
        config: The run; the last iteration always makes a checkpoint, and so do those after which
            the checklist is due.
        table: The scaled validation table.
        report: Called with the agent-steps and the metrics of each rollout, before it is saved.

    Attributes:
        stop: Set to True, by a signal handler say, to save and stop after the current iteration.
    """

    def __init__(
        self,
        run: Path,
        config: TrainConfig,
        table: TrafficTable,
        report: Callable[[int, dict[str, Any]], None],
    ) -> None:
        super().__init__()
        self._run, self._config, self._table = run, config, table
        self._report = report
        self._begun_at = 0
        self.stop = False
        self._stopped = False

    def _on_training_start(self) -> None:
        self._begun_at = self.num_timesteps

    def _on_rollout_start(self) -> None:
        # A rollout starts once the iteration before it has been learned from.
        if self.num_timesteps == self._begun_at:
            return
        iteration = iterations_done(self._ppo)
        due = iteration % self._config.evaluate_every == 0 or iteration in ITERATIONS
        self._close_iteration(evaluate=self.stop or due)
        self._stopped = self.stop

    def _on_step(self) -> bool:
        return not self._stopped

    def _on_training_end(self) -> None:
        if not self._stopped:
            self._close_iteration(evaluate=True)

    @property
    def _ppo(self) -> OnPolicyAlgorithm:
        if not isinstance(self.model, OnPolicyAlgorithm):
            raise TypeError(f"checkpoints are of PPO, not of {type(self.model).__name__}")
        return self.model

    def _close_iteration(self, evaluate: bool) -> None:
        """Log the iteration with its update and, where it is evaluated, save it afterwards.

        In this order a checkpoint is never without its row in the log.
        """
        figures = self._evaluate() if evaluate else None
        self._ppo.dump_logs()
        if figures is not None:
            policy, state = self._ppo.policy, capture(self._ppo)
            save_checkpoint(self._run, policy, self.num_timesteps, figures, state)

    def _evaluate(self) -> dict[str, Any]:
        policy = self._ppo.policy
        policy.set_training_mode(False)
        env, act = self._config.task, greedy(policy)
        rollout = collect_rollout(env, self._table, act)
        metrics = score(
            self._table.labels,
            rollout.decisions,
            env.reward,
            rollout.scores,
            rollout.rewards,
        ).as_dict()
        logged = {**metrics, **action_shares(rollout.decisions)}
        if self._config.task.stl.monitor:
            watched = watch(env, self._table, act, CHECKPOINT_EPISODES)
            logged |= watched.shares()
            if self._config.enforced:
                metrics[EXCESS] = watched.excess(self._config.constraints.budget)
        for name, value in logged.items():
            self.logger.record(f"validation/{name.lower()}", value)
        self._report(self.num_timesteps, metrics)
        return metrics

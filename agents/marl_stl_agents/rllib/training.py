"""Training with RLlib: same environment, network and files as the other backends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from stable_baselines3.common.logger import Logger

from marl_stl_agents.checkpoints.policy import load_weights
from marl_stl_agents.checkpoints.store import (
    load_trainer,
    newest_checkpoint,
    save_checkpoint,
)
from marl_stl_agents.checkpoints.trainer_state import TrainerState
from marl_stl_agents.config import TrainConfig
from marl_stl_agents.console.tables import show_progress
from marl_stl_agents.diagnostics.log import LOGGERS, LoggerLike, open_log
from marl_stl_agents.evaluation.metrics import action_shares, score
from marl_stl_agents.evaluation.rollouts import collect_rollout, greedy
from marl_stl_agents.evaluation.stl import CHECKPOINT_EPISODES, watch
from marl_stl_agents.metric_names import REWARD
from marl_stl_agents.policies.build import make_blueprint
from marl_stl_agents.rllib.algorithm import algorithm_config, reward_scale
from marl_stl_agents.rllib.optimizer import MODULE, moments, set_moments
from marl_stl_env.config import EnvConfig
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.spaces import observation_space
from marl_stl_env.errors import DivergedError, RunError
from marl_stl_env.types import AnyArray

_PREFIX = "policy."


class ClusterTrainer:
    """RLlib's algorithm with the checkpoints of this project.

    Args:
        config: The run.
        run: The run directory; training continues from its newest checkpoint.
        prepared: The data of the run.
    """

    def __init__(self, config: TrainConfig, run: Path, prepared: PreparedData) -> None:
        self._config, self._run = config, run
        self._validation = prepared.tables["validation"]
        train = prepared.tables["train"]
        space = observation_space(Engine(config.task, train, lanes=1))
        blueprint = make_blueprint(config, space, train)
        self._policy = blueprint.build(space, torch.device("cpu"))
        checkpoint = newest_checkpoint(run)
        self.timesteps = checkpoint.timesteps if checkpoint else 0
        self.iteration = 0
        self.algorithm = algorithm_config(config, blueprint, self.timesteps).build_algo()
        if checkpoint is not None:
            load_weights(checkpoint, self._policy)
            self._restore(load_trainer(checkpoint))

    def train(self, logger: Logger) -> None:
        """One rollout of all runners and its update.

        Raises:
            DivergedError: If the loss is not finite.
        """
        result = self.algorithm.train()
        losses = result["learners"][MODULE]
        if not np.isfinite(losses["total_loss"]):
            raise DivergedError(
                f"the loss is {losses['total_loss']} after {self.timesteps} agent-steps; lower "
                "--learning-rate"
            )
        self.iteration += 1
        self.timesteps += int(result["env_runners"]["num_env_steps_sampled"])
        scale = reward_scale(self._config.task.reward)
        logged = {
            "time/total_timesteps": self.timesteps,
            f"rollout/{REWARD}": result["env_runners"]["scaled_reward"] * scale,
            "train/value_loss": losses["vf_loss"],
            "train/policy_gradient_loss": losses["policy_loss"],
            "train/entropy_loss": -losses["entropy"],
            "train/explained_variance": losses["vf_explained_var"],
            "time/runners": self.algorithm.env_runner_group.num_healthy_remote_workers(),
        }
        for name, value in logged.items():
            logger.record(name, float(value))

    def evaluate(self, logger: Logger) -> dict[str, Any]:
        """Evaluate the greedy team on the validation split, and log it."""
        self._policy.load_state_dict(self._weights())
        config: EnvConfig = self._config.task
        act = greedy(self._policy)
        rollout = collect_rollout(config, self._validation, act)
        metrics = score(
            self._validation.labels,
            rollout.decisions,
            config.reward,
            rollout.scores,
            rollout.rewards,
        )
        figures = metrics.as_dict()
        logged = {**figures, **action_shares(rollout.decisions)}
        if config.stl.monitor:
            logged |= watch(config, self._validation, act, CHECKPOINT_EPISODES).shares()
        for name, value in logged.items():
            logger.record(f"validation/{name.lower()}", value)
        return figures

    def save(self, figures: dict[str, Any]) -> None:
        """Save a checkpoint with its metrics on the validation split."""
        state = TrainerState(self._moments(), {"iteration": self.iteration})
        save_checkpoint(self._run, self._policy, self.timesteps, figures, state)
        show_progress(self.timesteps, figures)

    def _weights(self) -> dict[str, torch.Tensor]:
        state = self.algorithm.learner_group.get_weights()[MODULE]
        return {name.removeprefix(_PREFIX): torch.as_tensor(value) for name, value in state.items()}

    def _moments(self) -> dict[str, AnyArray]:
        first, *_ = self.algorithm.learner_group.foreach_learner(moments)
        arrays: dict[str, AnyArray] = first.get()
        return arrays

    def _restore(self, state: TrainerState) -> None:
        self.iteration = int(state.facts["iteration"])
        weights = {f"{_PREFIX}{k}": v.numpy() for k, v in self._policy.state_dict().items()}
        group = self.algorithm.learner_group
        group.set_weights({MODULE: weights})
        for result in group.foreach_learner(set_moments, arrays=state.arrays):
            if not result.ok:
                raise RunError(
                    f"the checkpoint does not fit the run's configuration: {result.get()!r}; "
                    "begin anew with --restart"
                )
        self.algorithm.env_runner_group.sync_weights(from_worker_or_learner_group=group)


class StopFlag(Protocol):
    """Something whose ``stop`` turns true when training is to stop after its iteration."""

    stop: bool


def learn(
    config: TrainConfig,
    run: Path,
    prepared: PreparedData,
    flag: StopFlag,
    loggers: Sequence[LoggerLike] = LOGGERS,
) -> bool:
    """Train from the newest checkpoint on, or from scratch.

    The process must be connected; see :func:`marl_stl_agents.rllib.cluster.cluster`.

    Args:
        config: The run.
        run: The run directory.
        prepared: The data of the run.
        flag: Stops training after the iteration in which its ``stop`` turns true.
        loggers: What is logged to.

    Returns:
        Whether all iterations are done.

    Raises:
        DivergedError: If the loss is not finite.
    """
    trainer = ClusterTrainer(config, run, prepared)
    logger = open_log(run, trainer.timesteps, loggers)
    try:
        while trainer.iteration < config.iterations and not flag.stop:
            trainer.train(logger)
            due = trainer.iteration % config.evaluate_every == 0 or flag.stop
            evaluated = due or trainer.iteration == config.iterations
            figures = trainer.evaluate(logger) if evaluated else None
            logger.dump(trainer.timesteps)
            if figures is not None:
                trainer.save(figures)
    finally:
        trainer.algorithm.stop()
        logger.close()
    return trainer.iteration == config.iterations

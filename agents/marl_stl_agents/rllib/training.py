"""The second engine: RLlib's PPO on a Ray cluster, same environment, same network, same files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.logger import Logger, configure

from marl_stl_agents.checkpoints.policy import load_weights
from marl_stl_agents.checkpoints.store import (
    load_trainer,
    newest_checkpoint,
    save_checkpoint,
)
from marl_stl_agents.checkpoints.trainer_state import TrainerState
from marl_stl_agents.config import TrainConfig
from marl_stl_agents.console.tables import rotate_progress, show_progress
from marl_stl_agents.evaluation.metrics import action_shares, score
from marl_stl_agents.evaluation.rollouts import collect_rollout, greedy
from marl_stl_agents.policies.build import Blueprint, make_blueprint
from marl_stl_env.config import EnvConfig, RewardConfig
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.spaces import observation_space
from marl_stl_env.errors import ClusterError, DivergedError, MissingLibraryError, RunError
from marl_stl_env.types import AnyArray

_MODULE, _PREFIX, _OPTIMIZER = "default_policy", "policy.", "optimizer."
_ENVIRONMENT = "marl_stl_env/team"
_OBJECT_STORE = 500_000_000


@contextmanager
def cluster(config: TrainConfig) -> Iterator[None]:
    """A connection to the Ray cluster of the configuration, or a cluster of this machine's own.

    Where the process is connected already, that connection is used and left open.

    Raises:
        ClusterError: If no cluster answers at the address.
        MissingLibraryError: If Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingLibraryError("ray", "rllib") from error
    if ray.is_initialized():
        yield
        return
    if config.cluster.address:
        try:
            ray.init(address=config.cluster.address, log_to_driver=False)
        except ConnectionError as error:
            raise ClusterError(
                f"no Ray cluster answers at {config.cluster.address!r}: {error}; start one with "
                "`ray start --head`, or leave --address out for one on this machine"
            ) from error
    else:
        ray.init(
            num_cpus=config.cluster.runners + config.cluster.learners,
            object_store_memory=_OBJECT_STORE,
            include_dashboard=False,
            log_to_driver=False,
        )
    try:
        yield
    finally:
        ray.shutdown()


def reward_scale(reward: RewardConfig) -> float:
    """The largest reward or penalty of a vote, by which rewards are divided in training."""
    outcomes = (
        reward.true_positive,
        reward.true_negative,
        reward.false_positive,
        reward.false_negative,
    )
    return max(abs(outcome) for outcome in outcomes)


def make_environment(context: dict[str, Any]) -> Any:
    """What an environment runner steps; called in the runner's own process."""
    from marl_stl_agents.rllib.env import TeamVectorEnv

    return TeamVectorEnv(context["env"], context["lanes"], context["seed"], context["scale"])


def log_rewards(samples: list[Any], metrics_logger: Any, **others: Any) -> None:
    """Called by every runner after a rollout: the mean scaled reward of a sensor per event."""
    del others
    rewards = np.concatenate([np.asarray(episode.get_rewards()) for episode in samples])
    metrics_logger.log_value("scaled_reward", float(rewards.mean()), window=1)


def algorithm_config(config: TrainConfig, blueprint: Blueprint, done: int = 0) -> Any:
    """RLlib's configuration of the run.

    Args:
        config: The run.
        blueprint: The network.
        done: Agent-steps that an earlier part of the run has trained for.
    """
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.rllib.core.rl_module.rl_module import RLModuleSpec
    from ray.tune.registry import register_env

    from marl_stl_agents.rllib.module import TeamModule

    ppo, cloud = config.ppo, config.cluster
    lanes = config.lanes // cloud.runners
    context = {
        "env": config.task,
        "lanes": lanes,
        "seed": config.seed,
        "scale": reward_scale(config.task.reward),
    }
    rollout = ppo.n_steps * config.lanes * config.task.agents
    on_gpu = config.device == "cuda"
    register_env(_ENVIRONMENT, make_environment)
    return (
        PPOConfig()
        .environment(_ENVIRONMENT, env_config=context)
        .env_runners(
            num_env_runners=cloud.runners,
            num_envs_per_env_runner=lanes * config.task.agents,
            gym_env_vectorize_mode="vector_entry_point",
            rollout_fragment_length=ppo.n_steps,
        )
        .learners(num_learners=cloud.learners, num_gpus_per_learner=1 if on_gpu else 0)
        .fault_tolerance(restart_failed_env_runners=True)
        .callbacks(on_sample_end=log_rewards)
        .rl_module(
            rl_module_spec=RLModuleSpec(
                module_class=TeamModule, model_config={"blueprint": blueprint}
            )
        )
        .training(
            lr=_schedule(config, rollout, done),
            gamma=ppo.discount,
            lambda_=ppo.gae_lambda,
            train_batch_size_per_learner=rollout // max(cloud.learners, 1),
            minibatch_size=min(ppo.batch_size, rollout // max(cloud.learners, 1)),
            num_epochs=ppo.n_epochs,
            clip_param=ppo.clip_range,
            entropy_coeff=ppo.entropy_coefficient,
            vf_loss_coeff=ppo.value_coefficient,
            vf_clip_param=float("inf"),
            use_kl_loss=False,
            grad_clip=ppo.max_grad_norm,
            grad_clip_by="global_norm",
        )
        .debugging(seed=config.seed, log_level="ERROR")
    )


def _schedule(config: TrainConfig, rollout: int, done: int) -> Any:
    rate = config.ppo.learning_rate
    if config.ppo.schedule == "constant":
        return rate
    total = config.iterations * rollout
    return [[0, rate * (1.0 - done / total)], [max(total - done, 1), 0.0]]


class ClusterTrainer:
    """RLlib's algorithm, with our checkpoints.

    Args:
        config: The run.
        run: The run directory; the training goes on from its newest checkpoint.
        prepared: Its data.
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
            DivergedError: If the loss is not a number any more.
        """
        result = self.algorithm.train()
        losses = result["learners"][_MODULE]
        if not np.isfinite(losses["total_loss"]):
            raise DivergedError(
                f"the loss is {losses['total_loss']} after {self.timesteps} agent-steps; lower "
                "--learning-rate or --max-grad-norm"
            )
        self.iteration += 1
        self.timesteps += int(result["env_runners"]["num_env_steps_sampled"])
        scale = reward_scale(self._config.task.reward)
        logged = {
            "time/total_timesteps": self.timesteps,
            "rollout/reward_per_event": result["env_runners"]["scaled_reward"] * scale,
            "train/value_loss": losses["vf_loss"],
            "train/policy_gradient_loss": losses["policy_loss"],
            "train/entropy_loss": -losses["entropy"],
            "train/explained_variance": losses["vf_explained_var"],
            "time/runners": self.algorithm.env_runner_group.num_healthy_remote_workers(),
        }
        for name, value in logged.items():
            logger.record(name, float(value))

    def save(self, logger: Logger) -> None:
        """Evaluate the greedy team on the validation split and save a checkpoint."""
        self._policy.load_state_dict(self._weights())
        config: EnvConfig = self._config.task
        rollout = collect_rollout(config, self._validation, greedy(self._policy))
        metrics = score(self._validation.labels, rollout.decisions, config.reward, rollout.scores)
        figures = metrics.as_dict()
        for name, value in {**figures, **action_shares(rollout.decisions)}.items():
            logger.record(f"validation/{name.lower()}", value)
        state = TrainerState(self._moments(), {"iteration": self.iteration})
        save_checkpoint(self._run, self._policy, self.timesteps, figures, state)
        show_progress(self.timesteps, figures)

    def _weights(self) -> dict[str, torch.Tensor]:
        state = self.algorithm.learner_group.get_weights()[_MODULE]
        return {name.removeprefix(_PREFIX): torch.as_tensor(value) for name, value in state.items()}

    def _moments(self) -> dict[str, AnyArray]:
        first, *_ = self.algorithm.learner_group.foreach_learner(moments)
        arrays: dict[str, AnyArray] = first.get()
        return arrays

    def _restore(self, state: TrainerState) -> None:
        self.iteration = int(state.facts["iteration"])
        weights = {f"{_PREFIX}{k}": v.numpy() for k, v in self._policy.state_dict().items()}
        group = self.algorithm.learner_group
        group.set_weights({_MODULE: weights})
        for result in group.foreach_learner(set_moments, arrays=state.arrays):
            if not result.ok:
                raise RunError(f"the checkpoint is not of this configuration: {result.get()!r}")
        self.algorithm.env_runner_group.sync_weights(from_worker_or_learner_group=group)


def moments(learner: Any) -> dict[str, AnyArray]:
    """The moments of a learner's Adam, by parameter; called in the learner's process."""
    ((_, optimizer),) = learner.get_optimizers_for_module(_MODULE)
    return {
        f"{_OPTIMIZER}{number}.{name}": value.detach().cpu().numpy().copy()
        for number, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def set_moments(learner: Any, arrays: dict[str, AnyArray]) -> None:
    """Go on with the moments of :func:`moments`; called in the learner's process."""
    ((_, optimizer),) = learner.get_optimizers_for_module(_MODULE)
    content = optimizer.state_dict()
    content["state"] = {}
    for key, array in arrays.items():
        number, name = key.removeprefix(_OPTIMIZER).split(".", 1)
        content["state"].setdefault(int(number), {})[name] = torch.from_numpy(array.copy())
    optimizer.load_state_dict(content)


def learn(config: TrainConfig, run: Path, prepared: PreparedData, stopped: Any) -> bool:
    """Train from the newest checkpoint on, or from scratch; in a process that is connected.

    Args:
        config: The run.
        run: The run directory.
        prepared: Its data.
        stopped: Its attribute ``stop`` turns true when the training shall stop.

    Returns:
        Whether all iterations are done.

    Raises:
        DivergedError: If the loss is not a number any more.
    """
    rotate_progress(run)
    logger = configure(str(run), ["csv", "tensorboard"])
    trainer = ClusterTrainer(config, run, prepared)
    try:
        while trainer.iteration < config.iterations and not stopped.stop:
            trainer.train(logger)
            due = trainer.iteration % config.evaluate_every == 0 or stopped.stop
            if due or trainer.iteration == config.iterations:
                trainer.save(logger)
            logger.dump(trainer.timesteps)
    finally:
        trainer.algorithm.stop()
        logger.close()
    return trainer.iteration == config.iterations

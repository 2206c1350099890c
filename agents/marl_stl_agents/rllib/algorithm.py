"""RLlib's PPO with the settings of a run."""

from __future__ import annotations

from typing import Any

import numpy as np

from marl_stl_agents.config import TrainConfig
from marl_stl_agents.policies.build import Blueprint
from marl_stl_env.config import RewardConfig

_ENVIRONMENT = "marl_stl_env/team"


def reward_scale(reward: RewardConfig) -> float:
    """The largest reward or penalty of a vote, by which rewards are divided in training."""
    outcomes = (
        reward.true_positive,
        reward.true_negative,
        reward.false_positive,
        reward.false_negative,
    )
    return max(abs(outcome) for outcome in outcomes)


def algorithm_config(config: TrainConfig, blueprint: Blueprint, done: int = 0) -> Any:
    """RLlib's configuration of a run.

    Args:
        config: The run.
        blueprint: The network.
        done: Agent-steps that an earlier part of the run has trained for.
    """
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.rllib.core.rl_module.rl_module import RLModuleSpec
    from ray.tune.registry import register_env

    from marl_stl_agents.rllib.module import TeamModule

    cluster = config.cluster
    lanes = config.lanes // cluster.runners
    context = {
        "env": config.rollouts,
        "lanes": lanes,
        "seed": config.seed,
        "scale": reward_scale(config.task.reward),
    }
    gpus = 1 if config.device == "cuda" else 0
    module = RLModuleSpec(module_class=TeamModule, model_config={"blueprint": blueprint})
    register_env(_ENVIRONMENT, _make_environment)
    return (
        PPOConfig()
        .environment(_ENVIRONMENT, env_config=context)
        .env_runners(
            num_env_runners=cluster.runners,
            num_envs_per_env_runner=lanes * config.task.agents,
            gym_env_vectorize_mode="vector_entry_point",
            rollout_fragment_length=config.ppo.n_steps,
        )
        .learners(num_learners=cluster.learners, num_gpus_per_learner=gpus)
        .fault_tolerance(restart_failed_env_runners=True)
        .callbacks(on_sample_end=_log_rewards)
        .rl_module(rl_module_spec=module)
        .training(**_ppo_settings(config, done))
        .debugging(seed=config.seed, log_level="ERROR")
    )


def _ppo_settings(config: TrainConfig, done: int) -> dict[str, Any]:
    """Keywords of RLlib's ``PPOConfig.training``."""
    ppo = config.ppo
    rollout = ppo.n_steps * config.lanes * config.task.agents
    per_learner = rollout // max(config.cluster.learners, 1)
    return {
        "lr": _learning_rate(config, rollout, done),
        "gamma": ppo.discount,
        "lambda_": ppo.gae_lambda,
        "train_batch_size_per_learner": per_learner,
        "minibatch_size": min(ppo.batch_size, per_learner),
        "num_epochs": ppo.n_epochs,
        "clip_param": ppo.clip_range,
        "entropy_coeff": ppo.entropy_coefficient,
        "vf_loss_coeff": ppo.value_coefficient,
        "vf_clip_param": float("inf"),
        "use_kl_loss": False,
        "grad_clip": ppo.max_grad_norm,
        "grad_clip_by": "global_norm",
    }


def _learning_rate(config: TrainConfig, rollout: int, done: int) -> float | list[list[float]]:
    """A constant, or points (agent-steps, rate) between which RLlib interpolates."""
    rate = config.ppo.learning_rate
    if config.ppo.schedule == "constant":
        return rate
    total = config.iterations * rollout
    return [[0, rate * (1.0 - done / total)], [max(total - done, 1), 0.0]]


def _make_environment(context: dict[str, Any]) -> Any:
    """The environment of a runner; called in the runner's process."""
    from marl_stl_agents.rllib.env import TeamVectorEnv

    return TeamVectorEnv(context["env"], context["lanes"], context["seed"], context["scale"])


def _log_rewards(samples: list[Any], metrics_logger: Any, **others: Any) -> None:
    """Log a sensor's mean scaled reward per event; called by every runner after a rollout."""
    del others
    rewards = np.concatenate([np.asarray(episode.get_rewards()) for episode in samples])
    metrics_logger.log_value("scaled_reward", float(rewards.mean()), window=1)

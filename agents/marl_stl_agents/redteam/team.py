"""The team's side: a trained team as a fixed one, and its training against fixed attackers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from stable_baselines3.common.policies import ActorCriticPolicy

from marl_stl_agents.algorithms.ppo import make_model, wrapped
from marl_stl_agents.config import TrainConfig
from marl_stl_agents.evaluation.rollouts import greedy
from marl_stl_env.adversary.engine import Attack
from marl_stl_env.adversary.policies import AttackMixture, Choose, no_attack
from marl_stl_env.config import AdversaryConfig
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.envs.adversarial.sb3 import AttackedVecEnv
from marl_stl_env.errors import ConfigError
from marl_stl_env.types import Float32Array, Int8Array


def check_can_be_asked(config: TrainConfig) -> None:
    """Refuse teams that cannot say what they would do on an event that never came.

    Raises:
        ConfigError: If their sensors have a memory.
    """
    if config.ppo.policy == "lstm":
        raise ConfigError(
            "policy='lstm': an attacker asks a team about events that are never sent, and a "
            "memory would keep them; train the team with --policy mlp"
        )


def as_choose(policy: ActorCriticPolicy) -> Choose:
    """The most probable actions of a trained team."""
    act = greedy(policy)

    def choose(observations: Float32Array) -> Int8Array:
        return act(observations)[0]

    return choose


def train_team(
    config: TrainConfig,
    adversary: AdversaryConfig,
    prepared: PreparedData,
    attacks: Sequence[Attack],
    iterations: int,
    seed: int,
    start: ActorCriticPolicy,
) -> ActorCriticPolicy:
    """Train a team: in half of the lanes nobody attacks, in the others one of all attackers.

    Without the first half a team forgets what attacks look like that nobody disguises.

    Args:
        config: The run that the team comes from.
        adversary: The attackers.
        prepared: The data.
        attacks: Their policies.
        iterations: Rollouts, each followed by an update.
        seed: Seed of the actions and the lanes.
        start: The team to begin with.
    """
    anew = replace(config, seed=seed, iterations=iterations, backend="native", device="cpu")
    venv = AttackedVecEnv(
        anew.task,
        anew.lanes,
        seed,
        prepared,
        adversary=adversary,
        attack=AttackMixture([*[no_attack] * len(attacks), *attacks]),
        copy=False,
    )
    model = make_model(anew, wrapped(anew, venv), prepared.tables["train"], torch.device("cpu"))
    model.policy.load_state_dict(start.state_dict())
    model.learn(iterations * model.n_steps * model.n_envs)
    policy: ActorCriticPolicy = model.policy
    policy.set_training_mode(False)
    return policy

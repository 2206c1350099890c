"""One attacker's policy: trained by Stable-Baselines3's PPO, kept as plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.torch import save_file
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy

from marl_stl_agents.checkpoints.store import safetensor_errors
from marl_stl_env.adversary.policies import Choose, SampledAttack, TeamMixture
from marl_stl_env.config import AdversaryConfig, EnvConfig
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.envs.adversarial.sb3 import AttackerVecEnv
from marl_stl_env.errors import RunError
from marl_stl_env.files import atomic_path
from marl_stl_env.types import Float32Array, Float64Array

_LANES, _STEPS, _HIDDEN = 64, 64, [64, 64]
#: With a response, an attack is followed by what the team then does to its host.
_FORESIGHT = 0.9
_POINTS = 0.1  # rewards of some 10 in size become targets of some 1


class NextStepRewards(RolloutBuffer):
    """A rollout in which an action has the reward of the step after it.

    An attacker's action is on the event to come, which is evaluated one step later. The last
    action of a rollout, and of an episode, has none.
    """

    def compute_returns_and_advantage(
        self, last_values: torch.Tensor, dones: np.ndarray[Any, Any]
    ) -> None:
        """Shift the rewards, then estimate advantages as SB3 does."""
        self.rewards[:-1] = _POINTS * self.rewards[1:] * (1.0 - self.episode_starts[1:])
        self.rewards[-1] = _POINTS * 0.0
        super().compute_returns_and_advantage(last_values, dones)
        self.advantages[-1] = 0.0
        self.returns[-1] = self.values[-1]


def train_attacker(
    config: EnvConfig,
    adversary: AdversaryConfig,
    prepared: PreparedData,
    teams: Sequence[Choose],
    iterations: int,
    seed: int,
    start: ActorCriticPolicy | None = None,
) -> ActorCriticPolicy:
    """Train attackers against a uniform mixture of teams, on the training split.

    In a replay they meet attacks alone, and every action is judged by the event it was for. In a
    response they live in the whole stream.

    Args:
        config: The environment of the teams.
        adversary: The attackers; one network plays them all.
        prepared: The data.
        teams: The policies of the teams' sensors.
        iterations: Rollouts, each followed by an update.
        seed: Seed of the network, its actions and the lanes.
        start: A policy to begin with; None begins anew.
    """
    alone = config.dynamics == "replay"
    venv = AttackerVecEnv(
        TeamMixture(teams), config, _LANES, seed, prepared, adversary=adversary, attacks_only=alone
    )
    model = PPO(
        "MlpPolicy",
        venv,
        learning_rate=lambda remaining: 2e-3 * remaining,
        n_steps=_STEPS,
        batch_size=1024,
        n_epochs=5,
        gamma=0.0 if alone else _FORESIGHT,
        ent_coef=0.01,
        rollout_buffer_class=NextStepRewards,
        policy_kwargs={"net_arch": _HIDDEN},
        seed=seed,
        device="cpu",
    )
    if start is not None:
        model.policy.load_state_dict(start.state_dict())
    model.set_logger(Logger(None, []))  # else learn() leaves a folder in the system's temporary one
    model.learn(iterations * _STEPS * venv.num_envs)
    policy: ActorCriticPolicy = model.policy
    policy.set_training_mode(False)
    return policy


def attack_of(policy: ActorCriticPolicy) -> SampledAttack:
    """A trained attacker on an engine: it draws its actions, from the lanes' own streams."""

    def probabilities(observations: Float32Array) -> Float64Array:
        with torch.inference_mode():
            chosen = policy.get_distribution(torch.from_numpy(observations)).distribution
            found: Float64Array = chosen.probs.double().numpy()  # type: ignore[union-attr]
        return found

    return SampledAttack(probabilities)


def save_attacker(policy: ActorCriticPolicy, path: Path) -> None:
    """Write an attacker's weights, whole or not at all."""
    with safetensor_errors(path), atomic_path(path) as draft:
        save_file({k: v.contiguous() for k, v in policy.state_dict().items()}, draft)


def load_attacker(
    path: Path, observation_space: spaces.Box, action_space: spaces.Discrete
) -> ActorCriticPolicy:
    """The attacker whose weights a file holds.

    Raises:
        RunError: If the file is damaged, or its attacker sees or does other things.
    """
    policy = ActorCriticPolicy(observation_space, action_space, lambda _: 1e-3, net_arch=_HIDDEN)
    try:
        arrays = {name: torch.from_numpy(array) for name, array in load_file(path).items()}
        policy.load_state_dict(arrays)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        problem = str(error).splitlines()[0]
        raise RunError(f"{path} does not hold this attacker's weights: {problem}") from None
    policy.set_training_mode(False)
    return policy

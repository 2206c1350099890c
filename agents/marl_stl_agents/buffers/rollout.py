"""A rollout of honest transitions, with every event's rounds kept together."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.type_aliases import RolloutBufferSamples

from marl_stl_env.envs.base import LastStep, TeamVecEnv
from marl_stl_env.types import AnyArray, BoolArray, Float32Array


def generalised_advantages(
    rewards: Float32Array, values: Float32Array, discounts: AnyArray, gae_lambda: float
) -> Float32Array:
    """Generalised advantages (Schulman et al. 2016).

    Args:
        rewards: Rewards of the steps.  # (steps, n_envs) float32
        values: Values before every step and after the last.  # (steps + 1, n_envs) float32
        discounts: Discount of what follows each step, 0 at an episode's end.  # (steps, n_envs)
        gae_lambda: Lambda.

    Returns:
        Advantages.  # (steps, n_envs) float32
    """
    advantages = np.zeros_like(rewards)
    advantage = np.zeros(rewards.shape[1])
    for step in reversed(range(len(rewards))):
        error = rewards[step] + discounts[step] * values[step + 1] - values[step]
        advantage = error + discounts[step] * gae_lambda * advantage
        advantages[step] = advantage
    return advantages


class TeamRolloutBuffer(RolloutBuffer):
    """SB3's rollout buffer for teams with faulty sensors or with deliberation.

    Transitions of faulty sensors never leave the buffer: what a faulty sensor chose is not what
    the team heard, so they say nothing about the policy. Losses, the normalisation of advantages
    and the explained variance are those of the honest sensors alone.

    The discount counts from one event to the next. A proposal and the vote on the same event are
    one event: between them nothing is discounted, unless the vote's reward is none of the
    proposal's doing.

    Attributes:
        within_event: Discount from an event's proposal to its vote.
    """

    within_event: float = 1.0

    tensors: tuple[str, ...] = (
        "observations", "actions", "values", "log_probs", "advantages", "returns",
    )  # fmt: skip

    def __init__(self, *args: Any, **settings: Any) -> None:
        self._env: TeamVecEnv | None = None
        super().__init__(*args, **settings)

    def watch(self, env: TeamVecEnv, within_event: float = 1.0) -> None:
        """Take the facts of each step from this environment, from the next rollout on.

        A policy that was exported and is trained on elsewhere has no such environment; there every
        transition is an honest vote.

        Args:
            env: The environment that is stepped, without its wrappers.
            within_event: Discount from an event's proposal to its vote.
        """
        self._env, self.within_event = env, within_event

    def reset(self) -> None:
        """Forget all transitions."""
        super().reset()
        self.honest: BoolArray = np.ones((self.buffer_size, self.n_envs), dtype=np.bool_)
        self.voting: BoolArray = np.ones((self.buffer_size, self.n_envs), dtype=np.bool_)

    def add(self, *args: Any, **settings: Any) -> None:
        """Store the transitions of the step that the environment has just done."""
        if self._env is not None:
            self.record(self._env.last_step)
        super().add(*args, **settings)

    def record(self, step: LastStep) -> None:
        """Store the facts of the step."""
        self.honest[self.pos] = step.honest
        self.voting[self.pos] = step.voting

    def compute_returns_and_advantage(self, last_values: torch.Tensor, dones: AnyArray) -> None:
        """Generalised advantages (Schulman et al. 2016) with a discount of its own inside an event.

        Args:
            last_values: Values of the observations after the rollout.  # (n_envs,) float32
            dones: Whether the last step ended an episode.  # (n_envs,) bool
        """
        discounts = np.where(self.voting, self.gamma, self.within_event)
        goes_on = 1.0 - np.vstack([self.episode_starts[1:], dones[None].astype(np.float32)])
        values = np.vstack([self.values, last_values.cpu().numpy().reshape(1, -1)])
        self.advantages = generalised_advantages(
            self.rewards, values, discounts * goes_on, self.gae_lambda
        )
        self.returns = self.advantages + self.values

    def get(self, batch_size: int | None = None) -> Generator[RolloutBufferSamples, None, None]:
        """Minibatches of the honest transitions in random order."""
        if not self.generator_ready:
            honest = self.swap_and_flatten(self.honest)[:, 0]
            for name in self.tensors:
                setattr(self, name, self.swap_and_flatten(getattr(self, name))[honest])
            self.generator_ready = True
        # SB3 seeds NumPy's global generator and draws its minibatches from it.
        order = np.random.permutation(len(self.values))  # noqa: NPY002
        size = batch_size or len(order)
        for start in range(0, len(order), size):
            yield self._get_samples(order[start : start + size])

"""What a rollout leaves behind, as tensors on the training device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from gymnasium import spaces
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from torch import Tensor

_EPSILON, _CLIP = 1e-8, 10.0


class RewardScale:
    """The running reward scaling of SB3's ``VecNormalize``, in the same float64 arithmetic.

    Args:
        count: Streams of rewards (sensors of all lanes).
        discount: Discount of the returns whose variance is tracked.
        device: Where the statistics live.
        scaling: Whether rewards are scaled; without it there are only the statistics.

    Attributes:
        mean: Running mean of the discounted returns.  # () float64
        var: Their running variance.  # () float64
        count: Returns seen, 1e-4 at first.  # () float64
        returns: The discounted return of every stream so far.  # (count,) float64
    """

    def __init__(
        self, count: int, discount: float, device: torch.device, scaling: bool = True
    ) -> None:
        self._discount, self._scaling = discount, scaling
        self.mean = torch.zeros((), dtype=torch.float64, device=device)
        self.var = torch.ones_like(self.mean)
        self.count = torch.full_like(self.mean, 1e-4)
        self.returns = torch.zeros(count, dtype=torch.float64, device=device)

    def __call__(self, rewards: Tensor, over: Tensor) -> Tensor:
        """Take one step's rewards into the statistics and scale them.

        Args:
            rewards: Rewards of this step.  # (count,) float32
            over: Whether the stream's episode is over.  # (count,) bool

        Returns:
            Scaled rewards, clipped to ±10; without scaling, as they are.  # (count,) float32
        """
        self.returns.mul_(self._discount).add_(rewards)
        self._update()
        self.returns.masked_fill_(over, 0.0)
        return (rewards / self.unit).clamp(-_CLIP, _CLIP).float() if self._scaling else rewards

    @property
    def unit(self) -> Tensor:
        """What rewards are divided by now.  # () float64."""
        return torch.sqrt(self.var + _EPSILON) if self._scaling else torch.ones_like(self.var)

    def forget_returns(self) -> None:
        """Begin all returns anew, as a reset of every lane does."""
        self.returns.zero_()

    def _update(self) -> None:
        """Chan et al.'s parallel update, as in SB3's ``RunningMeanStd``."""
        number = self.returns.numel()
        total = self.count + number
        delta = self.returns.mean() - self.mean
        squares = self.var * self.count + self.returns.var(correction=0) * number
        self.var.copy_((squares + delta**2 * self.count * number / total) / total)
        self.mean.add_(delta * number / total)
        self.count.copy_(total)


class EpisodeStatistics:
    """Rewards, and returns and lengths of the episodes that ended, reduced on the device.

    Args:
        count: Streams of rewards.
        device: Where the sums live.

    Attributes:
        returns: Return of every open episode so far.  # (count,) float64
        lengths: Its steps so far.  # (count,) float64
    """

    def __init__(self, count: int, device: torch.device) -> None:
        self.returns = torch.zeros(count, dtype=torch.float64, device=device)
        self.lengths = torch.zeros_like(self.returns)
        self._ended = torch.zeros(3, dtype=torch.float64, device=device)
        self._rewards = torch.zeros(2, dtype=torch.float64, device=device)

    def add(self, rewards: Tensor, over: Tensor) -> None:
        """Take one step in.

        Args:
            rewards: Unscaled rewards.  # (count,) float32
            over: Whether the episode is over.  # (count,) bool
        """
        ones = torch.ones_like(self.returns)
        self.returns += rewards
        self.lengths += ones
        self._ended += (torch.stack([self.returns, self.lengths, ones]) * over).sum(dim=1)
        self._rewards += torch.stack([rewards * ones, ones]).sum(dim=1)
        self.forget(over)

    def forget(self, over: Tensor) -> None:
        """Begin these episodes anew.  # (count,) bool."""
        self.returns.masked_fill_(over, 0.0)
        self.lengths.masked_fill_(over, 0.0)

    def take(self) -> dict[str, float]:
        """The means since the last call: ``reward``, and ``return`` and ``length`` if any ended.

        This is the one place of a rollout where the host waits for the device.
        """
        returns, lengths, episodes, rewards, steps = torch.cat(
            [self._ended, self._rewards]
        ).tolist()
        self._ended.zero_()
        self._rewards.zero_()
        figures = {"reward": rewards / steps}
        if episodes:
            figures |= {"return": returns / episodes, "length": lengths / episodes}
        return figures


@dataclass
class DeviceRollout:
    """The rollout buffer: SB3's ``RolloutBuffer`` with tensors that never leave the device.

    Args:
        buffer_size: Steps.
        observation_space: Of one sensor.
        action_space: Of one sensor.
        device: Where the tensors live.
        gae_lambda: Lambda of generalised advantage estimation.
        gamma: Discount.
        n_envs: Sensors of all lanes.
        batch_returns: Give the returns mean 0 and variance 1, by the formula of
            :func:`marl_stl_agents.buffers.returns.normalize_returns`.

    Attributes:
        observations: (steps, n_envs, width) float32
        actions: (steps, n_envs) int64
        rewards: Scaled rewards.  # (steps, n_envs) float32
        episode_starts: 1 where an episode begins.  # (steps, n_envs) float32
        values: (steps, n_envs) float32
        log_probs: (steps, n_envs) float32
        advantages: (steps, n_envs) float32
        returns: (steps, n_envs) float32
        unit: What the returns were divided by.  # () float64
    """

    buffer_size: int
    observation_space: spaces.Box
    action_space: spaces.Discrete
    device: torch.device
    gae_lambda: float
    gamma: float
    n_envs: int
    batch_returns: bool = False

    def __post_init__(self) -> None:
        shape = (self.buffer_size, self.n_envs)

        def empty(*more: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(*shape, *more, dtype=dtype, device=self.device)

        self.observations = empty(*self.observation_space.shape)
        self.actions = empty(dtype=torch.int64)
        self.rewards, self.episode_starts = empty(), empty()
        self.values, self.log_probs = empty(), empty()
        self.advantages, self.returns = empty(), empty()
        self.unit = torch.ones((), dtype=torch.float64, device=self.device)
        self._step = 0

    def reset(self) -> None:
        """Begin to fill the buffer anew."""
        self._step = 0

    def add(
        self,
        observations: Tensor,
        actions: Tensor,
        rewards: Tensor,
        episode_starts: Tensor,
        values: Tensor,
        log_probs: Tensor,
    ) -> None:
        """Write one step.  # each (n_envs, ...)."""
        step, self._step = self._step, self._step + 1
        self.observations[step] = observations
        self.actions[step] = actions
        self.rewards[step] = rewards
        self.episode_starts[step] = episode_starts
        self.values[step] = values
        self.log_probs[step] = log_probs

    def compute_returns_and_advantage(self, last_values: Tensor, dones: Tensor) -> None:
        """Generalised advantage estimation (Schulman et al. 2016, equation 16).

        Args:
            last_values: Values of the observations after the last step.  # (n_envs,) float32
            dones: Whether the last step ended the episode.  # (n_envs,) float32
        """
        going, following = 1.0 - dones, last_values
        running = torch.zeros_like(last_values)
        for step in reversed(range(self.buffer_size)):
            delta = self.rewards[step] + self.gamma * following * going - self.values[step]
            running = delta + self.gamma * self.gae_lambda * going * running
            self.advantages[step] = running
            going, following = 1.0 - self.episode_starts[step], self.values[step]
        torch.add(self.advantages, self.values, out=self.returns)
        if self.batch_returns:
            self._normalize_returns()

    def _normalize_returns(self) -> None:
        exact = self.returns.double()
        deviation = exact.std(correction=0)
        self.unit.copy_(torch.where(deviation > _EPSILON, deviation + _EPSILON, 1.0))
        self.returns.copy_((exact - exact.mean()) / self.unit)

    def get(self, batch_size: int) -> Iterator[RolloutBufferSamples]:
        """One pass over all transitions, in random minibatches."""
        flat = [
            tensor.flatten(0, 1)
            for tensor in (
                self.observations,
                self.actions,
                self.values,
                self.log_probs,
                self.advantages,
                self.returns,
            )
        ]
        order = torch.randperm(len(flat[0]), device=self.device)
        for rows in torch.split(order, batch_size):
            yield RolloutBufferSamples(*(tensor[rows] for tensor in flat))

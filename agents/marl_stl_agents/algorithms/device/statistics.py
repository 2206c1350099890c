"""Running statistics of rewards, episodes and specifications, as tensors on the training device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from marl_stl_env.engine.state import StepRecord
from marl_stl_env.stl.specs import CONJUNCTION
from marl_stl_env.types import Float64Array

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

    def add(self, rewards: Tensor, over: Tensor, voting: Tensor | None = None) -> None:
        """Take one step in.

        Args:
            rewards: Unscaled rewards.  # (count,) float32
            over: Whether the episode is over.  # (count,) bool
            voting: Whether the step was a vote, whose rewards the mean is of; None for all.
                # (count,) bool
        """
        ones = torch.ones_like(self.returns)
        self.returns += rewards
        self.lengths += ones
        self._ended += (torch.stack([self.returns, self.lengths, ones]) * over).sum(dim=1)
        counted = ones if voting is None else ones * voting
        self._rewards += torch.stack([rewards * counted, counted]).sum(dim=1)
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
        figures = {"reward": rewards / steps} if steps else {}
        if episodes:
            figures |= {"return": returns / episodes, "length": lengths / episodes}
        return figures


class SpecStatistics:
    """Satisfaction and robustness of the specifications in the episodes that ended.

    Args:
        names: The specifications; none where nothing is monitored.
        device: Where the sums live.
    """

    def __init__(self, names: Sequence[str], device: torch.device) -> None:
        self._names = tuple(names)
        shape = (2, len(names))
        self._sums = torch.zeros(shape, dtype=torch.float64, device=device)
        self._counts = torch.zeros(2, dtype=torch.float64, device=device)

    def add(self, record: StepRecord) -> None:
        """Take one step in."""
        over, violated, robustness = (
            torch.as_tensor(array)
            for array in (record.truncated, record.violated, record.robustness)
        )
        satisfied = ~violated & over[:, None]
        reached = torch.where(over[:, None], robustness, 0.0)
        self._sums += torch.stack([satisfied.double(), reached.double()]).sum(dim=1)
        whole = satisfied.all(dim=1) & over
        self._counts += torch.stack([whole, over]).sum(dim=1)

    def take(self) -> tuple[dict[str, float], Float64Array | None]:
        """The means since the last call, for which the host waits.

        Returns:
            Figures to log, and the share of episodes that violated each specification; None
            where none ended.  # (specifications,) float64
        """
        satisfied, robustness = self._sums.tolist()
        whole, episodes = self._counts.tolist()
        self._sums.zero_()
        self._counts.zero_()
        if not episodes:
            return {}, None
        figures = {f"stl/satisfied/{CONJUNCTION}": whole / episodes}
        for name, kept, reached in zip(self._names, satisfied, robustness, strict=True):
            figures[f"stl/satisfied/{name}"] = kept / episodes
            figures[f"stl/robustness/{name}"] = reached / episodes
        return figures, 1.0 - np.array(satisfied) / episodes


def explained_variance(values: Tensor, returns: Tensor) -> Tensor:
    """1 - Var(returns - values) / Var(returns).  # () float32."""
    return 1.0 - (returns - values).var(correction=0) / returns.var(correction=0)

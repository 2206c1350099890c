"""Second opinions as a part of a graph: forests in operations that ONNX supports."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from marl_stl_env.data.encoding import CLIP
from marl_stl_env.data.opinions.forest import Forest
from marl_stl_env.data.opinions.opinions import PRIOR, TREES, Opinions

_ARRAYS = ("feature", "threshold", "left", "value", "roots")


class OpinionColumns(nn.Module):
    """The columns of :class:`~marl_stl_env.data.opinions.opinions.Opinions`.

    Args:
        opinions: The forests.
    """

    def __init__(self, opinions: Opinions) -> None:
        super().__init__()
        self.forests = nn.ModuleList(_Trees(forest) for forest in opinions.forests)

    def forward(self, features: Tensor) -> Tensor:
        """Log-odds of a threat.

        Args:
            features: Scaled features.  # (rows, features) float32

        Returns:
            One column for each forest.  # (rows, forests) float32
        """
        return torch.stack([forest(features) for forest in self.forests], dim=1)


class _Trees(nn.Module):
    def __init__(self, forest: Forest) -> None:
        super().__init__()
        self.feature: Tensor
        self.threshold: Tensor
        self.left: Tensor
        self.value: Tensor
        self.roots: Tensor
        self._levels = forest.levels
        for name in _ARRAYS:
            values = torch.from_numpy(getattr(forest, name).copy())
            self.register_buffer(name, values if values.is_floating_point() else values.long())

    def forward(self, features: Tensor) -> Tensor:
        nodes = self.roots.expand(features.shape[0], -1)
        for _ in range(self._levels):
            seen = features.gather(1, self.feature[nodes])
            nodes = self.left[nodes] + (seen > self.threshold[nodes]).long()
        votes = TREES * self.value[nodes].double().mean(dim=1)
        odds = ((votes + PRIOR) / (TREES - votes + PRIOR)).log()
        return odds.clamp(-CLIP, CLIP).float()

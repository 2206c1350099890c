"""Piecewise-linear encoding of the features, with bins from the training split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from marl_stl_env.types import Float32Array

#: Categories, and columns outside the table (the sensor's indicator), pass through unchanged.
IDENTITY = (0.0, 1.0)
#: What is left of a specification: violated below 0, satisfied above.
SIGNED = (-1.0, 0.0, 1.0)


def quantile_edges(
    features: Float32Array, bins: int, lowest: Float32Array
) -> list[tuple[float, ...]]:
    """The bin edges of every column of an observation.

    Args:
        features: The scaled features of the training split.  # (rows, features) float32
        bins: Bins per column, at most; repeated quantiles are merged.
        lowest: Smallest value of each column of an observation. Those after the features get one
            bin from 0 to 1, and another one from -1 to 0 where they begin at -1.  # (width,)
            float32

    Returns:
        Ascending edges, column by column.
    """
    levels = np.linspace(0.0, 1.0, bins + 1)
    edges = []
    for column in features.T:
        unique = np.unique(np.quantile(column, levels).astype(np.float32))
        edges.append(tuple(unique.tolist()) if len(unique) > 1 else IDENTITY)
    return edges + [SIGNED if low == -1 else IDENTITY for low in lowest[len(edges) :]]


def code_columns(extractor: BaseFeaturesExtractor, columns: Iterable[int]) -> list[int]:
    """Where the codes of these columns of an observation stand among the features.

    Args:
        extractor: What makes features of an observation.
        columns: Columns of the observation.

    Returns:
        Columns of the features, those of one column of the observation after those of another.
    """
    if not isinstance(extractor, PiecewiseLinearEncoding):
        return list(columns)
    return [
        place
        for column in columns
        for place in (extractor.columns == column).nonzero()[:, 0].tolist()
    ]


class PiecewiseLinearEncoding(BaseFeaturesExtractor):
    """Each column becomes one number per bin: 0 below the bin, 1 above, linear inside.

    Gorishniy, Rubachev and Babenko (2022), "On embeddings for numerical features in tabular deep
    learning", equation 1, clipped at the outer bins too.

    Args:
        observation_space: The space of one observation.  # (width,)
        edges: Ascending bin edges, column by column.
    """

    def __init__(self, observation_space: spaces.Box, edges: Sequence[Sequence[float]]) -> None:
        columns = [number for number, column in enumerate(edges) for _ in column[1:]]
        super().__init__(observation_space, len(columns))
        lower = torch.tensor([edge for column in edges for edge in column[:-1]])
        upper = torch.tensor([edge for column in edges for edge in column[1:]])
        self.columns: torch.Tensor
        self.lower: torch.Tensor
        self.scale: torch.Tensor
        self.register_buffer("columns", torch.tensor(columns))
        self.register_buffer("lower", lower)
        self.register_buffer("scale", 1.0 / (upper - lower))

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Encode a batch.

        Args:
            observations: Observations.  # (batch, width) float32

        Returns:
            Codes in [0, 1].  # (batch, total bins) float32
        """
        values = observations.index_select(1, self.columns)
        return values.sub_(self.lower).mul_(self.scale).clamp_(0.0, 1.0)

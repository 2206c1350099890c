"""Sensors that evaluate an event by its nearest prototypes, and not by its features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from marl_stl_agents.config import TrainConfig
from marl_stl_agents.policies.encoding import IDENTITY, PiecewiseLinearEncoding
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.data.training import balanced_rows
from marl_stl_env.engine.observation import visible_features
from marl_stl_env.errors import DataError
from marl_stl_env.types import BoolArray, Float32Array

#: Added to a distance before its logarithm is taken: a hundredth of a differing column.
_NEAR = 0.01


@dataclass(frozen=True, eq=False)
class Prototypes:
    """Events of the training split to compare with.

    Attributes:
        benign: Scaled features of benign events.  # (prototypes, features) float32
        threats: Those of threats.  # (prototypes, features) float32
        visible: Which features each sensor sees.  # (agents, features) bool
    """

    benign: Float32Array
    threats: Float32Array
    visible: BoolArray


def draw_prototypes(config: TrainConfig, train: TrafficTable) -> Prototypes | None:
    """Benign events and threats of the training split, drawn from all attack types alike.

    What is drawn twice stands once: there are fewer threats than asked for where types are rare.

    Args:
        config: The run; None comes back where it asks for no prototypes.
        train: The scaled training split.

    Raises:
        DataError: If there are no events of one kind.
    """
    count, env = config.ppo.prototypes, config.env
    if not count:
        return None
    if train.labels.all() or not train.labels.any():
        raise DataError(
            f"prototypes={count}: the training split of {train.name!r} has {train.labels.sum()} "
            f"threats among {len(train)} events; both kinds are needed, or prototypes=0"
        )
    rng = np.random.default_rng(config.seed)
    balanced = balanced_rows(train, rng)
    rows = [
        rng.permutation(balanced[train.labels[balanced] == kind])[:count] for kind in (False, True)
    ]
    benign, threats = (np.asarray(train.features[np.unique(chosen)]) for chosen in rows)
    return Prototypes(benign, threats, visible_features(train, env.agents, env.views, env.seen_by))


def blank_prototypes(benign: int, threats: int) -> Prototypes:
    """As many of each kind, with nothing to compare: to load saved ones into."""
    benign_rows, threat_rows = (np.zeros((count, 1), np.float32) for count in (benign, threats))
    return Prototypes(benign_rows, threat_rows, np.zeros((0, 1), np.bool_))


class PrototypeEncoding(PiecewiseLinearEncoding):
    """What a sensor is told: every second one distances to prototypes, the others the features.

    The first sensor is told the piecewise-linear codes of its features and zeros for the
    distances; the second the logarithms of two distances, to its nearest benign prototype and to
    its nearest threatening one, and zeros for the codes; and so on in turn. All are told the
    context of the observation.

    The distance is Gower's (1971, "A general coefficient of similarity and some of its
    properties", Biometrics 27), summed over the columns that the sensor sees: 1 for two different
    categories; for a number the share of its column's bins that lie between, squared inside a bin.
    With the bins at quantiles no unit or long tail matters.

    It is a matrix product: with z the codes of the event less those of what is unseen, e those of
    an prototype and w the weights of the bins, it is sum(w z z) - 2 sum(w z e) + sum(w e e), the
    last over what the sensor sees, so that it stands where the sensor's indicator is multiplied.

    Args:
        observation_space: The space of one observation.  # (width,)
        edges: Ascending bin edges, column by column; behind the features come the indicators of
            the sensors.
        prototypes: The events to compare with.
    """

    before_codes = 2

    def __init__(
        self,
        observation_space: spaces.Box,
        edges: Sequence[Sequence[float]],
        prototypes: Prototypes,
    ) -> None:
        super().__init__(observation_space, edges)
        sensors, features = prototypes.visible.shape
        weight = torch.tensor([_weight(column) for column in edges for _ in column[1:]])
        weight[self.columns >= features] = 0.0
        first = int((self.columns < features).sum())
        compares = torch.zeros(len(weight))
        compares[first + 1 : first + sensors : 2] = 1.0
        self.weight: Tensor
        self.unseen: Tensor
        self.compares: Tensor
        self.benign: Tensor
        self.threats: Tensor
        self.register_buffer("weight", weight)
        self.register_buffer("unseen", super().forward(torch.zeros(1, len(edges)))[0])
        self.register_buffer("compares", compares)
        for name in ("benign", "threats"):
            self.register_buffer(name, self._table(getattr(prototypes, name), prototypes.visible))
        self._features_dim += self.before_codes

    def _table(self, events: Float32Array, visible: BoolArray) -> Tensor:
        """What the codes of an event are multiplied with.  # (codes, prototypes) float32."""
        sensors, features = visible.shape
        of_features = self.columns < features
        observations = torch.zeros(len(events), int(self.columns.max()) + 1)
        observations[:, :features] = torch.from_numpy(events)
        codes = super().forward(observations) - self.unseen
        table = (-2.0 * self.weight * codes).T.contiguous()
        sees = torch.from_numpy(visible)[:, self.columns[of_features]].float()
        first, squares = len(sees.T), (self.weight * codes.square())[:, of_features]
        table[first : first + sensors] = sees @ squares.T
        return table

    def forward(self, observations: Tensor) -> Tensor:
        """Encode a batch.

        Args:
            observations: Observations.  # (batch, width) float32

        Returns:
            Two distances, then the codes.  # (batch, 2 + total bins) float32
        """
        codes = super().forward(observations)
        compares = codes @ self.compares
        if torch.compiler.is_exporting():  # sizes that depend on the data cannot be exported
            distances = self._distances(codes) * compares[:, None]
        else:
            rows = compares.nonzero()[:, 0]
            distances = codes.new_zeros(len(codes), 2)
            distances = distances.index_copy(0, rows, self._distances(codes[rows]))
        hidden = compares[:, None] * (self.weight > 0)
        return torch.cat([distances, codes * (1.0 - hidden)], dim=1)

    def _distances(self, codes: Tensor) -> Tensor:
        """Logarithms of the distances to the nearest of each kind.  # (batch, 2) float32."""
        shifted = codes - self.unseen
        nearest = [(shifted @ table).amin(dim=1) for table in (self.benign, self.threats)]
        own = shifted.square() @ self.weight
        distances = torch.stack(nearest, dim=1) + own[:, None]
        return (distances.clamp_min(0.0) + _NEAR).log()


def _weight(edges: Sequence[float]) -> float:
    """Of a bin: two columns of a category differ by one bin each, a number by all of its bins."""
    return 0.5 if tuple(edges) == IDENTITY else 1.0 / (len(edges) - 1)

"""A network for each sensor, in one policy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from marl_stl_env.types import ACTIONS

#: Gains of the orthogonal initialisation, as SB3 has them.
_HIDDEN_GAIN, _ACTION_GAIN, _VALUE_GAIN = 2**0.5, 0.01, 1.0


class SensorLinear(nn.Module):
    """One linear layer per sensor, as a batched matrix product.

    Args:
        sensors: Number of sensors.
        inputs: Width of the input.
        outputs: Width of the output.
        gain: Of the orthogonal initialisation.
    """

    def __init__(self, sensors: int, inputs: int, outputs: int, gain: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(sensors, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(sensors, 1, outputs))
        for weight in self.weight.data:
            nn.init.orthogonal_(weight, gain)

    def forward(self, rows: Tensor) -> Tensor:
        """Each sensor's rows through its own layer.

        Args:
            rows: (sensors, rows, inputs) float32

        Returns:
            (sensors, rows, outputs) float32
        """
        return torch.baddbmm(self.bias, rows, self.weight)


class SensorNetworks(nn.Module):
    """A policy and a value network per sensor; the parameters of two sensors are disjoint.

    It takes the place of SB3's ``MlpExtractor``, and of the layers after it.

    Args:
        inputs: Width of a row of features.
        hidden: Units of each hidden layer.
        indicator: Columns of the features that are the one-hot code of the sensor.
        values: Outputs of each value network.
    """

    latent_dim_pi = ACTIONS

    def __init__(
        self, inputs: int, hidden: list[int], indicator: Sequence[int], values: int
    ) -> None:
        super().__init__()
        self.latent_dim_vf = values
        self._sensors = sensors = len(indicator)
        self.indicator: Tensor
        self.register_buffer("indicator", torch.tensor(indicator), persistent=False)

        def network(outputs: int, gain: float) -> nn.Sequential:
            widths, layers = [inputs, *hidden], list[nn.Module]()
            for before, after in zip(widths, hidden, strict=False):
                layer = SensorLinear(sensors, before, after, _HIDDEN_GAIN)
                layers += [layer, nn.ReLU(inplace=True)]
            return nn.Sequential(*layers, SensorLinear(sensors, widths[-1], outputs, gain))

        self.actor = network(self.latent_dim_pi, _ACTION_GAIN)
        self.critic = network(self.latent_dim_vf, _VALUE_GAIN)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (batch, actions) and values (batch, values) of rows of any sensors.

        Args:
            features: (batch, inputs) float32
        """
        logits, values = self._route(features, self.actor, self.critic)
        return logits, values

    def forward_actor(self, features: Tensor) -> Tensor:
        """Logits.  # (batch, actions) float32."""
        return self._route(features, self.actor)[0]

    def forward_critic(self, features: Tensor) -> Tensor:
        """Values.  # (batch, values) float32."""
        return self._route(features, self.critic)[0]

    def _route(self, features: Tensor, *networks: nn.Module) -> list[Tensor]:
        """Every row through the networks of its sensor."""
        indicator = features.index_select(1, self.indicator)
        if torch.compiler.is_exporting():  # sizes that depend on the data cannot be exported
            for_all = features.expand(self._sensors, -1, -1)
            return [torch.einsum("sbo,bs->bo", one(for_all), indicator) for one in networks]
        sensors = indicator.argmax(dim=1)
        counts = torch.bincount(sensors, minlength=self._sensors)
        most, order = int(counts.max()), sensors.argsort(stable=True)
        rank = torch.empty_like(order)
        firsts = (counts.cumsum(0) - counts)[sensors[order]]
        rank[order] = torch.arange(len(order), device=order.device) - firsts
        place = sensors * most + rank
        rows = features.new_zeros(self._sensors * most, features.shape[1])
        rows = rows.index_copy(0, place, features).reshape(self._sensors, most, -1)
        return [one(rows).flatten(0, 1)[place] for one in networks]

"""Rewards for satisfying specifications, on a device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from marl_stl_agents.algorithms.shaping import AMPLE, LEAST
from marl_stl_agents.config import ConstraintConfig
from marl_stl_env.engine.state import StepRecord
from marl_stl_env.stl.specs import Specification


class DeviceShaping:
    """What :class:`~marl_stl_agents.algorithms.shaping.SpecShaping` adds to rewards, in torch.

    Args:
        specs: The monitored specifications.
        config: Bonus and beta.
        discount: Gamma of the trainer.
        lanes: Independent copies of the stream.
        device: Where the potentials live.

    Attributes:
        potentials: The potential of every lane now.  # (lanes,) float32
    """

    def __init__(
        self,
        specs: Sequence[Specification],
        config: ConstraintConfig,
        discount: float,
        lanes: int,
        device: torch.device,
    ) -> None:
        self._config, self._discount = config, discount
        self._scales = torch.tensor([one.scale for one in specs], device=device)
        self.potentials = torch.full((lanes,), AMPLE, device=device)

    def forget(self) -> None:
        """Begin anew, as a reset of every lane does."""
        self.potentials.fill_(AMPLE)

    def __call__(self, record: StepRecord) -> Tensor:
        """What a step adds to the rewards of each lane's sensors.  # (lanes,) float64."""
        over, violated, robustness = (
            torch.as_tensor(array)
            for array in (record.truncated, record.violated, record.robustness)
        )
        least = (robustness / self._scales).clamp(LEAST, AMPLE).amin(dim=1)
        reached = torch.where(over, 0.0, least)
        kept = over & ~violated.any(dim=1)
        gain = self._discount * reached - self.potentials
        self.potentials.copy_(torch.where(over, AMPLE, reached))
        return self._config.bonus * kept.double() + self._config.potential * gain

"""The policy of the other backends as an RLlib module, with the same network and weights."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor

from marl_stl_agents.policies.build import Blueprint


class TeamModule(TorchRLModule, ValueFunctionAPI):
    """One policy for all sensors; its attribute ``policy`` is what a checkpoint saves.

    ``model_config["blueprint"]`` is a :class:`marl_stl_agents.policies.build.Blueprint`.
    """

    def setup(self) -> None:
        """Build the network."""
        blueprint: Blueprint = self.model_config["blueprint"]
        self.policy = blueprint.build(self.observation_space, torch.device("cpu"))

    def _forward(self, batch: dict[str, Any], **settings: Any) -> dict[str, Tensor]:
        del settings
        chosen = self.policy.get_distribution(batch[Columns.OBS]).distribution
        if not isinstance(chosen, torch.distributions.Categorical):
            raise TypeError(f"the policy's action distribution is not categorical: {chosen!r}")
        return {Columns.ACTION_DIST_INPUTS: chosen.logits}

    def compute_values(self, batch: dict[str, Any], embeddings: Tensor | None = None) -> Tensor:
        """The value of each observation.  # (batch,) float32."""
        del embeddings
        return self.policy.predict_values(batch[Columns.OBS])[:, 0]

"""What a trainer on a device knows of its lanes, as plain arrays."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from marl_stl_agents.algorithms.device.shaping import DeviceShaping
from marl_stl_agents.algorithms.device.statistics import EpisodeStatistics, RewardScale
from marl_stl_agents.algorithms.multipliers import PIDMultipliers
from marl_stl_env.engine.torch_engine import TorchEngine
from marl_stl_env.types import AnyArray


class DeviceTrainer(Protocol):
    """What is remembered between two rollouts.

    Attributes:
        starts: 1 where an episode begins with the next step.  # (lanes * agents,) float32
        scale: The scaling of the rewards.
        episodes: The open episodes.
        shaping: The potentials, where specifications shape the rewards.
        names: The priced specifications.
        multipliers: Their prices.
    """

    starts: Tensor
    scale: RewardScale
    episodes: EpisodeStatistics
    shaping: DeviceShaping | None
    names: tuple[str, ...]
    multipliers: PIDMultipliers


def stream_state(
    trainer: DeviceTrainer, engine: TorchEngine, observations: Tensor
) -> dict[str, AnyArray]:
    """All of it and the last observations, under the names of the path "native"."""
    scale, episodes = trainer.scale, trainer.episodes
    tensors = {
        "model.last_obs": observations,
        "model.last_episode_starts": trainer.starts.bool(),
        "normalizer.returns": scale.returns,
        "normalizer.moments": torch.stack([scale.mean, scale.var, scale.count]),
        "monitor.returns": episodes.returns,
        "monitor.lengths": episodes.lengths,
    }
    if trainer.shaping is not None:
        tensors["shaping.potentials"] = trainer.shaping.potentials
    arrays: dict[str, AnyArray] = {name: t.cpu().numpy() for name, t in tensors.items()}
    if trainer.names:
        arrays |= trainer.multipliers.get_state()
    return arrays | {f"lanes.{name}": array for name, array in engine.get_state().items()}


def set_stream_state(
    trainer: DeviceTrainer, engine: TorchEngine, observations: Tensor, arrays: dict[str, AnyArray]
) -> None:
    """Go back to what :func:`stream_state` gave, the observations in place.

    Raises:
        KeyError: If something is missing.
        RuntimeError: If something has another shape.
        StateError: If the lanes are those of another environment.
    """
    scale, episodes = trainer.scale, trainer.episodes
    for moment, value in zip(
        (scale.mean, scale.var, scale.count), arrays["normalizer.moments"], strict=True
    ):
        moment.fill_(float(value))
    tensors = {
        "normalizer.returns": scale.returns,
        "monitor.returns": episodes.returns,
        "monitor.lengths": episodes.lengths,
        "model.last_episode_starts": trainer.starts,
        "model.last_obs": observations,
    }
    if trainer.shaping is not None:
        tensors["shaping.potentials"] = trainer.shaping.potentials
    for name, tensor in tensors.items():
        tensor.copy_(torch.tensor(arrays[name]))
    if trainer.names:
        trainer.multipliers.set_state(arrays)
    lanes = {n.removeprefix("lanes."): a for n, a in arrays.items() if n.startswith("lanes.")}
    engine.set_state(lanes)

"""The training environment of :class:`marl_stl_agents.algorithms.device.ppo.DevicePPO`."""

from __future__ import annotations

from typing import Any

import torch
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from marl_stl_env.config import EnvConfig
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.torch_engine import TorchEngine
from marl_stl_env.envs.sb3 import TrafficVecEnv
from marl_stl_env.errors import DeviceError


class DeviceVecEnv(TrafficVecEnv):
    """:class:`TrafficVecEnv` with its engine on a torch device.

    It tells SB3 the spaces and the seeds, and resets. Steps are for the trainer to take on the
    engine itself, since what they return never leaves the device.

    Args:
        config: The environment.
        lanes: Independent copies of the stream.
        seed: Seed of lane 0; None draws from the system.
        table: Prepared data, or a raw table, in place of what ``config.data`` names.
        device: Where the engine lives.
    """

    engine: TorchEngine

    def __init__(
        self,
        config: EnvConfig,
        lanes: int,
        seed: int | None,
        table: TrafficTable | PreparedData | None,
        device: torch.device,
    ) -> None:
        super().__init__(config, lanes, seed, table)
        seeds = self.engine.get_state()["seeds"]
        self.engine = TorchEngine(config, self.engine.table, lanes, seeds, device)

    def step_wait(self) -> VecEnvStepReturn:
        """Not to be had here.

        Raises:
            DeviceError: Always.
        """
        raise DeviceError("a DeviceVecEnv is stepped by DevicePPO; use a TrafficVecEnv elsewhere")

    def reset(self) -> Any:
        """Begin an episode in every lane.

        Returns:
            Observations, on the device.  # (lanes * agents, width) float32
        """
        self.engine.reset()
        self.reset_infos = [{} for _ in range(self.num_envs)]
        return self._observations()

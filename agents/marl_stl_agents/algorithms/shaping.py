"""Rewards for satisfying specifications."""

from __future__ import annotations

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from marl_stl_agents.config import ConstraintConfig
from marl_stl_env.envs.sb3 import TrafficVecEnv
from marl_stl_env.envs.supersuit import SuperSuitVecEnv
from marl_stl_env.types import Float32Array

_LEAST, _AMPLE = -1.0, 0.5


def potential(robustness: Float32Array, scales: Float32Array) -> Float32Array:
    """How well all specifications stand: the least scaled robustness, between -1 and 1/2.

    Args:
        robustness: Robustness of the episode so far, +inf at its start.
            # (lanes, specifications) float32
        scales: The robustness of each specification that counts as ample.  # (specifications,)
            float32

    Returns:
        Potentials.  # (lanes,) float32
    """
    least: Float32Array = (robustness / scales).clip(_LEAST, _AMPLE).min(axis=1)
    return least


class SpecShaping(VecEnvWrapper):
    """Adds to the rewards of all sensors of a lane what its specifications are worth.

    A step adds ``beta * (gamma * potential(next) - potential(now))``, where the potential after an
    episode's end is 0, which changes no policy's rank (Ng, Harada and Russell 1999). The last step
    also adds the bonus where every specification was kept, and that is meant to change the ranks.

    Args:
        venv: The environment, with specifications that are watched and shown.
        config: Bonus and beta.
        discount: Gamma of the trainer.

    Attributes:
        bare_rewards: What the last step earned without all that.  # (lanes * agents,) float32
        potentials: Where every lane stands now.  # (lanes,) float32
    """

    def __init__(self, venv: VecEnv, config: ConstraintConfig, discount: float) -> None:
        super().__init__(venv)
        lanes = venv.unwrapped
        if not isinstance(lanes, TrafficVecEnv | SuperSuitVecEnv):
            raise TypeError(f"only our environments have specifications, not {lanes!r}")
        self._lanes, self._config, self._discount = lanes, config, discount
        self._scales = np.array([one.scale for one in lanes.specs], np.float32)
        self.bare_rewards: Float32Array = np.zeros(venv.num_envs, np.float32)
        self.potentials: Float32Array = np.zeros(venv.num_envs // lanes.agents, np.float32)

    def reset(self) -> VecEnvObs:
        """Begin an episode in every lane."""
        self.potentials = np.full_like(self.potentials, _AMPLE)
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        """Step every lane, and add to the rewards."""
        observations, rewards, dones, infos = self.venv.step_wait()
        status, over = self._lanes.spec_status, dones[:: self._lanes.agents]
        reached = np.where(over, 0.0, potential(status.robustness, self._scales))
        kept = over & ~status.violated.any(axis=1)
        gain = self._discount * reached - self.potentials
        worth = self._config.bonus * kept + self._config.potential * gain
        self.bare_rewards = rewards
        self.potentials = np.where(over, _AMPLE, reached).astype(np.float32)
        shaped = rewards + np.repeat(worth, self._lanes.agents)
        return observations, shaped.astype(np.float32), dones, infos

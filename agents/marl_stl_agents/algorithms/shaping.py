"""Rewards for satisfying specifications."""

from __future__ import annotations

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from marl_stl_agents.config import ConstraintConfig
from marl_stl_env.envs.base import team_env
from marl_stl_env.types import Float32Array

#: Least and greatest potential.
LEAST, AMPLE = -1.0, 0.5


def potential(robustness: Float32Array, scales: Float32Array) -> Float32Array:
    """How well all specifications are satisfied: the least scaled robustness, from -1 to 1/2.

    Args:
        robustness: Robustness of the episode so far, +inf at its start.
            # (lanes, specifications) float32
        scales: The robustness of each specification that counts as ample.  # (specifications,)
            float32

    Returns:
        Potentials.  # (lanes,) float32
    """
    least: Float32Array = (robustness / scales).clip(LEAST, AMPLE).min(axis=1)
    return least


class SpecShaping(VecEnvWrapper):
    """Adds to the rewards of all sensors of a lane a bonus and a potential of its specifications.

    A step adds ``beta * (gamma * potential(next) - potential(now))``, where the potential after an
    episode's end is 0, which changes no policy's rank (Ng, Harada and Russell 1999). The last step
    also adds the bonus where every specification was satisfied; that is meant to change the ranks.

    Args:
        venv: The environment, with specifications that are monitored and observed.
        config: Bonus and beta.
        discount: Gamma of the trainer.

    Attributes:
        bare_rewards: Rewards of the last step before the shaping.  # (lanes * agents,) float32
        potentials: The potential of every lane now.  # (lanes,) float32
    """

    def __init__(self, venv: VecEnv, config: ConstraintConfig, discount: float) -> None:
        super().__init__(venv)
        self._env, self._config, self._discount = team_env(venv), config, discount
        self._scales = np.array([one.scale for one in self._env.specs], np.float32)
        self.bare_rewards: Float32Array = np.zeros(venv.num_envs, np.float32)
        self.potentials: Float32Array = np.zeros(self._env.lanes, np.float32)

    def reset(self) -> VecEnvObs:
        """Begin an episode in every lane."""
        self.potentials = np.full_like(self.potentials, AMPLE)
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        """Step every lane, and add to the rewards."""
        observations, rewards, dones, infos = self.venv.step_wait()
        last, over = self._env.last_step, dones[:: self._env.agents]
        reached = np.where(over, 0.0, potential(last.robustness, self._scales))
        kept = over & ~last.violated.any(axis=1)
        gain = self._discount * reached - self.potentials
        worth = self._config.bonus * kept + self._config.potential * gain
        self.bare_rewards = rewards
        self.potentials = np.where(over, AMPLE, reached).astype(np.float32)
        shaped = rewards + np.repeat(worth, self._env.agents)
        return observations, shaped.astype(np.float32), dones, infos

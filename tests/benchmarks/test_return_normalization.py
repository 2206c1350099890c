"""The measures of the study of return normalisation."""

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import RolloutBuffer

from benchmarks.studies.return_normalization.history import consistent_advantages, own_event
from marl_stl_env.config import RewardConfig
from tests.oracles import gae

MEAN, UNIT, GAMMA, LAMBDA = -30.0, 12.0, 0.97, 0.9


def test_consistent_advantages_are_those_of_the_values_in_reward_units() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(MEAN, UNIT, 9)  # of the states before each step, and of the last one
    rewards = rng.choice([1.0, -8.0, 10.0], 8)
    ends = np.array([0, 0, 0, 1, 0, 0, 0, 0], dtype=bool)
    after_the_end = 5.0  # the value, in reward units, of the state that the time limit cut off
    normal = (values - MEAN) / UNIT
    buffer = RolloutBuffer(
        8, spaces.Box(-1, 1, (1,)), spaces.Discrete(4), gamma=GAMMA, gae_lambda=LAMBDA
    )
    buffer.values[:, 0] = normal[:-1]
    buffer.rewards[:, 0] = rewards
    buffer.rewards[3, 0] += GAMMA * (after_the_end - MEAN) / UNIT  # as SB3 does
    buffer.episode_starts[1:, 0] = ends[:-1]
    dones = ends[-1:]
    last = torch.tensor([[normal[-1]]])
    found = consistent_advantages(buffer, rewards[:, None], last, dones, MEAN, UNIT)
    following = np.where(ends, after_the_end, values[1:])
    wanted = gae(
        rewards.tolist(), values[:-1].tolist(), following.tolist(), ends.tolist(), GAMMA, LAMBDA
    )
    np.testing.assert_allclose(found[:, 0], wanted, rtol=1e-4)


def test_what_an_action_decided() -> None:
    """Four threats, of which one is missed; three benign events, of which two are stopped."""
    earned = np.array([10.0, 10.0, 10.0, -10.0, 1.0, -8.0, -8.0])
    threats, benign = [5.0, 5.0, 5.0, -15.0], [6.0, -3.0, -3.0]
    np.testing.assert_allclose(own_event(earned, RewardConfig()), [*threats, *benign])

"""A reward of your own: what leaves the company costs three times as much as other attacks.

Look at it:  python examples/own_reward.py
Train on it: python train.py --plugin examples/own_reward.py --reward-function leaks
"""

import numpy as np

import marl_stl_env as mse
from marl_stl_env.config import RewardConfig
from marl_stl_env.testing import check_reward
from marl_stl_env.types import Action, Float32Array

LEAKS = ("exfiltration", "command_and_control")


@mse.register_reward("leaks")
def leaks(table: mse.TrafficTable, payoffs: Float32Array) -> Float32Array:
    """The usual payoffs; a leak that passes costs three times as much.

    Args:
        table: The events: labels, families, entities, times, features.
        payoffs: What the settings pay.  # (events, 4) float32, a column per action

    Returns:
        What each action is worth on each event.  # (events, 4) float32
    """
    codes = [code for code, name in enumerate(table.family_names) if name in LEAKS]
    leak = np.isin(table.families, codes) & table.labels
    for passing in (Action.ALLOW, Action.ALERT):
        payoffs[leak, passing] *= 3.0
    return payoffs


def main() -> None:
    """Check the reward, then let everything pass for one episode and see what it costs."""
    check_reward("leaks")
    for name in ("payoffs", "leaks"):
        env = mse.parallel_env(
            dataset="synthetic",
            dataset_options={"rows": 20_000},
            reward=RewardConfig(reward_function=name),
            episode_length=500,
        )
        env.reset(seed=0)
        earned = 0.0
        while env.agents:
            _, rewards, _, _, _ = env.step(dict.fromkeys(env.agents, int(Action.ALLOW)))
            earned += rewards["sensor_0"]
        print(f"{name:<8} allowing everything earns {earned / 500:+.3f} per event")


if __name__ == "__main__":
    main()

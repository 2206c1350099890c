"""Slow scalar references, written from the definitions and not from the code under test."""

from collections import Counter
from dataclasses import dataclass

from marl_stl_env.config import EnvConfig
from marl_stl_env.data.table import TrafficTable

ALLOW, BLOCK, QUARANTINE, ALERT = range(4)


def is_threat_vote(action: int) -> bool:
    return action in (BLOCK, QUARANTINE)


def decide(actions: list[int], faulty: int, threshold: int) -> int:
    """The decision on one vector of actions."""
    threat = sum(is_threat_vote(action) for action in actions) >= threshold
    counts = Counter(action for action in actions if is_threat_vote(action) == threat)
    supported = {action: count for action, count in counts.items() if count > faulty}
    if not supported:
        return QUARANTINE if threat else ALLOW
    most = max(supported.values())
    return min(action for action, count in supported.items() if count == most)


def payoff(config: EnvConfig, threat: bool, action: int) -> float:
    """What one action on one event earns."""
    reward = config.reward
    cost = (reward.allow_cost, reward.block_cost, reward.quarantine_cost, reward.alert_cost)
    if is_threat_vote(action):
        value = reward.true_positive if threat else reward.false_positive
    else:
        value = reward.false_negative if threat else reward.true_negative
    return value - cost[action]


@dataclass
class ScalarStep:
    label: bool
    decision: int
    rewards: list[float]
    decision_reward: float
    truncated: bool


class ScalarEnv:
    """One lane, one event at a time, from a given start row."""

    def __init__(self, config: EnvConfig, table: TrafficTable, start: int) -> None:
        self.config, self.table = config, table
        self.row = self.start = start

    def step(self, actions: list[int]) -> ScalarStep:
        config, threat = self.config, bool(self.table.labels[self.row])
        faulty = (config.agents - 1) // 3
        threshold = config.consensus.threshold or -(-config.agents // 2)
        decision = decide(actions, faulty, threshold)
        team = payoff(config, threat, decision)
        share = config.reward.team_share
        own = [payoff(config, threat, action) for action in actions]
        self.row += 1
        over = self.row - self.start == min(config.episode_length, len(self.table))
        return ScalarStep(
            threat, decision, [(1 - share) * o + share * team for o in own], team, over
        )


def splitmix64(seed: int, count: int) -> list[int]:
    """The first outputs of SplitMix64 (Steele, Lea and Flood 2014), in Python integers."""
    mask, outputs = 2**64 - 1, []
    for _ in range(count):
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        word = seed
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & mask
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & mask
        outputs.append(word ^ (word >> 31))
    return outputs


def gae(
    rewards: list[float],
    values: list[float],
    next_values: list[float],
    ends: list[bool],
    gamma: float,
    lam: float,
) -> list[float]:
    """Generalised advantages where every episode end is a truncation: its value counts on."""
    advantages, running = [0.0] * len(rewards), 0.0
    for t in reversed(range(len(rewards))):
        delta = rewards[t] + gamma * next_values[t] - values[t]
        running = delta + (0.0 if ends[t] else gamma * lam * running)
        advantages[t] = running
    return advantages

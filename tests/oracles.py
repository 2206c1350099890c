"""Slow scalar references, written from the definitions and not from the code under test."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from marl_stl_env.config import EnvConfig
from marl_stl_env.data.table import TrafficTable

ALLOW, BLOCK, QUARANTINE, ALERT = range(4)
SILENT = -1


def is_threat_vote(action: int) -> bool:
    return action in (BLOCK, QUARANTINE)


def decide(actions: list[int], faulty: int, threshold: int) -> int:
    """The decision on one vector of actions."""
    threat = sum(is_threat_vote(action) for action in actions) >= threshold
    return decide_within(threat, actions, faulty)


def decide_within(threat: bool, actions: list[int], faulty: int) -> int:
    """The action of a class that is decided."""
    spoken = [action for action in actions if action != SILENT]
    counts = Counter(action for action in spoken if is_threat_vote(action) == threat)
    supported = {action: count for action, count in counts.items() if count > faulty}
    if not supported:
        return QUARANTINE if threat else ALLOW
    most = max(supported.values())
    return min(action for action, count in supported.items() if count == most)


class ScalarAudits:
    """The events with label feedback of one episode, kept as they are."""

    def __init__(self, config: EnvConfig, seed: int, episode: int) -> None:
        self.config, self.seed, self.episode = config, seed, episode
        self.known: list[tuple[bool, list[int]]] = []

    def vote(self, step: int, threat: bool, agreed: list[int]) -> None:
        word = random_word(self.seed, self.episode, 2**62 + step)
        if word / 2**64 < self.config.consensus.feedback_share:
            self.known.append((threat, agreed))

    def rate(self, sensor: int, threat: bool, said_threat: bool) -> float:
        """How often the sensor said so on events of this class (Laplace's rule of succession)."""
        said = [
            is_threat_vote(agreed[sensor])
            for label, agreed in self.known
            if label == threat and agreed[sensor] != SILENT
        ]
        return (said.count(said_threat) + 1) / (len(said) + 2)

    def weight(self, sensor: int, action: int) -> float:
        if action == SILENT:
            return 0.0
        said = is_threat_vote(action)
        ratio = math.log(self.rate(sensor, True, said) / self.rate(sensor, False, said))
        return min(max(ratio, 0.0), 2.0) if said else max(min(ratio, 0.0), -2.0)

    def decide(self, actions: list[int]) -> int:
        faulty, threshold = quorums(self.config)
        votes = sum(is_threat_vote(action) for action in actions)
        threats = sum(label for label, _ in self.known)
        benign = len(self.known) - threats
        if self.config.consensus.weights == "equal" or not (threats and benign):
            return decide(actions, faulty, threshold)
        # A threat if stopping it pays: P * (TP - FN) >= (1 - P) * (TN - FP).
        reward, odds = self.config.reward, (threats + 1) / (benign + 1)
        for sensor, action in enumerate(actions):
            odds *= math.exp(self.weight(sensor, action))
        pays = odds * (reward.true_positive - reward.false_negative)
        stopping = pays >= reward.true_negative - reward.false_positive
        threat = faulty < votes and (stopping or votes >= len(actions) - faulty)
        return decide_within(threat, actions, faulty)


def payoff(config: EnvConfig, threat: bool, action: int) -> float:
    """What one action on one event earns."""
    reward = config.reward
    usual = (0.5, 1.0, 0.25) if config.dynamics == "response" else (0.0, 0.0, 0.0)
    given = (reward.block_cost, reward.quarantine_cost, reward.alert_cost)
    cost = [reward.allow_cost]
    cost += [u if g is None else g for g, u in zip(given, usual, strict=True)]
    if is_threat_vote(action):
        value = reward.true_positive if threat else reward.false_positive
    else:
        value = reward.false_negative if threat else reward.true_negative
    return value - cost[action]


def proposal_payoff(config: EnvConfig, threat: bool, action: int) -> float:
    """What one proposal on one event earns: each level of confidence is a bet."""
    reward, earned = config.reward, 0.0
    lost_benign = reward.true_negative - reward.false_positive
    lost_threat = reward.true_positive - reward.false_negative
    for number in range((ALLOW, ALERT, BLOCK, QUARANTINE).index(action)):
        odds = lost_benign / lost_threat * (0.25, 1.0, 4.0)[number]
        probability = odds / (1 + odds)
        earned += (1 - probability) if threat else -probability
    return earned * (lost_benign + lost_threat) / 3 * reward.proposal_weight


_MASK = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15


def random_word(seed: int, episode: int, draw: int) -> int:
    """The word of a lane's stream: SplitMix64 of the seed, then of each counter in turn."""
    word = splitmix64(seed, 1)[0]
    for counter in (episode, draw):
        word = splitmix64((word + counter * _GOLDEN) & _MASK, 1)[0]
    return word


FAULT_NAMES = (
    "random",
    "flip",
    "always_allow",
    "silent",
    "equivocate",
    "worst_case",
    "sleeper",
)
#: From the least to the most harm, on a benign event and on a threat.
HARM_ORDER = {
    False: (ALLOW, ALERT, BLOCK, QUARANTINE),
    True: (QUARANTINE, BLOCK, ALERT, ALLOW),
}


class ScalarFaults:
    """The faulty sensors of one episode of one lane."""

    def __init__(
        self,
        config: EnvConfig,
        seed: int,
        episode: int,
        decide: Callable[[list[int]], int] | None = None,
    ) -> None:
        self.config, self.seed, self.episode = config, seed, episode
        self.decide = decide or ScalarAudits(config, seed, episode).decide
        self.kind = config.faults.fault
        if self.kind == "mixed":
            self.kind = FAULT_NAMES[self.word(1) % len(FAULT_NAMES)]
        order = sorted(range(config.agents), key=lambda sensor: self.word(2 + sensor))
        self.faulty = sorted(order[: config.faults.faulty])

    def word(self, draw: int) -> int:
        return random_word(self.seed, self.episode, draw)

    def agreed(self, actions: list[int], threat: bool, step: int, vote: int) -> list[int]:
        """The actions as agreed on, in round ``vote`` (0 a proposal, 1 the vote) of an event."""
        rounds = 1 + self.config.deliberation
        block = 1 + rounds * step + (rounds - 1) * vote
        first = 2 + block * self.config.agents
        return [
            self.claim(actions, threat, step, self.word(first + sensor), sensor)
            if sensor in self.faulty
            else action
            for sensor, action in enumerate(actions)
        ]

    def claim(self, actions: list[int], threat: bool, step: int, word: int, sensor: int) -> int:
        match self.kind:
            case "random":
                return word % 4
            case "flip":
                return {ALLOW: BLOCK, BLOCK: ALLOW, QUARANTINE: ALERT, ALERT: QUARANTINE}[
                    actions[sensor]
                ]
            case "always_allow":
                return ALLOW
            case "silent":
                return SILENT
            case "equivocate":
                honest = [a for s, a in enumerate(actions) if s not in self.faulty]
                return ALLOW if sum(map(is_threat_vote, honest)) * 2 > len(honest) else BLOCK
            case "sleeper" if step < self.config.faults.sleeper_start:
                return actions[sensor]
            case _:
                return max(range(4), key=lambda claim: self.harm(actions, threat, claim))

    def harm(self, actions: list[int], threat: bool, claim: int) -> int:
        said = [claim if s in self.faulty else a for s, a in enumerate(actions)]
        return HARM_ORDER[threat].index(self.decide(said))


def quorums(config: EnvConfig) -> tuple[int, int]:
    return (config.agents - 1) // 3, config.consensus.threshold or -(-config.agents // 2)


@dataclass
class ScalarStep:
    label: bool
    agreed: list[int]
    decision: int
    rewards: list[float]
    decision_reward: float
    truncated: bool


class ScalarEnv:
    """One lane, one event at a time, from a given start row."""

    def __init__(
        self, config: EnvConfig, table: TrafficTable, start: int, seed: int = 0, episode: int = 0
    ) -> None:
        self.config, self.table = config, table
        self.row = self.start = start
        self.label_feedback = ScalarAudits(config, seed, episode)
        self.faults = ScalarFaults(config, seed, episode, self.label_feedback.decide)
        self.proposals: list[int] | None = None

    def step(self, actions: list[int]) -> ScalarStep:
        config, threat = self.config, bool(self.table.labels[self.row])
        vote = not config.deliberation or self.proposals is not None
        agreed = self.faults.agreed(actions, threat, self.row - self.start, vote)
        decision = self.label_feedback.decide(agreed)
        if not vote:
            self.proposals = agreed
            rewards = [proposal_payoff(config, threat, action) for action in actions]
            for sensor in self.faults.faulty:
                rewards[sensor] = 0.0
            return ScalarStep(threat, agreed, decision, rewards, 0.0, False)
        self.proposals = None
        self.label_feedback.vote(self.row - self.start, threat, agreed)
        team = payoff(config, threat, decision)
        share = config.reward.team_share
        own = [payoff(config, threat, action) for action in actions]
        self.row += 1
        over = self.row - self.start == min(config.episode_length, len(self.table))
        rewards = [(1 - share) * o + share * team for o in own]
        for sensor in self.faults.faulty:
            rewards[sensor] = 0.0
        return ScalarStep(threat, agreed, decision, rewards, team, over)


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

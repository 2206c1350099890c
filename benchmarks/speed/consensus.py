"""Decisions per second of each agreement protocol, and how often honest sensors agree.

``python -m benchmarks.speed.consensus --out consensus.json``
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tyro

from benchmarks.common.measure import show, write_result
from marl_stl_env.config import ConsensusConfig
from marl_stl_env.consensus.faults import draw_faulty
from marl_stl_env.consensus.protocols.adversaries import random_messages, two_faced
from marl_stl_env.consensus.protocols.agreement import PROTOCOLS, decisions
from marl_stl_env.consensus.rules import DecisionRule
from marl_stl_env.types import ACTIONS, THREAT_VOTE, Action, BoolArray, Int8Array

TEAMS = (4, 7)
NAMES = {
    "ideal": "ideal functionality",
    "eig": "EIG",
    "kings": "parallel Phase King",
    "plain": "plain broadcast",
}


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes:
        lanes: Decisions of one call.
        repeats: Rounds over all protocols; the best time of each counts.
        seed: Seed of votes and of Byzantine messages.
        out: JSON file to write.
    """

    lanes: int = 4096
    repeats: int = 10
    seed: int = 0
    out: Path | None = None


@dataclass(frozen=True)
class Result:
    """One protocol for one team.

    Attributes:
        protocol: Name of the protocol.
        agents: Sensors.
        faulty: Byzantine sensors, as many as the protocol tolerates.
        per_second: Team decisions per second while faulty sensors send Allow to half of the team
            and Block to the other half.
        agreement: Share of decisions on whose class all honest sensors agree while faulty sensors
            send random messages.
    """

    protocol: str
    agents: int
    faulty: int
    per_second: float
    agreement: float


class Team:
    """Random votes of a team with as many faulty sensors as it tolerates."""

    def __init__(self, agents: int, settings: Settings) -> None:
        consensus = ConsensusConfig()
        self.rng = np.random.default_rng(settings.seed)
        self.faulty = consensus.faulty_for(agents)
        self.rule = DecisionRule(agents, self.faulty, consensus.threshold_for(agents))
        shape = (settings.lanes, agents)
        self.votes: Int8Array = self.rng.integers(0, ACTIONS, shape, np.int8)
        self.faulty_sensors = draw_faulty(
            self.rng.integers(0, 2**64, shape, np.uint64), self.faulty
        )

    def seconds(self, protocol: str) -> float:
        """Wall time to agree and decide; the ideal functionality is one party's decision."""
        adversary = two_faced(Action.ALLOW, Action.BLOCK)
        start = time.perf_counter()
        agreed = PROTOCOLS[protocol](self.votes, self.faulty_sensors, self.faulty, adversary)
        decisions(agreed[:, :1] if protocol == "ideal" else agreed, self.rule)
        return time.perf_counter() - start

    def agreement(self, protocol: str) -> float:
        """Share of lanes in which all honest sensors decide for the same class."""
        adversary = random_messages(self.rng)
        agreed = PROTOCOLS[protocol](self.votes, self.faulty_sensors, self.faulty, adversary)
        threat: BoolArray = THREAT_VOTE[decisions(agreed, self.rule)]
        some_threat = (threat & ~self.faulty_sensors).any(axis=1)
        some_benign = (~threat & ~self.faulty_sensors).any(axis=1)
        return 1.0 - float((some_threat & some_benign).mean())


def measure(settings: Settings) -> list[Result]:
    """Time all protocols in turns, so that other load affects them equally."""
    teams = {agents: Team(agents, settings) for agents in TEAMS}
    best = {(agents, protocol): math.inf for agents in TEAMS for protocol in PROTOCOLS}
    for _ in range(settings.repeats):
        for (agents, protocol), seconds in best.items():
            best[agents, protocol] = min(seconds, teams[agents].seconds(protocol))
    return [
        Result(
            protocol=protocol,
            agents=agents,
            faulty=teams[agents].faulty,
            per_second=settings.lanes / seconds,
            agreement=teams[agents].agreement(protocol),
        )
        for (agents, protocol), seconds in best.items()
    ]


def main(settings: Settings) -> None:
    """Measure, print, and write the results."""
    results = measure(settings)
    rows = [
        (NAMES[one.protocol], one.agents, one.faulty, one.per_second, f"{one.agreement:.1%}")
        for one in results
    ]
    columns = ("protocol", "sensors", "faulty sensors", "decisions/s", "agreement")
    show("Team decisions, with f = (n - 1) / 3 faulty sensors", columns, rows)
    report = {
        "benchmark": "consensus",
        "lanes": settings.lanes,
        "results": [asdict(item) for item in results],
    }
    write_result(settings.out, report)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))

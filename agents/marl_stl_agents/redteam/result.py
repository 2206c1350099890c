"""What a training in turns leaves behind: the team against every attacker, and a replay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from marl_stl_agents.config import TrainConfig
from marl_stl_agents.config.redteam import RedTeamConfig
from marl_stl_agents.redteam.exploit import (
    RESPONSE,
    AttackMetrics,
    best_responses,
    evaluate_attacks,
    exploitability,
    mixture_of,
    simple_attacks,
)
from marl_stl_agents.redteam.replay import sent_and_arrived
from marl_stl_agents.redteam.rollout import attacked_rollout
from marl_stl_agents.run_directory import write_json
from marl_stl_env.adversary.engine import Attack
from marl_stl_env.adversary.policies import Choose, no_attack
from marl_stl_env.adversary.table import disguised_table
from marl_stl_env.config import EnvConfig, Split
from marl_stl_env.data.prepare import PreparedData

#: What is written into the run directory.
RESULT, REPLAY = "attacks.json", "disguised.json"
Say: TypeAlias = Callable[[str], object]


@dataclass(frozen=True, eq=False)
class Table:
    """What both sides play on.

    Attributes:
        settings: The training in turns.
        config: The run that the team comes from.
        prepared: Its data.
    """

    settings: RedTeamConfig
    config: TrainConfig
    prepared: PreparedData

    def task(self, split: Split = "train") -> EnvConfig:
        """The environment of a split: its sensors are honest but for the attackers' own."""
        return replace(self.config.task, split=split, faults=self.settings.faults)

    @property
    def training(self) -> TrainConfig:
        """The run as the team goes on with it: with its own faulty sensors, or the attackers'."""
        if not self.settings.owned_sensors:
            return self.config
        return replace(self.config, env=replace(self.config.env, faults=self.settings.faults))


def write_attacks(
    target: Path, table: Table, choose: Choose, attacks: Sequence[Attack], say: Say
) -> dict[str, AttackMetrics]:
    """Let all attackers meet the team on the evaluated split, and write how it did.

    Args:
        target: The new run.
        table: What both sides play on.
        choose: The policy of the team's sensors.
        attacks: The attackers of all turns.
        say: Called with what is being done.
    """
    settings, prepared = table.settings, table.prepared
    seeds = [settings.seed + i for i in range(settings.responses)]
    say(f"training {len(seeds)} best responses to the team, and evaluating it")
    responses = best_responses(
        table.task(), settings.adversary, prepared, choose, settings.attack_iterations, seeds
    )
    task = table.task(settings.split)
    metrics = evaluate_attacks(
        task,
        settings.adversary,
        prepared,
        choose,
        {**simple_attacks(choose), **mixture_of(attacks), **responses},
    )
    disguised = disguised_table(task, settings.adversary, prepared)
    disguises = disguised.disguises
    write_json(
        target / RESULT,
        {
            "schema": 1,
            "split": settings.split,
            "turns": settings.turns,
            "exploitability": exploitability(metrics),
            "attacks": {name: one.as_dict() for name, one in metrics.items()},
            "disguises": [disguises.described(number) for number in range(len(disguises))],
        },
    )
    first = responses[f"{RESPONSE}_{seeds[0]}"]
    plain, attacked = (
        attacked_rollout(task, settings.adversary, disguised, choose, attack)
        for attack in (no_attack, first)
    )
    shown = sent_and_arrived(prepared, settings.split, disguises, plain, attacked)
    write_json(target / REPLAY, {"schema": 1, "split": settings.split, "attacks": shown})
    return metrics

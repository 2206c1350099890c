"""The configuration of a training against attackers that learn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from marl_stl_agents.config.ppo import MAX_THREADS
from marl_stl_env.config import AdversaryConfig, FaultConfig, Split
from marl_stl_env.config.shown import ShowsChanges
from marl_stl_env.errors import ConfigError
from marl_stl_env.validation import check_range, check_types


@dataclass(frozen=True, repr=False)
class RedTeamConfig(ShowsChanges):
    """Training in turns against attackers that learn, and what they can do to a team.

    Attributes:
        run: The run directory of a trained team; None takes the newest under ``runs``.
        run_dir: Folder of the new run; None makes ``RUN-redteam`` beside the old one. The same
            command again goes on where it was stopped.
        turns: Turns of training: in each, new attackers learn against all teams so far, then the
            team against all attackers so far. 0 only evaluates the team as it is.
        attack_iterations: Rollouts that attackers learn for, in a turn and as a best response.
        team_iterations: Rollouts that the team learns for, in a turn.
        responses: Best responses that are trained to evaluate the team, each with its own seed.
        attackers: Number of attackers.
        disguises: Disguises to choose from.
        constraints: A JSON file of what an attacker may change; None takes the data set's own.
        disguise_cost: Weight of what a disguise takes from an attack's worth.
        owned_sensors: Sensors that are the attackers': they claim what harms the team most. 0
            evaluates with honest sensors, and lets the team learn with the faulty ones of its run.
        split: The split to evaluate on; best responses learn on the training split.
        seed: Seed of all that is drawn.
        threads: Threads of torch.
        plugins: Modules of your own to import beside those of the run, or in place of one of the
            same name that has moved or changed. Their code is run.
    """

    run: tyro.conf.Positional[Path | None] = None
    run_dir: Path | None = None
    turns: int = 3
    attack_iterations: int = 25
    team_iterations: int = 15
    responses: int = 1
    attackers: int = 1
    disguises: int = 8
    constraints: Path | None = None
    disguise_cost: float = 1.0
    owned_sensors: int = 0
    split: Split = "test"
    seed: int = 0
    threads: int = 1
    plugins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_types(self)
        check_range("turns", self.turns, 0, 1000)
        check_range("attack_iterations", self.attack_iterations, 1, 10**6)
        check_range("team_iterations", self.team_iterations, 1, 10**6)
        check_range("responses", self.responses, 1, 1000)
        check_range("owned_sensors", self.owned_sensors, 0, 64)
        check_range("seed", self.seed, 0, 2**31)
        check_range("threads", self.threads, 1, MAX_THREADS)
        if self.run is not None and self.run == self.run_dir:
            raise ConfigError(
                f"run_dir={str(self.run_dir)!r} is the run to begin with, which stays as it is; "
                "choose another --run-dir"
            )
        _ = self.adversary  # checks its own

    @property
    def faults(self) -> FaultConfig:
        """The faulty sensors of the attackers."""
        return (
            FaultConfig(self.owned_sensors, "worst_case") if self.owned_sensors else FaultConfig()
        )

    @property
    def adversary(self) -> AdversaryConfig:
        """The attackers."""
        return AdversaryConfig(
            attackers=self.attackers,
            disguises=self.disguises,
            constraints=self.constraints,
            disguise_cost=self.disguise_cost,
            owns_faulty=self.owned_sensors > 0,
        )

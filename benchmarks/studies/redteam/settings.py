"""The teams and attackers of the study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from marl_stl_agents.config import PPOConfig, TrainConfig
from marl_stl_agents.config.redteam import RedTeamConfig

from marl_stl_env.config import DataConfig, EnvConfig

#: Small networks: the study is about what attackers change, not about the last per cent.
PPO = PPOConfig(width=64)
SYNTHETIC = DataConfig(dataset="synthetic", dataset_options=("rows=60000",))
UNSW = DataConfig(dataset="unsw-nb15", drop_duplicates=True, threat_rate=0.109)


@dataclass(frozen=True)
class Game:
    """What is played for.

    Attributes:
        data: The data set.
        disguises: Disguises to choose from.
        attack_iterations: Rollouts that attackers learn for: more for more disguises.
    """

    data: DataConfig
    disguises: int
    attack_iterations: int


#: By the names of their folders.
GAMES = {
    "synthetic-8": Game(SYNTHETIC, 8, 15),
    "unsw-nb15-32": Game(UNSW, 32, 40),
    "synthetic-32": Game(SYNTHETIC, 32, 40),
    "unsw-nb15-8": Game(UNSW, 8, 15),
}
TURNS, TEAM_ITERATIONS = 3, 15
#: Best responses to every team, and how far apart the first seeds of two teams' attackers are.
RESPONSES, APART = 5, 10
#: How many disguises are fitted for teams that met others. Other numbers give other disguises.
UNMET = (8, 16, 32, 48)


def team(data: DataConfig, seed: int, folder: Path) -> TrainConfig:
    """The plain team of a data set."""
    return TrainConfig(
        env=EnvConfig(data=data),
        ppo=PPO,
        stl="off",
        backend="native",
        device="cpu",
        lanes=32,
        iterations=40,
        evaluate_every=20,
        seed=seed,
        run_dir=folder,
        progress=False,
        preflight=False,
    )


def attackers(game: Game, run: Path, run_dir: Path, seed: int, turns: int) -> RedTeamConfig:
    """Attackers of a run: best responses alone with no turns, or training in turns."""
    return RedTeamConfig(
        run=run,
        run_dir=run_dir,
        turns=turns,
        attack_iterations=game.attack_iterations,
        team_iterations=TEAM_ITERATIONS,
        disguises=game.disguises,
        responses=RESPONSES,
        seed=APART * seed,
    )

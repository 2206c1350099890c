"""The teams and attackers of the study."""

from __future__ import annotations

from pathlib import Path

from marl_stl_agents.config import PPOConfig, TrainConfig
from marl_stl_agents.config.redteam import RedTeamConfig

from marl_stl_env.config import DataConfig, EnvConfig

#: Small networks: the study is about what attackers change, not about the last per cent.
PPO = PPOConfig(width=64)
#: Data set to what is replayed.
DATA = {
    "synthetic": DataConfig(dataset="synthetic", dataset_options=("rows=60000",)),
    "unsw-nb15": DataConfig(dataset="unsw-nb15", drop_duplicates=True, threat_rate=0.109),
}
TURNS, ATTACK_ITERATIONS, TEAM_ITERATIONS, DISGUISES = 3, 25, 15, 32
#: Best responses to the teams of the first seed, on seeds of their own from this one on.
RESPONSES, RESPONSE_SEED = 5, 100


def team(name: str, seed: int, folder: Path) -> TrainConfig:
    """The plain team of a data set."""
    return TrainConfig(
        env=EnvConfig(data=DATA[name]),
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


def attackers(run: Path, run_dir: Path, seed: int, turns: int, responses: int = 1) -> RedTeamConfig:
    """Attackers of a run: best responses alone with no turns, or training in turns."""
    return RedTeamConfig(
        run=run,
        run_dir=run_dir,
        turns=turns,
        attack_iterations=ATTACK_ITERATIONS,
        team_iterations=TEAM_ITERATIONS,
        disguises=DISGUISES,
        responses=responses,
        seed=seed,
    )

"""The settings that the preset ``unseen`` was chosen from."""

from __future__ import annotations

from dataclasses import replace

from marl_stl_agents.config import PPOConfig, TrainConfig

from benchmarks.leaderboard.open_entries import BASELINES
from benchmarks.leaderboard.open_world import CLASSIFIERS, Contender, Team
from marl_stl_env.config import ConsensusConfig, DataConfig, EnvConfig, RewardConfig, StlConfig

_BALANCED = DataConfig(balance="families")
_OUTLIERS = replace(_BALANCED, synthetic_outliers=0.25)
_ENV = EnvConfig(
    consensus=ConsensusConfig(max_faulty=0),  # every threshold of the vote is looked at
    reward=RewardConfig(team_share=0.0),
    stl=StlConfig(monitor=False),
)
_FEATURES = TrainConfig(
    replace(_ENV, data=_OUTLIERS, agents=16, views="random"),
    PPOConfig(entropy_coefficient=0.05, width=64),
    stl="off",
    iterations=20,
)
_OPINIONS = TrainConfig(
    replace(_ENV, data=_BALANCED, agents=7, second_opinions=7),
    PPOConfig(entropy_coefficient=0.02, width=32, bins=0),
    stl="off",
    iterations=20,
)
#: The settings to choose from, and what they are compared with.
CANDIDATES: dict[str, Contender] = {
    "second opinions": Team(_OPINIONS),
    "features": Team(_FEATURES),
    "second opinions and features": Team(
        replace(
            _FEATURES,
            env=replace(_FEATURES.env, agents=9, second_opinions=5),
            ppo=replace(_FEATURES.ppo, entropy_coefficient=0.02),
        )
    ),
    **CLASSIFIERS,
    "default team": BASELINES["default team"],
}

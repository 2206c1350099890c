"""Settings of the learning study."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from marl_stl_agents.config import PPOConfig, TrainConfig

from benchmarks.common.partial import PARTIAL
from marl_stl_env.config import ConsensusConfig, DataConfig, EnvConfig, RewardConfig

OWN = RewardConfig(team_share=0.0)
FULL: dict[str, Any] = {"views": "full", "reward": OWN}
NSL = replace(PARTIAL, data=DataConfig(dataset="nsl-kdd"))
STRATIFIED = replace(NSL, data=replace(NSL.data, split_method="stratified"))
RARE = replace(STRATIFIED, data=replace(STRATIFIED.data, threat_rate=0.109))


@dataclass(frozen=True)
class Setting:
    """A setting, one row of the results.

    Attributes:
        env: The environment.
        ppo: Settings of PPO.
        iterations: Rollouts of about 16,000 agent-steps; fewer than the default where the
            validation reward has stopped rising.
        every: Iterations between two evaluations on the validation split.
        warm_start: Epochs of imitation before PPO.
    """

    env: EnvConfig
    ppo: PPOConfig = field(default_factory=PPOConfig)
    iterations: int = 30
    every: int = 3
    warm_start: int = 0

    def train_config(self, seed: int) -> TrainConfig:
        """A run on the native backend with 256 sensors over all lanes."""
        return TrainConfig(
            env=self.env,
            ppo=self.ppo,
            stl="off",
            seed=seed,
            backend="native",
            lanes=max(1, 256 // self.env.agents),
            iterations=self.iterations,
            evaluate_every=self.every,
            warm_start=self.warm_start,
            progress=False,
            preflight=False,
        )


SETTINGS = {
    "synthetic": Setting(PARTIAL, iterations=60),
    "synthetic, full views": Setting(replace(PARTIAL, **FULL), iterations=45),
    "nsl-kdd stratified": Setting(STRATIFIED, iterations=60),
    "nsl-kdd stratified, full views": Setting(replace(STRATIFIED, **FULL), iterations=45),
    "nsl-kdd stratified at 10.9 %": Setting(
        RARE, PPOConfig(sharing="independent"), iterations=360, every=18
    ),
    "nsl-kdd stratified at 10.9 %, full views": Setting(
        replace(RARE, **FULL), PPOConfig(bins=24), iterations=45
    ),
    "nsl-kdd official": Setting(NSL),
    "unsw-nb15 official": Setting(replace(PARTIAL, data=DataConfig(dataset="unsw-nb15"))),
}
_THREE_VOTES = replace(PARTIAL, consensus=ConsensusConfig(threshold=3))
_CHOICES = {
    "defaults": Setting(PARTIAL),
    "team_share 0.5": Setting(replace(PARTIAL, reward=RewardConfig(team_share=0.5))),
    "team_share 0": Setting(replace(PARTIAL, reward=OWN)),
    "threshold 3": Setting(_THREE_VOTES),
    "discount 0.5": Setting(PARTIAL, PPOConfig(discount=0.5)),
    "discount 0.99": Setting(PARTIAL, PPOConfig(discount=0.99)),
    "independent": Setting(PARTIAL, PPOConfig(sharing="independent")),
    "width 64": Setting(PARTIAL, PPOConfig(width=64)),
    "width 256": Setting(PARTIAL, PPOConfig(width=256)),
    "no encoding": Setting(PARTIAL, PPOConfig(bins=0)),
    "learning rate 3e-4": Setting(PARTIAL, PPOConfig(learning_rate=3e-4)),
    "entropy 0.02": Setting(PARTIAL, PPOConfig(entropy_coefficient=0.02)),
    "full views": Setting(replace(PARTIAL, views="full")),
    "full views, team_share 0": Setting(replace(PARTIAL, **FULL)),
}
#: Each changes one default, and is trained as long as the default.
CHOICES = {name: replace(one, iterations=60, every=10) for name, one in _CHOICES.items()}

"""Settings of the learning study."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from marl_stl_agents.commands.presets import PRESETS
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
        redraw: Whether every seed also has its own validation split, synthetic outliers and random
            views.
    """

    env: EnvConfig
    ppo: PPOConfig = field(default_factory=PPOConfig)
    iterations: int = 30
    every: int = 3
    redraw: bool = False

    def train_config(self, seed: int) -> TrainConfig:
        """A run on the native backend with 256 sensors over all lanes."""
        return TrainConfig(
            env=replace(self.env, data=replace(self.env.data, split_seed=seed))
            if self.redraw
            else self.env,
            ppo=self.ppo,
            stl="off",
            seed=seed,
            backend="native",
            lanes=max(1, 256 // self.env.agents),
            iterations=self.iterations,
            evaluate_every=self.every,
            progress=False,
            preflight=False,
        )


UNSEEN_ATTACKS = "nsl-kdd official, for unseen attacks"
PROTOTYPES = f"{UNSEEN_ATTACKS}, prototypes"
#: What the folds of types had chosen, before the folds of classes (``benchmarks.studies.unseen``).
SHORT = f"{UNSEEN_ATTACKS}, short training"
NO_SYNTHETIC = f"{SHORT}, no synthetic outliers"


def _preset(name: str) -> Setting:
    """A preset on the official split of NSL-KDD."""
    preset = PRESETS[name].settings()
    env = replace(preset.env, data=replace(preset.env.data, dataset="nsl-kdd"))
    return Setting(env, preset.ppo, preset.iterations, preset.evaluate_every, redraw=True)


_UNSEEN = _preset("unseen")
_NINE_VOTES = ConsensusConfig(threshold=9)
_SHORT = replace(_UNSEEN, env=replace(_UNSEEN.env, consensus=_NINE_VOTES), iterations=30, every=30)
#: Two votes of 16 are the best of the folds of types without synthetic outliers.
_TWO_VOTES = ConsensusConfig(max_faulty=0, threshold=2)
SETTINGS = {
    "synthetic": Setting(PARTIAL, iterations=60),
    "synthetic, full views": Setting(replace(PARTIAL, **FULL), iterations=45),
    "nsl-kdd stratified": Setting(STRATIFIED, iterations=60),
    "nsl-kdd stratified, full views": Setting(replace(STRATIFIED, **FULL), iterations=45),
    "nsl-kdd stratified at 10.9 %": Setting(
        RARE, PPOConfig(sharing="independent", edges="values"), iterations=360, every=18
    ),
    "nsl-kdd stratified at 10.9 %, full views": Setting(
        replace(RARE, **FULL), PPOConfig(bins=24), iterations=45
    ),
    "nsl-kdd official": Setting(NSL),
    UNSEEN_ATTACKS: _UNSEEN,
    PROTOTYPES: _preset("prototypes"),
    SHORT: _SHORT,
    NO_SYNTHETIC: replace(
        _SHORT,
        env=replace(
            _SHORT.env, data=replace(_SHORT.env.data, synthetic_outliers=0.0), consensus=_TWO_VOTES
        ),
    ),
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

"""Settings with a name, as defaults of the command line."""

from __future__ import annotations

from dataclasses import replace

from marl_stl_agents.commands.options import TrainCommand
from marl_stl_agents.config import PPOConfig
from marl_stl_env.config import (
    ConsensusConfig,
    DataConfig,
    EnvConfig,
    FaultConfig,
    RewardConfig,
    StlConfig,
)

#: In a response an action has consequences for its entity.
_FORESIGHT = PPOConfig(
    learning_rate=1e-3, n_steps=256, discount=0.8, credit="entity", entropy_coefficient=0.03
)

#: ``docs/results/`` says which settings of "seed" are published and which are assumed, and how
#: those of the others were chosen. "unseen" has no choice of a checkpoint, since validation holds
#: no unseen attacks.
PRESETS: dict[str, TrainCommand] = {
    "fast": TrainCommand(preset="fast", ppo=PPOConfig(n_epochs=3, shared_trunk=True)),
    "seed": TrainCommand(
        preset="seed",
        env=EnvConfig(
            agents=3,
            views="full",
            episode_length=1000,
            reward=RewardConfig(true_negative=1.0, false_negative=-10.0),
        ),
        ppo=PPOConfig(
            learning_rate=3e-4,
            schedule="constant",
            n_steps=2048,
            batch_size=64,
            n_epochs=10,
            discount=0.99,
            gae_lambda=0.95,
            clip_range=0.2,
            entropy_coefficient=0.05,
            value_coefficient=1.5,
            max_grad_norm=0.5,
            bins=0,
            width=64,
            depth=2,
        ),
        stl="off",
        lanes=1,
        iterations=150,
    ),
    "unseen": TrainCommand(
        preset="unseen",
        env=EnvConfig(
            data=DataConfig(balance="families"),
            agents=7,
            second_opinions=7,
            reward=RewardConfig(team_share=0.0),
            consensus=ConsensusConfig(max_faulty=2, threshold=3),
        ),
        ppo=PPOConfig(entropy_coefficient=0.02, width=32, bins=0),
        stl="off",
        backend="native",
        lanes=36,
        iterations=20,
        evaluate_every=20,
    ),
    "response": TrainCommand(
        preset="response",
        env=EnvConfig(dynamics="response", agents=4, views="groups"),
        ppo=_FORESIGHT,
        stl="off",
        lanes=16,
        iterations=100,
    ),
    "certified": TrainCommand(
        preset="certified",
        env=EnvConfig(
            dynamics="response",
            agents=7,
            views="overlap",
            episode_length=256,
            data=DataConfig(split_method="temporal"),
            faults=FaultConfig(2, "mixed"),
            stl=StlConfig(monitor=True, shield=True),
        ),
        ppo=replace(
            _FORESIGHT,
            learning_rate=3e-4,
            width=64,
            entropy_coefficient=0.01,
            final_entropy_coefficient=0.005,
        ),
        stl="lagrangian",
        lanes=32,
        iterations=30,
        warm_start=15,
    ),
}

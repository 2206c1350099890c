"""The weights that PPO begins with: those of a policy that imitates calibrated classifiers."""

from __future__ import annotations

from marl_stl_agents.config import TrainConfig
from marl_stl_agents.imitation.cloning import clone, play
from marl_stl_agents.imitation.teacher import Teacher
from marl_stl_agents.policies.team import TeamPolicy
from marl_stl_env.data.prepare import PreparedData


def warm_start(config: TrainConfig, prepared: PreparedData, policy: TeamPolicy) -> float:
    """Teach an untrained policy to vote as classifiers do.

    Only labels of the training split are learned from; the classifiers are calibrated on the
    validation split.

    Args:
        config: The run; ``warm_start`` is its number of epochs.
        prepared: Its data.
        policy: The untrained policy, which is changed.

    Returns:
        On how large a share of events that were kept out policy and classifiers agree.
    """
    lesson = play(config, prepared.tables["train"], Teacher(config.task, prepared))
    return clone(policy, lesson, config.warm_start, config.seed)

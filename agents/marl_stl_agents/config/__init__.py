"""Frozen, validated configuration of trainings, evaluations and decisions."""

from marl_stl_agents.config.evaluate import DecideConfig, EvaluateConfig
from marl_stl_agents.config.ppo import (
    ClusterConfig,
    ConstraintConfig,
    Credit,
    Network,
    PPOConfig,
    ReturnNormalization,
    Schedule,
    Sharing,
)
from marl_stl_agents.config.serve import ServeConfig
from marl_stl_agents.config.train import Backend, Device, Stl, TrainConfig

__all__ = [
    "Backend",
    "ClusterConfig",
    "ConstraintConfig",
    "Credit",
    "DecideConfig",
    "Device",
    "EvaluateConfig",
    "Network",
    "PPOConfig",
    "ReturnNormalization",
    "Schedule",
    "ServeConfig",
    "Sharing",
    "Stl",
    "TrainConfig",
]

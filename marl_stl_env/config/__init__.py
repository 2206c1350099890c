"""Frozen, validated configuration of an environment."""

from marl_stl_env.config.adversary import AdversaryConfig
from marl_stl_env.config.data import Balance, DataConfig, Split, SplitMethod
from marl_stl_env.config.env import (
    RANDOM_SHARE,
    Deliberation,
    EnvConfig,
    Order,
    Views,
    make_config,
)
from marl_stl_env.config.response import ResponseConfig, StlConfig
from marl_stl_env.config.shown import ShowsChanges
from marl_stl_env.config.vote import (
    MIXED,
    PAYOFFS,
    THRESHOLD_RULE,
    ConsensusConfig,
    Dynamics,
    FaultConfig,
    RewardConfig,
    Weights,
)
from marl_stl_env.validation import from_plain

__all__ = [
    "MIXED",
    "PAYOFFS",
    "RANDOM_SHARE",
    "THRESHOLD_RULE",
    "AdversaryConfig",
    "Balance",
    "ConsensusConfig",
    "DataConfig",
    "Deliberation",
    "Dynamics",
    "EnvConfig",
    "FaultConfig",
    "Order",
    "ResponseConfig",
    "RewardConfig",
    "ShowsChanges",
    "Split",
    "SplitMethod",
    "StlConfig",
    "Views",
    "Weights",
    "from_plain",
    "make_config",
]

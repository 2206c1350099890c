"""A multi-agent intrusion-response environment over real labelled traffic."""

from marl_stl_env import data, envs
from marl_stl_env.config import (
    ConsensusConfig,
    DataConfig,
    EnvConfig,
    FaultConfig,
    ResponseConfig,
    RewardConfig,
    StlConfig,
)
from marl_stl_env.consensus.faults import register_fault
from marl_stl_env.consensus.rules import register_rule
from marl_stl_env.data import TrafficTable, load_dataset
from marl_stl_env.data.loaders import register_dataset
from marl_stl_env.data.registry import datasets
from marl_stl_env.engine.reward import register_reward
from marl_stl_env.engine.spec_signals import register_spec_signal
from marl_stl_env.envs.aec import aec_env
from marl_stl_env.envs.parallel import parallel_env
from marl_stl_env.registration import register_environments
from marl_stl_env.types import Action

__version__ = "0.1.0"

__all__ = [
    "Action",
    "ConsensusConfig",
    "DataConfig",
    "EnvConfig",
    "FaultConfig",
    "ResponseConfig",
    "RewardConfig",
    "StlConfig",
    "TrafficTable",
    "aec_env",
    "data",
    "datasets",
    "envs",
    "load_dataset",
    "parallel_env",
    "register_dataset",
    "register_fault",
    "register_reward",
    "register_rule",
    "register_spec_signal",
]

register_environments()

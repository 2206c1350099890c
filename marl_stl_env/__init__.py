"""A multi-agent intrusion-response environment over real labelled traffic.

Five things to begin with:

1. Play: a team of sensors, one event a step (PettingZoo).

   >>> import marl_stl_env as mse
   >>> env = mse.parallel_env(dataset_options={"rows": 2000}, episode_length=100)
   >>> observations, infos = env.reset(seed=0)
   >>> actions = {agent: mse.Action.ALLOW for agent in env.agents}
   >>> observations, rewards, _, truncations, infos = env.step(actions)
   >>> sorted(rewards) == sorted(env.possible_agents)
   True

2. One analyst who sees everything (Gymnasium), or many at once with ``gymnasium.make_vec``.

   >>> import gymnasium
   >>> one = gymnasium.make("marl_stl_env/Traffic-v0", dataset_options={"rows": 2000})
   >>> observation, info = one.reset(seed=0)

3. Other data: ``mse.datasets()`` names the known sets, "custom" reads your own file.

   >>> options = {"path": "flows.csv", "label": "attack"}
   >>> own = mse.parallel_env(dataset="custom", dataset_options=options)

4. Faulty sensors, specifications, responses: every setting is a keyword.

   >>> hard = mse.response_v0.parallel_env(
   ...     dataset_options={"rows": 2000},
   ...     agents=7,
   ...     views="overlap",
   ...     faults={"faulty": 2, "fault": "worst_case"},
   ...     stl={"monitor": True, "specs": {"quiet": "G (alerts_16 <= 6)"}},
   ... )

5. Thousands of lanes (independent copies of the stream) as arrays, from the engine itself.

   >>> from marl_stl_env.engine.engine import Engine
   >>> engine = Engine(env.config, env.engine.table, lanes=64, seeds=0)
   >>> engine.reset()
   >>> engine.observe().shape == (64, len(env.possible_agents), len(env.observation_layout))
   True

``marl_stl_agents`` trains and evaluates: ``train``, ``evaluate`` and ``load_team``, or from the
command line ``marl-stl-train`` and ``marl-stl-evaluate``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from marl_stl_env.registration import register_environments

if TYPE_CHECKING:
    from marl_stl_env import adversarial_v0, data, envs, response_v0, traffic_v0
    from marl_stl_env.config import (
        AdversaryConfig,
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
    from marl_stl_env.types import Action

__version__ = "0.1.0"

__all__ = [
    "Action",
    "AdversaryConfig",
    "ConsensusConfig",
    "DataConfig",
    "EnvConfig",
    "FaultConfig",
    "ResponseConfig",
    "RewardConfig",
    "StlConfig",
    "TrafficTable",
    "adversarial_v0",
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
    "response_v0",
    "traffic_v0",
]

#: Where each name is loaded from on first use, so that importing this package alone is quick.
_HOMES = {
    "Action": "types",
    "TrafficTable": "data.table",
    "aec_env": "envs.aec",
    "datasets": "data.registry",
    "load_dataset": "data",
    "parallel_env": "envs.parallel",
    "register_dataset": "data.loaders",
    "register_fault": "consensus.faults",
    "register_reward": "engine.reward",
    "register_rule": "consensus.rules",
    "register_spec_signal": "engine.spec_signals",
}
_MODULES = (
    *(
        "adversarial_v0",
        "adversary",
        "config",
        "consensus",
        "data",
        "engine",
        "envs",
        "errors",
        "plugins",
        "rendering",
    ),
    *("response_v0", "stl", "testing", "traffic_v0", "types"),
)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'config')}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


register_environments()

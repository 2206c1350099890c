"""Training of teams for studies: without run directory, with the last policy."""

from __future__ import annotations

from typing import cast

from marl_stl_agents.algorithms.ppo import make_model, make_vec_env, resolve_device
from marl_stl_agents.config import PPOConfig, TrainConfig
from marl_stl_agents.evaluation.metrics import normalized_score, reward_per_event
from marl_stl_agents.evaluation.rollouts import Act, greedy
from marl_stl_agents.imitation.warm_start import warm_start as imitate
from marl_stl_agents.policies.team import TeamPolicy

from marl_stl_env.config import EnvConfig
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.types import THREAT_VOTE, Action, Int8Array

#: Sensors in all lanes together, whatever the size of the team.
SENSORS = 256
#: Smaller minibatches learn more from the same events: with deliberation on the validation split
#: (seed 100, 90 rollouts, batches of 2048, 1024 and 512) 0.806, 0.796 and 0.817 on ``synthetic``;
#: with 1024 and 512 0.929 and 0.943 on NSL-KDD at 10.9 % threats. All teams of a study get them.
PPO = PPOConfig(batch_size=512)


def train_team(
    env: EnvConfig,
    seed: int,
    iterations: int,
    ppo: PPOConfig | None = None,
    warm_start: int = 0,
    data: PreparedData | None = None,
) -> Act:
    """Train a team on the native backend and return its greedy policy.

    Args:
        env: The environment, faulty sensors included.
        seed: Seed of the run.
        iterations: Rollouts of about 16,000 agent-steps.
        ppo: Settings of PPO; None takes the defaults.
        warm_start: Epochs of imitation before PPO.
        data: Its data; None prepares what the environment names.
    """
    lanes, data = SENSORS // env.agents, prepare(env, data)
    config = TrainConfig(
        env,
        ppo or PPOConfig(),
        stl="off",
        backend="native",
        lanes=lanes,
        iterations=iterations,
        seed=seed,
        progress=False,
        warm_start=warm_start,
    )
    device = resolve_device("cpu", 1)
    venv = make_vec_env(config, data)
    model = make_model(config, venv, data.tables["train"], device)
    if warm_start:
        imitate(config, data, cast("TeamPolicy", model.policy))
    model.learn(iterations * config.ppo.n_steps * venv.num_envs)
    venv.close()
    model.policy.set_training_mode(False)
    return greedy(model.policy)


def normalized(env: EnvConfig, table: TrafficTable, decisions: Int8Array) -> float:
    """Reward of the decisions between the best constant policy (0) and the oracle (1)."""

    def reward(actions: Int8Array) -> float:
        return reward_per_event(table.labels, actions, env.reward)

    constants = (decisions * 0 + Action.ALLOW, decisions * 0 + Action.BLOCK)
    right = table.labels * decisions.dtype.type(Action.BLOCK)
    value = normalized_score(reward(decisions), max(map(reward, constants)), reward(right))
    if value is None:
        raise ValueError("a constant policy is perfect on this table")
    return value


def f1(table: TrafficTable, decisions: Int8Array) -> float:
    """F1 of the threat decisions; 0 without threats and threat decisions."""
    votes = THREAT_VOTE[decisions]
    hits = int((votes & table.labels).sum())
    return 2 * hits / max(int(votes.sum()) + int(table.labels.sum()), 1)


def recall(table: TrafficTable, decisions: Int8Array) -> float:
    """Share of the threats that were stopped."""
    return float(THREAT_VOTE[decisions][table.labels].mean())

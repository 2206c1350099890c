"""Rollouts with faulty sensors in the team, and the replicated-sensor control."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from marl_stl_agents.evaluation.baselines import Baseline, carried_out, decision_rule
from marl_stl_agents.evaluation.metrics import event_rewards, score
from marl_stl_agents.evaluation.replay import Trajectory, trajectory_of
from marl_stl_agents.evaluation.result import FaultMetrics, ReplicatedControl
from marl_stl_agents.evaluation.rollouts import Act, Rollout, collect_rollout
from marl_stl_env.config import EnvConfig, FaultConfig
from marl_stl_env.consensus.faults import FAULTS, fault_names
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.faults import FaultySensors
from marl_stl_env.engine.state import LaneState
from marl_stl_env.types import Int8Array

#: Without reliability weights a sleeper gains nothing by waiting: awake, it is ``worst_case``.
AWAKE_FAULTS = tuple(name for name in FAULTS.builtin() if name != "sleeper")


def evaluated_faults(config: EnvConfig, own: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The faults that a team is evaluated under: sleepers too where past votes count.

    Args:
        config: The environment.
        own: Registered faults to add; see :func:`own_faults`.
    """
    weighted = config.consensus.weights == "reliability"
    return (*(FAULTS.builtin() if weighted else AWAKE_FAULTS), *own)


def own_faults(trained: FaultConfig, asked: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The registered faults that a team was trained with, and those that were asked for.

    Raises:
        UnknownNameError: If there is no such fault.
    """
    named = [*fault_names(trained.fault), *(n for one in asked for n in fault_names(one))]
    return tuple(name for name in dict.fromkeys(named) if FAULTS.is_own(name))


def replay_with_faults(
    config: EnvConfig, table: TrafficTable, actions: Int8Array, faults: FaultConfig
) -> Int8Array:
    """The decisions with Byzantine sensors among the team, drawn anew for every event.

    Without deliberation no sensor sees the votes of others, so honest actions do not change.
    Reliability weights depend on past votes: there the faulty sensors are drawn for each segment of
    ``episode_length`` events.

    Args:
        config: The environment.
        table: The scaled table that was evaluated.
        actions: The honest action of every sensor.  # (rows, agents) int8
        faults: How many sensors are faulty on each event, and their fault. Event i counts as step
            ``i % episode_length`` of an episode.

    Returns:
        The decisions.  # (rows,) int8
    """
    if config.consensus.weights == "reliability":
        return trajectory_of(replace(config, faults=faults), table, actions).decisions
    rule, rows = decision_rule(config), len(table)
    faulty_sensors = FaultySensors(faults, rule, rounds=1)
    state = LaneState.empty(rows, config.agents)
    state.seeds = np.arange(rows, dtype=np.uint64)
    state.episodes += np.uint64(1)
    state.positions = np.arange(rows) % config.episode_length
    faulty_sensors.draw(state, np.ones(rows, dtype=np.bool_))
    return rule(faulty_sensors.agreed(actions, table.labels, state))


def trajectory_with_faults(
    config: EnvConfig, table: TrafficTable, act: Act, rollout: Rollout, faults: FaultConfig
) -> Trajectory:
    """Decisions and rewards of the team with faulty sensors.

    With deliberation, and in a response, sensors observe earlier actions: the policy is run again.

    Args:
        config: The environment.
        table: The scaled table that was evaluated.
        act: The policy of every honest sensor.
        rollout: The rollout without faults.
        faults: How many sensors are faulty, and their fault.
    """
    if config.deliberation or config.dynamics == "response" or config.stl.shield:
        anew = collect_rollout(replace(config, faults=faults), table, act)
        return Trajectory(anew.decisions, anew.rewards)
    decisions = replay_with_faults(config, table, rollout.actions, faults)
    return Trajectory(decisions, event_rewards(config.reward, table, decisions))


def decide_with_faults(
    config: EnvConfig, table: TrafficTable, act: Act, rollout: Rollout, faults: FaultConfig
) -> Int8Array:
    """The decisions of :func:`trajectory_with_faults`.  # (rows,) int8."""
    return trajectory_with_faults(config, table, act, rollout, faults).decisions


def byzantine_metrics(
    config: EnvConfig, table: TrafficTable, act: Act, rollout: Rollout, own: tuple[str, ...] = ()
) -> tuple[FaultMetrics, ...]:
    """The metrics under every fault with 1 to f faulty sensors.

    Args:
        config: The environment.
        table: The scaled table that was evaluated.
        act: The policy of every honest sensor.
        rollout: The rollout without faults.
        own: Registered faults beside the built-in ones.

    Returns:
        An entry for every number and fault; none where the team tolerates no faulty sensor.
    """
    entries = []
    for count in range(1, config.consensus.faulty_for(config.agents) + 1):
        for fault in evaluated_faults(config, own):
            faults = replace(config.faults, faulty=count, fault=fault)
            trajectory = trajectory_with_faults(config, table, act, rollout, faults)
            found = score(
                table.labels, trajectory.decisions, config.reward, rewards=trajectory.rewards
            )
            entries.append(
                FaultMetrics(count, fault, found.f1, found.reward_per_event, found.recall)
            )
    return tuple(entries)


def replicated_control(
    config: EnvConfig, table: TrafficTable, rollout: Rollout
) -> ReplicatedControl:
    """The same vote of n copies of one sensor, for the sensor whose copies earn most.

    Copies always agree, so it does not matter what their votes weigh.

    The sensor is chosen on the evaluated split, which favours the control, not the team.

    Args:
        config: The environment.
        table: The scaled table that was evaluated.
        rollout: The honest rollout.
    """
    rule, teams, copies = decision_rule(config), [], {}
    for sensor in range(config.agents):
        same = np.repeat(rollout.actions[:, sensor : sensor + 1], config.agents, axis=1)
        copies[f"sensor_{sensor}"] = Baseline(rule(same))
    for name, team in carried_out(config, table, copies).items():
        found = score(table.labels, team.decisions, config.reward, rewards=team.rewards)
        teams.append(ReplicatedControl(name, found.f1, found.reward_per_event, found.recall))
    return max(teams, key=lambda team: team.reward_per_event)

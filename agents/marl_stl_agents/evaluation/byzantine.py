"""Rollouts with faulty sensors in the team, and the replicated-sensor control."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from marl_stl_agents.evaluation.baselines import Baseline, carried_out, decision_rule
from marl_stl_agents.evaluation.metrics import score
from marl_stl_agents.evaluation.replay import Trajectory, trajectory_of
from marl_stl_agents.evaluation.rollouts import Act, Rollout, collect_rollout
from marl_stl_env.config import EnvConfig, FaultConfig
from marl_stl_env.consensus.faults import FAULTS
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.faults import FaultySensors
from marl_stl_env.engine.reward import Payoffs
from marl_stl_env.engine.state import LaneState
from marl_stl_env.types import Int8Array

#: A sleeper that is awake does what the worst case does, where it has no trust to lose.
AWAKE_FAULTS = tuple(name for name in FAULTS if name != "sleeper")
_FIGURES = ("f1", "reward_per_event", "recall")


def evaluated_faults(config: EnvConfig) -> tuple[str, ...]:
    """The faults that a team is evaluated under: sleepers too where past votes count."""
    return tuple(FAULTS) if config.consensus.weights == "reliability" else AWAKE_FAULTS


def replay_with_faults(
    config: EnvConfig, table: TrafficTable, actions: Int8Array, faults: FaultConfig
) -> Int8Array:
    """The decisions if some sensors had lied, drawn anew for every event.

    Without deliberation nobody sees what others say, so the honest actions stay as they were.
    Votes that are weighed need a past: there the faulty sensors are drawn for each segment of
    ``episode_length`` events.

    Args:
        config: The environment.
        table: The scaled table that was evaluated.
        actions: What every sensor would do if it were honest.  # (rows, agents) int8
        faults: How many lie on each event, and how. Event i counts as step
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
    """What becomes of the team with faulty sensors.

    Where sensors see what was said before, by deliberation or in a response, the policy evaluates
    anew.

    Args:
        config: The environment.
        table: The scaled table that was evaluated.
        act: The policy of every honest sensor.
        rollout: What the team said without faults.
        faults: How many sensors lie, and how.
    """
    if config.deliberation or config.dynamics == "response":
        anew = collect_rollout(replace(config, faults=faults), table, act)
        return Trajectory(anew.decisions, anew.rewards)
    decisions = replay_with_faults(config, table, rollout.actions, faults)
    return Trajectory(decisions, Payoffs(config.reward).of_actions(table.labels, decisions))


def decide_with_faults(
    config: EnvConfig, table: TrafficTable, act: Act, rollout: Rollout, faults: FaultConfig
) -> Int8Array:
    """The decisions of :func:`trajectory_with_faults`.  # (rows,) int8."""
    return trajectory_with_faults(config, table, act, rollout, faults).decisions


def byzantine_metrics(
    config: EnvConfig, table: TrafficTable, act: Act, rollout: Rollout
) -> list[dict[str, Any]]:
    """The figures under every fault with 1 to f faulty sensors.

    Args:
        config: The environment.
        table: The scaled table that was evaluated.
        act: The policy of every honest sensor.
        rollout: What the team said without faults.

    Returns:
        Entries with ``faulty``, ``fault``, ``f1``, ``reward_per_event`` and ``recall``; none where
        the team bears no faulty sensor.
    """
    entries = []
    for count in range(1, config.consensus.faulty_for(config.agents) + 1):
        for fault in evaluated_faults(config):
            faults = replace(config.faults, faulty=count, fault=fault)
            trajectory = trajectory_with_faults(config, table, act, rollout, faults)
            figures = score(
                table.labels, trajectory.decisions, config.reward, earned=trajectory.rewards
            )
            entries.append(
                {"faulty": count, "fault": fault, **{name: figures[name] for name in _FIGURES}}
            )
    return entries


def replicated_control(config: EnvConfig, table: TrafficTable, rollout: Rollout) -> dict[str, Any]:
    """The same vote of n copies of one sensor, for the sensor whose copies earn most.

    Copies always agree, so it does not matter what their votes weigh.

    That sensor is chosen on the split evaluated, so the control is flattered and not the team.

    Args:
        config: The environment.
        table: The scaled table that was evaluated.
        rollout: What the team said.

    Returns:
        ``sensor``, ``f1``, ``reward_per_event`` and ``recall``.
    """
    rule, teams, copies = decision_rule(config), [], {}
    for sensor in range(config.agents):
        same = np.repeat(rollout.actions[:, sensor : sensor + 1], config.agents, axis=1)
        copies[f"sensor_{sensor}"] = Baseline(rule(same))
    for name, team in carried_out(config, table, copies).items():
        figures = score(table.labels, team.decisions, config.reward, earned=team.rewards)
        teams.append({"sensor": name, **{name: figures[name] for name in _FIGURES}})
    return max(teams, key=lambda team: float(team["reward_per_event"]))

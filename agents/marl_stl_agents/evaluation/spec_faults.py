"""How well a frozen team satisfies its specifications with Byzantine sensors among it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from marl_stl_agents.config import EvaluateConfig
from marl_stl_agents.evaluation.result import SpecFaults
from marl_stl_agents.evaluation.rollouts import Act
from marl_stl_agents.evaluation.stl import watch
from marl_stl_env.config import EnvConfig
from marl_stl_env.consensus.faults import FAULTS
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.stl.certificate import certify


def specs_under_faults(
    env: EnvConfig,
    table: TrafficTable,
    act: Act,
    settings: EvaluateConfig,
    own: tuple[str, ...] = (),
    faulty: int | None = None,
) -> tuple[SpecFaults, ...]:
    """Satisfaction and certificate of all specifications together, under each kind of fault.

    Each kind is certified at ``delta`` by itself: a certificate is about that kind alone.

    Args:
        env: The environment.
        table: The scaled table of the evaluated split.
        act: The frozen policy of every honest sensor.
        settings: Episodes, epsilon and delta.
        own: Registered faults beside the built-in ones.
        faulty: How many sensors are faulty; None takes as many as the vote tolerates.

    Returns:
        One entry for each kind; none where no number of episodes is given, or where nobody is
        faulty.
    """
    count = env.consensus.faulty_for(env.agents) if faulty is None else faulty
    if not settings.certify or not count:
        return ()
    return tuple(
        _under_fault(env, table, act, settings, fault, count, settings.certify)
        for fault in (*FAULTS.builtin(), *own)
    )


def _under_fault(
    env: EnvConfig,
    table: TrafficTable,
    act: Act,
    settings: EvaluateConfig,
    fault: str,
    faulty: int,
    episodes: int,
) -> SpecFaults:
    task = replace(env, faults=replace(env.faults, faulty=faulty, fault=fault))
    watched = watch(task, table, act, episodes)
    together = np.asarray(watched.satisfied.all(axis=1))
    certificate = certify(
        together,
        watched.robustness.min(axis=1),
        epsilon=settings.epsilon,
        delta=settings.delta,
    )
    shares = watched.satisfied.mean(axis=0)
    return SpecFaults(
        faulty=faulty,
        fault=fault,
        episodes=episodes,
        reward_per_event=float(np.mean(watched.rewards)),
        satisfied=dict(zip(watched.names, shares.tolist(), strict=True)),
        conjunction=float(together.mean()),
        certified=certificate.certified,
        lower_bound=certificate.lower_bound,
    )

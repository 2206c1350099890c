"""Recorded episodes for the replay in a report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from marl_stl_agents.evaluation.baselines import threat_groups
from marl_stl_agents.evaluation.evaluate import Evaluation
from marl_stl_agents.evaluation.rollouts import RecurrentGreedy
from marl_stl_agents.evaluation.stl import FRESH_SEEDS, monitored
from marl_stl_agents.reporting.figures import numbers
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.state import StepRecord
from marl_stl_env.types import Action, AnyArray, Float64Array

EPISODES = 3
EVENTS = 200
_FEWEST_EVENTS = 20
_MOST_VALUES = 200_000  # feature values on the page


def record_episodes(evaluated: Evaluation) -> dict[str, Any]:
    """Run the first events of a few episodes, on seeds that training never uses.

    Specifications are monitored if the evaluation monitored them.

    Args:
        evaluated: The evaluation.

    Returns:
        What all events have in common (``sensors``, ``features``, ``families``, ``shared``,
        ``specs``, ...), and ``episodes``. An episode has lists with one entry per event, among
        them ``features`` (scaled), ``actions`` and ``probabilities`` of every sensor,
        ``decision``, ``threat``, ``family``, ``reward``, ``shared`` (the context that all sensors
        observe), ``left`` (remaining margin of each specification, in [-1, 1]) and ``robustness``.
    """
    config = evaluated.env if evaluated.watched is None else monitored(evaluated.env)
    engine = Engine(config, evaluated.table, EPISODES, FRESH_SEEDS)
    if isinstance(evaluated.act, RecurrentGreedy):
        evaluated.act.forget()
    columns = engine.table.features.shape[1]
    events = max(_FEWEST_EVENTS, min(EVENTS, _MOST_VALUES // (EPISODES * columns)))
    episodes = [_Episode(FRESH_SEEDS + lane) for lane in range(EPISODES)]
    engine.reset()
    ended = False
    while not ended and len(episodes[0].reward) < events:
        ended = _step(engine, evaluated, episodes)
    return {**_common(engine, evaluated), "episodes": [vars(episode) for episode in episodes]}


@dataclass
class _Episode:
    """The recorded part of an episode, with one entry per event."""

    seed: int
    threat: list[int] = field(default_factory=list)
    family: list[int] = field(default_factory=list)
    entity: list[int] = field(default_factory=list)
    features: list[list[float | None]] = field(default_factory=list)
    proposals: list[list[int]] = field(default_factory=list)
    actions: list[list[int]] = field(default_factory=list)
    probabilities: list[list[float | None]] = field(default_factory=list)
    decision: list[int] = field(default_factory=list)
    isolated: list[int] = field(default_factory=list)
    granted: list[int] = field(default_factory=list)
    reward: list[float] = field(default_factory=list)
    shared: list[list[float | None]] = field(default_factory=list)
    left: list[list[float | None]] = field(default_factory=list)
    robustness: list[list[float | None]] = field(default_factory=list)


def _step(engine: Engine, evaluated: Evaluation, episodes: list[_Episode]) -> bool:
    """Take a step and record it; return whether the episodes have ended."""
    shared = engine.global_state()[:, engine.table.features.shape[1] :]
    actions, threat = evaluated.act(engine.observe().reshape(engine.lanes * engine.agents, -1))
    record = engine.step(actions.reshape(engine.lanes, -1))
    if not record.voting.all():
        for episode, proposed in zip(episodes, record.actions.tolist(), strict=True):
            episode.proposals.append(proposed)
        return False
    for lane, episode in enumerate(episodes):
        _append(episode, engine, record, lane, shared[lane], threat.reshape(engine.lanes, -1)[lane])
    return bool(record.truncated.all())


def _append(
    episode: _Episode,
    engine: Engine,
    record: StepRecord,
    lane: int,
    shared: AnyArray,
    threat: Float64Array,
) -> None:
    table, row = engine.table, int(record.rows[lane])
    episode.threat.append(int(record.labels[lane]))
    episode.family.append(int(table.families[row]))
    if table.entities is not None:
        episode.entity.append(int(table.entities[row]))
    episode.features.append(numbers(table.features[row], 2))
    episode.actions.append(record.actions[lane].tolist())
    episode.probabilities.append(numbers(threat, 3))
    episode.decision.append(int(record.decisions[lane]))
    episode.isolated.append(int(record.isolated[lane]))
    episode.granted.append(int(record.granted[lane]))
    episode.reward.append(round(float(record.decision_rewards[lane]), 4))
    episode.shared.append(numbers(shared, 3))
    if engine.spec_monitor is not None:
        episode.left.append(numbers(engine.spec_monitor.observation()[lane], 3))
        episode.robustness.append(numbers(record.robustness[lane], 4))


def _common(engine: Engine, evaluated: Evaluation) -> dict[str, Any]:
    """What all events have in common."""
    table, names = engine.table, engine.observations.layout
    groups = threat_groups(evaluated.env, evaluated.prepared)
    shared = engine.observations.shared[len(table.feature_names) :]
    specs = engine.spec_monitor.specifications if engine.spec_monitor is not None else ()
    return {
        "actions": [action.name.capitalize() for action in Action],
        "features": list(table.feature_names),
        "families": list(table.family_names),
        "shared": [names[column] for column in shared.tolist()],
        "specs": [one.name for one in specs],
        "threshold": engine.rule.threshold,
        "weighed": evaluated.env.consensus.weights == "reliability",
        "episode_length": min(evaluated.env.episode_length, len(table)),
        "sensors": [
            {"name": f"sensor {i}", "views": list(group), "columns": np.flatnonzero(seen).tolist()}
            for i, (group, seen) in enumerate(
                zip(groups, engine.observations.visible(), strict=True)
            )
        ],
    }

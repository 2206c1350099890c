"""All that is shown of one event, before the vote on it and after."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from marl_stl_env.engine.engine import Engine
from marl_stl_env.types import Action, Float32Array

_SEEN = 2
SILENCE = "silent"


@dataclass(frozen=True)
class Event:
    """What is known of an event before the vote on it.

    Attributes:
        step: Number of the event in its episode, from 0.
        time: Seconds, or None where the table has no times.
        entity: Code of the event's entity, or None.
        seen: For each sensor, its most unusual features as (name, scaled value).
    """

    step: int
    time: float | None
    entity: int | None
    seen: tuple[tuple[tuple[str, float], ...], ...]


@dataclass(frozen=True)
class Frame(Event):
    """One evaluated event of one lane, in plain values.

    Attributes:
        threat: The truth.
        family: Name of the event's family.
        actions: The action of each sensor, by name.
        faulty: Which sensors were faulty.
        decision: The team's action, by name.
        isolated: Whether the entity was in quarantine already.
        reward: The payoff of the decision.
        robustness: Robustness of each specification; empty where none is monitored.
        left: The same in units of each specification's scale, in [-1, 1].
    """

    threat: bool
    family: str
    actions: tuple[str, ...]
    faulty: tuple[bool, ...]
    decision: str
    isolated: bool
    reward: float
    robustness: dict[str, float]
    left: dict[str, float]

    @property
    def right(self) -> bool:
        """Whether threats were stopped and benign events let pass."""
        return (self.decision in (Action.BLOCK.name, Action.QUARANTINE.name)) == self.threat


def read_event(engine: Engine, lane: int, step: int) -> Event:
    """The event that a lane evaluates next.

    Args:
        engine: The engine; nothing in it changes.
        lane: Which lane.
        step: Number of the event in its episode.
    """
    return Event(step, *_known(engine, int(engine.rows[lane])))


def read_frame(engine: Engine, lane: int, step: int) -> Frame | None:
    """The event that a lane has evaluated last.

    Args:
        engine: The engine; nothing in it changes.
        lane: Which lane.
        step: Number of the event in its episode.

    Returns:
        None before the first vote.
    """
    record, table = engine.last, engine.table
    if record is None or not record.voting[lane]:
        return None
    row = int(record.rows[lane])
    robustness, left = _specs(engine, lane)
    return Frame(
        step,
        *_known(engine, row),
        threat=bool(record.labels[lane]),
        family=table.family_names[table.families[row]],
        actions=tuple(_name(action) for action in record.actions[lane].tolist()),
        faulty=tuple(record.faulty[lane].tolist()),
        decision=Action(int(record.decisions[lane])).name,
        isolated=bool(record.isolated[lane]),
        reward=float(record.decision_rewards[lane]),
        robustness=robustness,
        left=left,
    )


def spec_names(engine: Engine) -> tuple[str, ...]:
    """The names of the monitored specifications; none where nothing is monitored."""
    monitor = engine.spec_monitor
    return () if monitor is None else tuple(one.name for one in monitor.specifications)


def _known(
    engine: Engine, row: int
) -> tuple[float | None, int | None, tuple[tuple[tuple[str, float], ...], ...]]:
    """Time, entity and what each sensor sees of the event in a row of the table."""
    table = engine.table
    time = None if table.times is None else float(table.times[row])
    entity = None if table.entities is None else int(table.entities[row])
    return time, entity, _seen(engine, table.features[row])


def _specs(engine: Engine, lane: int) -> tuple[dict[str, float], dict[str, float]]:
    """Robustness of each specification, and in units of its scale."""
    if engine.spec_monitor is None:
        return {}, {}
    names = spec_names(engine)
    robustness = engine.spec_monitor.robustness[lane].tolist()
    scaled = engine.spec_monitor.observation()[lane].tolist()
    return dict(zip(names, robustness, strict=True)), dict(zip(names, scaled, strict=True))


def _seen(engine: Engine, features: Float32Array) -> tuple[tuple[tuple[str, float], ...], ...]:
    """The features of each sensor that lie farthest from the training mean."""
    names, shown = engine.table.feature_names, []
    for visible in engine.observations.visible():
        columns = np.flatnonzero(visible)
        farthest = columns[np.argsort(-np.abs(features[columns]), kind="stable")[:_SEEN]]
        shown.append(tuple((names[column], float(features[column])) for column in farthest))
    return tuple(shown)


def _name(action: int) -> str:
    return SILENCE if action < 0 else Action(action).name

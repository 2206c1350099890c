"""All that is shown of one evaluated event."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from marl_stl_env.engine.engine import Engine
from marl_stl_env.types import Action, Float32Array

_SEEN = 2
SILENCE = "silent"


@dataclass(frozen=True)
class Frame:
    """One evaluated event of one lane, in plain values.

    Attributes:
        step: Number of the event in its episode, from 0.
        time: Seconds, or None where the table has no times.
        entity: Code of the event's entity, or None.
        threat: The truth.
        family: Name of the event's family.
        seen: For each sensor, its most unusual features as (name, scaled value).
        actions: What each sensor said, by name.
        faulty: Which sensors were faulty.
        decision: What the team did, by name.
        isolated: Whether the entity was in quarantine already.
        reward: What the decision earned.
        robustness: What is left of each specification; empty where none is watched.
        left: The same in units of each specification's scale, in [-1, 1].
    """

    step: int
    time: float | None
    entity: int | None
    threat: bool
    family: str
    seen: tuple[tuple[tuple[str, float], ...], ...]
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
        step=step,
        time=None if table.times is None else float(table.times[row]),
        entity=None if table.entities is None else int(table.entities[row]),
        threat=bool(record.labels[lane]),
        family=table.family_names[table.families[row]],
        seen=_seen(engine, table.features[row]),
        actions=tuple(_name(action) for action in record.actions[lane].tolist()),
        faulty=tuple(record.faulty[lane].tolist()),
        decision=Action(int(record.decisions[lane])).name,
        isolated=bool(record.isolated[lane]),
        reward=float(record.decision_rewards[lane]),
        robustness=robustness,
        left=left,
    )


def _specs(engine: Engine, lane: int) -> tuple[dict[str, float], dict[str, float]]:
    """Robustness of each specification, and in units of its scale."""
    if engine.spec_monitor is None:
        return {}, {}
    names = [one.name for one in engine.spec_monitor.specifications]
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

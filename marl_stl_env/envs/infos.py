"""The facts of a step as plain Python scalars, under the same keys in every adapter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.state import StepRecord
from marl_stl_env.errors import ResetNeededError
from marl_stl_env.types import Action

Info: TypeAlias = dict[str, int]

#: The keys of every sensor's info. Before the first step of an episode all are -1.
INFO_KEYS = ("label", "family", "vote", "decision", "decision_vote", "faulty", "isolated")

_THREAT_VOTES = (int(Action.BLOCK), int(Action.QUARANTINE))


def reset_info() -> Info:
    """What is known of the evaluated event before there is one."""
    return dict.fromkeys(INFO_KEYS, -1)


def last_record(engine: Engine) -> StepRecord:
    """The record of the engine's last step.

    Raises:
        ResetNeededError: If there was none.
    """
    if engine.last is None:
        raise ResetNeededError("no step was made yet; call reset() and step() first")
    return engine.last


def step_infos(engine: Engine, lane: int) -> Iterator[Info]:
    """The facts of the last step in one lane, sensor by sensor.

    ``label`` is 1 for a threat, ``family`` indexes ``engine.table.family_names``, ``vote`` is the
    sensor's threat vote, ``decision`` the team's action, ``decision_vote`` its threat vote,
    ``faulty`` 1 for a faulty sensor and ``isolated`` 1 where the event's entity was in quarantine
    already, which makes the decision Quarantine. All are of the event that was just evaluated,
    never of the one observed next.
    """
    record = last_record(engine)
    decision = int(record.decisions[lane])
    team = {
        "label": int(record.labels[lane]),
        "family": int(engine.table.families[record.rows[lane]]),
        "decision": decision,
        "decision_vote": int(decision in _THREAT_VOTES),
        "isolated": int(record.isolated[lane]),
    }
    sensors = zip(record.actions[lane].tolist(), record.faulty[lane].tolist(), strict=True)
    for action, faulty in sensors:
        yield {**team, "vote": int(action in _THREAT_VOTES), "faulty": int(faulty)}

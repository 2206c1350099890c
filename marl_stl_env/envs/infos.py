"""The facts of a step as plain Python scalars, under the same keys in every adapter.

Beside the facts stand ``cost_<name>`` and ``cost_sum`` where specifications are monitored, and with
a shield ``action_mask``, the actions that it allows on the event to come. Without one there is no
mask to hand on: libraries that look for the key would mask what nothing forbids.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.spec_monitor import COST_SUM
from marl_stl_env.engine.state import StepRecord
from marl_stl_env.errors import ResetNeededError
from marl_stl_env.types import ACTIONS, Action, AnyArray, Int8Array

Info: TypeAlias = dict[str, Any]

#: The facts in every sensor's info. Before the first step of an episode all are -1.
INFO_KEYS = ("label", "family", "vote", "decision", "decision_vote", "faulty", "isolated")

_THREAT_VOTES = (int(Action.BLOCK), int(Action.QUARANTINE))


def reset_info(engine: Engine, lane: int = 0) -> Info:
    """What is known of the evaluated event before there is one."""
    names = () if engine.spec_monitor is None else engine.spec_monitor.cost_names
    costs = dict.fromkeys((*names, COST_SUM) if names else (), 0.0)
    return {**dict.fromkeys(INFO_KEYS, -1), **costs, **_masks(engine, lane)[0]}


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
    never of the one observed next. Only ``action_mask`` (4,) int8, which is there with a shield, is
    of that one: 1 for the actions that the shield allows.
    """
    record = last_record(engine)
    decision = int(record.decisions[lane])
    team: Info = {
        "label": int(record.labels[lane]),
        "family": int(engine.table.families[record.rows[lane]]),
        "decision": decision,
        "decision_vote": int(decision in _THREAT_VOTES),
        "isolated": int(record.isolated[lane]),
    }
    team |= lane_costs(engine, lane)
    masks = _masks(engine, lane)
    actions, faulty = record.actions[lane].tolist(), record.faulty[lane].tolist()
    for action, lies, mask in zip(actions, faulty, masks, strict=True):
        vote = int(action in _THREAT_VOTES)
        yield {**team, "vote": vote, "faulty": int(lies), **mask}


def lane_costs(engine: Engine, lane: int) -> dict[str, float]:
    """What the last step cost in one lane; see :func:`costs_by_name`."""
    if engine.spec_monitor is None:
        return {}
    costs = list(map(float, last_record(engine).newly_violated[lane].tolist()))
    return {**dict(zip(engine.spec_monitor.cost_names, costs, strict=True)), COST_SUM: sum(costs)}


def costs_by_name(engine: Engine) -> dict[str, AnyArray]:
    """What the last step cost in every lane.

    Returns:
        ``cost_<name>``, 1 at the first violation of the specification in an episode and else 0,
        and their sum ``cost_sum``; empty where nothing is monitored.  # (lanes,) float64 each
    """
    if engine.spec_monitor is None:
        return {}
    costs = last_record(engine).newly_violated.astype(np.float64)
    names = engine.spec_monitor.cost_names
    return {**dict(zip(names, costs.T, strict=True)), COST_SUM: costs.sum(axis=-1)}


class VectorInfos:
    """The infos of all sensors of all lanes, as short as can be.

    They hold ``action_mask`` with a shield, the costs in the lanes where something was violated,
    and nothing elsewhere. Making thousands of empty dictionaries takes longer than a step of the
    engine, so they are handed out again and again; one that was written into is replaced.

    Args:
        engine: The engine.
        copy: Whether masks are the caller's, and dictionaries may be written into.
    """

    def __init__(self, engine: Engine, *, copy: bool = True) -> None:
        self._engine, self._copy = engine, copy
        self._masks: Int8Array | None = None
        if engine.config.stl.shield:
            self._masks = np.ones((engine.lanes, ACTIONS), np.int8)
        self._blank = self._made()

    def next(self) -> list[Info]:
        """A list with a dictionary for each sensor of each lane; replace what is to be changed."""
        if self._masks is not None:
            if self._copy:
                self._masks = self._engine.action_mask.astype(np.int8)
                return self._made()
            np.copyto(self._masks, self._engine.action_mask)
        elif self._copy and any(self._blank):
            self._blank = self._made()
        return self._blank.copy()

    def after_step(self) -> list[Info]:
        """The same, with the costs of the last step."""
        infos, agents = self.next(), self._engine.agents
        violated = last_record(self._engine).newly_violated
        if violated.any():
            for lane in np.flatnonzero(violated.any(axis=1)).tolist():
                costs = lane_costs(self._engine, lane)
                for place in range(lane * agents, (lane + 1) * agents):
                    infos[place] = infos[place] | costs
        return infos

    def _made(self) -> list[Info]:
        agents = self._engine.agents
        if self._masks is None:
            return [{} for _ in range(self._engine.lanes * agents)]
        return [{"action_mask": mask} for mask in self._masks for _ in range(agents)]


def _masks(engine: Engine, lane: int) -> list[dict[str, Int8Array]]:
    """A fresh ``action_mask`` (4,) int8 for each sensor; nothing without a shield."""
    if not engine.config.stl.shield:
        return [{}] * engine.agents
    masks = np.repeat(engine.action_mask[lane : lane + 1].astype(np.int8), engine.agents, axis=0)
    return [{"action_mask": mask} for mask in masks]

"""The facts of a step as plain Python scalars, under the same keys in every adapter.

Beside the facts stand ``cost_<name>`` and ``cost_sum`` where specifications are monitored, and with
a shield ``action_mask``, the actions that it allows on the event to come. Without one there is no
mask to hand on: libraries that look for the key would mask what nothing forbids.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from marl_stl_env.consensus.rules import SILENT
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.spec_monitor import COST_SUM
from marl_stl_env.engine.state import StepRecord
from marl_stl_env.errors import ResetNeededError
from marl_stl_env.types import ACTIONS, THREAT_VOTE, Action, AnyArray, Int8Array

Info: TypeAlias = dict[str, Any]

#: The facts in every sensor's info. Before the first step of an episode all are -1.
INFO_KEYS = ("label", "family", "vote", "decision", "decision_vote", "faulty", "isolated")

#: Whether an action is a vote for "threat"; silence is none.
_VOTES = {SILENT: 0, **{int(action): int(THREAT_VOTE[action]) for action in Action}}


def reset_info(engine: Engine, lane: int = 0) -> Info:
    """What is known of the evaluated event before there is one."""
    names = () if engine.spec_monitor is None else engine.spec_monitor.cost_names
    costs = dict.fromkeys((*names, COST_SUM) if names else (), 0.0)
    info: Info = {**dict.fromkeys(INFO_KEYS, -1), **costs}
    mask = _mask(engine, lane)
    return info if mask is None else {**info, "action_mask": mask}


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
    decision = record.decisions.item(lane)
    team: Info = {
        "label": int(record.labels.item(lane)),
        "family": int(engine.table.families[record.rows[lane]]),
        "vote": 0,
        "decision": decision,
        "decision_vote": _VOTES[decision],
        "faulty": 0,
        "isolated": int(record.isolated.item(lane)),
    }
    team |= lane_costs(engine, lane)
    mask = _mask(engine, lane)
    actions, faulty = record.actions[lane], record.faulty[lane].view(np.int8)
    for action, lies in zip(actions.tolist(), faulty.tolist(), strict=True):
        info = team.copy()
        info["vote"], info["faulty"] = _VOTES[action], lies
        if mask is not None:
            info["action_mask"] = mask.copy()
        yield info


def lane_costs(engine: Engine, lane: int) -> dict[str, float]:
    """What the last step cost in one lane; see :func:`costs_by_name`."""
    if engine.spec_monitor is None:
        return {}
    names = engine.spec_monitor.cost_names
    costs = dict.fromkeys((*names, COST_SUM), 0.0)
    violated = last_record(engine).newly_violated[lane].tolist()
    if True in violated:
        costs |= zip(names, map(float, violated), strict=True)
        costs[COST_SUM] = float(sum(violated))
    return costs


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


def _mask(engine: Engine, lane: int) -> Int8Array | None:
    """A fresh ``action_mask``; None without a shield.  # (4,) int8."""
    if not engine.config.stl.shield:
        return None
    mask: Int8Array = engine.action_mask[lane].astype(np.int8)
    return mask

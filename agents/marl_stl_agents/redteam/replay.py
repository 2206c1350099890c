"""A replay of attacks: what was sent, how it arrived, and what the team made of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from marl_stl_agents.redteam.rollout import AttackedRollout
from marl_stl_env.adversary.disguise import Disguises
from marl_stl_env.config import Split
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.types import Action


def sent_and_arrived(
    prepared: PreparedData,
    split: Split,
    disguises: Disguises,
    plain: AttackedRollout,
    attacked: AttackedRollout,
    most: int = 40,
) -> list[dict[str, Any]]:
    """Some attacks of a split, those first whose disguise made a difference.

    Args:
        prepared: The data.
        split: The split.
        disguises: The disguises.
        plain: The team's decisions on the events as they are.
        attacked: Its decisions on the events as they arrived.
        most: Attacks at most.

    Returns:
        For each: its row in the split, family, entity, disguise, the decision on it without and
        with the disguise, and the columns that changed with their raw values before and after.
    """
    raw, rows = prepared.raw, prepared.rows[split]
    disguised = np.flatnonzero(attacked.labels & (attacked.disguises > 0))
    turned = plain.stopped[disguised] & ~attacked.stopped[disguised]
    chosen = disguised[np.argsort(~turned, kind="stable")][:most].tolist()
    number, row = attacked.disguises, rows
    return [
        {
            "event": int(event),
            "family": raw.family_names[int(raw.families[rows[event]])],
            "entity": None if raw.entities is None else int(raw.entities[rows[event]]),
            "disguise": int(number[event]),
            "decision_as_sent": Action(int(plain.decisions[event])).name,
            "decision_as_arrived": Action(int(attacked.decisions[event])).name,
            "columns": _changed(prepared, disguises, int(row[event]), int(number[event])),
        }
        for event in chosen
    ]


def _changed(
    prepared: PreparedData, disguises: Disguises, row: int, disguise: int
) -> dict[str, list[float]]:
    """Column to its raw value as sent and as it arrived, where the two differ."""
    names = prepared.raw.feature_names
    before = np.array(prepared.raw.features[row : row + 1])
    after = disguises.apply(names, before, disguise - 1)
    moved = np.flatnonzero((before != after)[0] & np.isfinite(before[0]))
    return {names[at]: [float(before[0, at]), float(after[0, at])] for at in moved.tolist()}

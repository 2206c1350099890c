"""The list of contained entities, against one that is kept event by event."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from marl_stl_agents.serving.contained import Contained
from marl_stl_agents.serving.records import Decided

from marl_stl_env.types import Action

QUARANTINE, BLOCK = 3, 2


def decided(first: int, decisions: Any, isolated: Any, entities: list[str | None]) -> Decided:
    """What the list reads of decided events."""
    events = np.arange(first, first + len(entities))
    rollout = SimpleNamespace(decisions=decisions, isolated=isolated)
    chunk = SimpleNamespace(events=events)
    times = (events / 2).tolist()
    found = SimpleNamespace(rollout=rollout, chunk=chunk, entities=entities, times=times)
    return cast(Decided, found)


@pytest.mark.parametrize("block", [BLOCK, QUARANTINE])
@pytest.mark.parametrize("size", [1, 7, 40])
def test_equals_a_list_kept_event_by_event(block: int, size: int) -> None:
    rng = np.random.default_rng(size)
    listed, oracle = Contained(QUARANTINE, block), dict[str, tuple[str, int, int]]()
    lasting = {Action.QUARANTINE: QUARANTINE, Action.BLOCK: block}
    for first in range(0, 280, size):
        decisions = rng.integers(0, 4, size).astype(np.int8)
        isolated = rng.random(size) < 0.2
        entities = [None if n == 0 else f"host {n}" for n in rng.integers(0, 6, size).tolist()]
        listed.add(decided(first, decisions, isolated, entities))
        for row, entity in enumerate(entities):
            action = Action(decisions[row])
            if action in lasting and not isolated[row] and entity is not None:
                until = first + row + 1 + lasting[action]
                if entity not in oracle or oracle[entity][2] <= until:
                    oracle[entity] = action.name, first + row, until
        found = {
            one["entity"]: (one["action"], one["event"], one["until_event"])
            for one in listed.to_list()
        }
        assert list(found.items()) == list(oracle.items())
        assert all(one["time"] == one["event"] / 2 for one in listed.to_list())

"""Nothing that a view returns is part of its state: writing into it changes no later step."""

from copy import deepcopy
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest

import marl_stl_env as mse
from tests.envs.views import VIEWS, View, team_views

TEAMS = {
    "response": mse.EnvConfig(
        dynamics="response",
        episode_length=5,
        faults=mse.FaultConfig(1, "random"),
        stl=mse.StlConfig(monitor=True, observe=True),
    ),
    "shield": mse.EnvConfig(
        dynamics="response", episode_length=5, stl=mse.StlConfig(monitor=True, shield=True)
    ),
    "deliberation": mse.EnvConfig(
        deliberation=1, episode_length=5, consensus=mse.ConsensusConfig(weights="reliability")
    ),
}
CASES = VIEWS | {
    f"{name} {team}": view
    for team, config in TEAMS.items()
    for name, view in team_views(config).items()
}


def arrays_and_dicts(value: Any) -> list[Any]:
    """Everything within a returned value that can be written into."""
    if isinstance(value, np.ndarray):
        parts = list(value) if value.dtype == object else []
        return [value] + [inner for part in parts for inner in arrays_and_dicts(part)]
    if isinstance(value, dict):
        return [value] + [inner for part in value.values() for inner in arrays_and_dicts(part)]
    if is_dataclass(value):
        return [
            inner for item in fields(value) for inner in arrays_and_dicts(getattr(value, item.name))
        ]
    if isinstance(value, list | tuple):
        return [inner for part in value for inner in arrays_and_dicts(part)]
    return []


def scribble(returned: Any) -> int:
    """Write into everything; how many arrays were written into."""
    written = 0
    for place in arrays_and_dicts(returned):
        if isinstance(place, dict):
            place["scribble"] = 1
        elif place.dtype != object and place.flags.writeable:
            place[...] = ~place if place.dtype == np.bool_ else np.asarray(3).astype(place.dtype)
            written += 1
    return written


def assert_same(one: Any, other: Any) -> None:
    if is_dataclass(one):
        for item in fields(one):
            assert_same(getattr(one, item.name), getattr(other, item.name))
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert_same(value, other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            assert_same(mine, theirs)
    elif isinstance(one, np.ndarray) and one.dtype == object:
        assert_same(list(one), list(other))
    else:
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("view", CASES.values(), ids=CASES)
def test_writing_into_what_is_returned_changes_no_later_step(view: View) -> None:
    quiet, written_into = view.make(), view.make()
    rng = np.random.default_rng(0)
    returned = view.reset(written_into, 5)
    assert_same(view.reset(quiet, 5), returned)
    written = scribble(returned)
    for _ in range(17):
        actions = view.pack(rng.integers(0, 4, view.actions).tolist())
        given = deepcopy(actions)
        returned = view.step(written_into, actions)
        assert_same(view.step(quiet, given), returned)
        written += scribble((returned, actions))
    assert written > 17

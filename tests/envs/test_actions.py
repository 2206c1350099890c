"""Wrong actions are refused with a typed error in every view, and leave it as it was."""

from typing import Any

import numpy as np
import pytest
import torch

import marl_stl_env as mse
from marl_stl_env.errors import InvalidActionError
from marl_stl_env.types import as_actions
from tests.envs.test_fresh_arrays import assert_same
from tests.envs.views import VIEWS, View

#: What cannot be one action.
WRONG: dict[str, Any] = {
    "none": None,
    "nan": float("nan"),
    "inf": float("inf"),
    "whole float": 1.0,
    "numpy float": np.float32(1),
    "true": True,
    "numpy true": np.True_,
    "above": 4,
    "below": -1,
    "huge": 2**70,
    "unsigned": np.uint64(2**63),
    "text": "1",
    "bytes": b"1",
    "name": "BLOCK",
    "complex": 1j,
    "date": np.datetime64("2020-01-01"),
    "pair": [0, 1],
    "empty": [],
    "mapping": {"action": 1},
    "set": {1},
    "object": object(),
    "tensor that needs gradients": torch.ones((), requires_grad=True),
    "type": int,
}
RIGHT = [0, np.int8(1), np.uint8(2), np.array(3), np.array([1]), mse.Action.ALERT, torch.tensor(2)]


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_one_wrong_action_is_refused(view: View, wrong: Any) -> None:
    env, untouched = view.make(), view.make()
    view.reset(env, 1)
    view.reset(untouched, 1)
    pack = list if view.pack is np.array else view.pack  # np.array would refuse ragged lists itself
    with pytest.raises(InvalidActionError):
        view.step(env, pack([wrong] + [0] * (view.actions - 1)))
    actions = view.pack([1] * view.actions)
    if not hasattr(env, "agent_iter"):  # turn by turn the sensor's earlier turns have happened
        assert_same(view.step(env, actions), view.step(untouched, actions))


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("right", RIGHT, ids=lambda right: type(right).__name__)
def test_integers_of_any_library_are_actions(view: View, right: Any) -> None:
    env = view.make()
    view.reset(env, 1)
    view.step(env, view.pack([right] * view.actions))


BATCHES = [name for name, view in VIEWS.items() if view.pack is np.array]


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_of_the_wrong_count_or_shape_is_refused(name: str) -> None:
    view = VIEWS[name]
    env, n = view.make(), view.actions
    view.reset(env, 1)
    right = np.zeros(n, int)
    wrong = [
        right[:-1],
        np.zeros(n + 1, int),
        right[None],
        np.zeros((n, 2), int),
        np.zeros(0, int),
        0,
        None,
        "0" * n,
        [0] * (n - 1) + [[0, 0]],
        [True] + [0] * (n - 1),
        right.astype(bool),
        right.astype(float),
        right.astype(object),
        np.full(n, np.nan),
        [None] * n,
        {"actions": right},
        torch.zeros(n),
    ]
    for actions in wrong:
        with pytest.raises(InvalidActionError):
            view.step(env, actions)
    for same in (right, right[:, None], right.tolist(), tuple(right), torch.zeros(n).int()):
        view.step(env, same)


def test_sensors_missing_or_unknown_are_refused() -> None:
    env = VIEWS["parallel"].make()
    env.reset(seed=0)
    right = dict.fromkeys(env.agents, 0)
    wrong = [
        {},
        {"sensor_0": 0},
        right | {"sensor_4": 0},
        right | {0: 0},
        {name.upper(): 0 for name in right},
        [0] * 4,
        np.zeros(4, int),
        None,
        "sensor_0",
        0,
    ]
    for actions in wrong:
        with pytest.raises(InvalidActionError, match="sensor_3"):
            env.step(actions)
    env.step(right)


def test_a_wrong_action_is_refused_at_the_sensors_own_turn() -> None:
    env = VIEWS["aec"].make()
    env.reset(seed=0)
    with pytest.raises(InvalidActionError):
        env.step(4)
    assert env.agent_selection == "sensor_0"
    for _ in range(5 * 4):
        env.step(0)
    with pytest.raises(InvalidActionError, match="sensor_0 is over"):
        env.step(0)
    while env.agents:
        env.step(None)


def test_actions_of_a_step_that_only_resets_are_checked_too() -> None:
    view = VIEWS["vector next step"]
    env = view.make()
    env.reset(seed=0)
    while not env.step(np.zeros(view.actions, int))[3].all():
        pass
    for wrong in (np.full(view.actions, 4), np.full(view.actions, np.nan), [0]):
        with pytest.raises(InvalidActionError):
            env.step(wrong)


def test_an_action_array_is_a_fresh_one() -> None:
    given = np.array([0, 3], np.int8)
    actions = as_actions(given, (2,))
    given[:] = 1
    assert actions.tolist() == [0, 3]
    assert actions.dtype == np.int8


def test_the_message_says_what_an_action_is() -> None:
    with pytest.raises(InvalidActionError, match=r"0\.\.3 \(0 ALLOW, 1 BLOCK.*got \[-1, 9\]"):
        as_actions([9, 0, -1], (3,))
    with pytest.raises(InvalidActionError, match=r"integers of shape \(2,\), not float64"):
        as_actions([0.5, 1.0], (2,))

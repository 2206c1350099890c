"""Whatever is given to constructors, ``reset`` and ``step``: a typed error, or it works."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import marl_stl_env as mse
from marl_stl_env.envs.sb3 import TrafficVecEnv
from marl_stl_env.envs.single import TrafficEnv
from marl_stl_env.envs.supersuit import supersuit_vec_env
from marl_stl_env.envs.vector import TrafficVectorEnv
from marl_stl_env.errors import ConfigError, InvalidActionError, MarlStlError
from tests.envs.views import TABLE, VIEWS

#: Values of every kind; none that asks for much memory and is allowed.
PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 5),
    st.sampled_from([-(10**30), 10**30, 2**31, 2**63]),
    st.floats(-2, 5),
    st.sampled_from([float("nan"), float("inf"), -float("inf")]),
    st.text(max_size=4),
    st.sampled_from([b"x", 1j, object(), int, np.int64(3), np.float32(0.5), np.zeros(2), {1}]),
)
ANYTHING = st.one_of(
    PLAIN, st.lists(PLAIN, max_size=3), st.dictionaries(st.text(max_size=3), PLAIN, max_size=2)
)
NESTED: dict[str, Any] = {
    "reward": mse.RewardConfig,
    "consensus": mse.ConsensusConfig,
    "faults": mse.FaultConfig,
    "response": mse.ResponseConfig,
    "stl": mse.StlConfig,
    "data": mse.DataConfig,
}
NAMES: dict[str, list[Any]] = {
    "split": ["train", "validation", "test"],
    "views": ["groups", "overlap", "full", "random"],
    "order": ["sequential", "shuffled"],
    "dynamics": ["replay", "response"],
    "balance": ["none", "families"],
    "weights": ["equal", "reliability"],
    "fault": ["silent", "random", "mixed", "worst_case"],
    "specs": [("quiet=G (alerts_4 <= 2)",), {"still": "G (alerted <= 0)"}, ["x"], ["x=G ("]],
}


def some_settings(known: list[str], inner: Any = ANYTHING) -> Any:
    """A few settings by name, with right and wrong values; some names are wrong."""
    pairs = [
        st.tuples(st.just(name), st.one_of(st.sampled_from(NAMES[name]), inner))
        if name in NAMES
        else st.tuples(st.just(name), st.one_of(st.integers(0, 4), st.floats(0, 1), inner))
        for name in known
    ]
    return st.lists(st.one_of(pairs), max_size=3).map(dict)


FLAT = [*mse.EnvConfig.__dataclass_fields__, *mse.DataConfig.__dataclass_fields__]
PARTS = {
    name: st.one_of(some_settings(list(kind.__dataclass_fields__)), ANYTHING)
    for name, kind in NESTED.items()
}
SETTINGS = st.one_of(
    some_settings([*FLAT, "no_such_setting", "render_mode", "config"]),
    st.fixed_dictionaries({}, optional=PARTS),
)
WAYS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "parallel": lambda given: mse.parallel_env(table=TABLE, **given),
    "aec": lambda given: mse.aec_env(table=TABLE, **given),
    "single": lambda given: TrafficEnv(table=TABLE, **given),
    "vector": lambda given: TrafficVectorEnv(2, table=TABLE, **given),
}
quick = settings(
    max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


@pytest.mark.parametrize("name", WAYS)
@quick
@given(given_settings=SETTINGS)
def test_settings_are_used_or_refused(name: str, given_settings: dict[str, Any]) -> None:
    if given_settings.get("download") is True:  # no network
        return
    if given_settings.get("render_mode") == "human":
        return
    try:
        env: Any = WAYS[name](given_settings)
        env.reset(seed=0)
    except MarlStlError:
        return
    if name == "parallel":
        env.step(dict.fromkeys(env.agents, 1))
    else:
        env.step(np.ones(2, int) if name == "vector" else 1)
    assert repr(env).isprintable()


@quick
@given(lanes=ANYTHING, seed=ANYTHING, mode=ANYTHING)
def test_lanes_seeds_and_modes_are_used_or_refused(lanes: Any, seed: Any, mode: Any) -> None:
    for make in (
        lambda: TrafficVecEnv(None, lanes, seed, TABLE).reset(),
        lambda: supersuit_vec_env(None, lanes, seed, TABLE).reset(),
        lambda: TrafficVecEnv(None, 2, 0, TABLE, render_mode=mode).reset(),
        lambda: TrafficVectorEnv(lanes, table=TABLE).reset(seed=seed),
        lambda: TrafficVectorEnv(2, table=TABLE, autoreset_mode=mode).reset(),
        lambda: TrafficVectorEnv(2, table=TABLE, max_episode_steps=mode).reset(),
        lambda: TrafficVectorEnv(2, table=TABLE).reset(options={"reset_mask": mode}),
        lambda: TrafficEnv(table=TABLE, max_episode_steps=mode).reset(seed=seed),
        lambda: mse.parallel_env(table=TABLE).reset(seed=seed),
        lambda: mse.parallel_env(config=mode, table=TABLE).reset(),
    ):
        with suppress(MarlStlError):
            make()


@pytest.mark.parametrize("name", VIEWS)
@quick
@given(actions=st.lists(st.one_of(PLAIN, st.integers(0, 3)), min_size=12, max_size=12))
def test_actions_are_carried_out_or_refused(name: str, actions: list[Any]) -> None:
    view = VIEWS[name]
    env = _environment(name)
    pack = list if view.pack is np.array else view.pack
    whole = all(_is_action(action) for action in actions[: view.actions])
    try:
        view.step(env, pack(actions[: view.actions]))
    except InvalidActionError:
        assert not whole
        view.reset(env, 0)
    else:
        assert whole or name == "aec"


@pytest.mark.parametrize("name", VIEWS)
@quick
@given(actions=st.one_of(ANYTHING, st.dictionaries(st.text(max_size=3), ANYTHING)))
def test_anything_in_place_of_actions_is_refused(name: str, actions: Any) -> None:
    view = VIEWS[name]
    env = _environment(name)
    count = VIEWS[name].actions
    if name.startswith("single") and _is_action(actions):
        return
    if isinstance(actions, list) and len(actions) == count and all(map(_is_action, actions)):
        return
    if name == "aec":
        actions = [{"given": actions}]
    with pytest.raises(InvalidActionError):
        view.step(env, actions)


_MADE: dict[str, Any] = {}


def _environment(name: str) -> Any:
    """One environment of each view for all examples: what is refused must not wear it out."""
    if name not in _MADE:
        _MADE[name] = VIEWS[name].make()
    VIEWS[name].reset(_MADE[name], 0)
    return _MADE[name]


def _is_action(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) == 1 and not isinstance(value[0], list) and _is_action(value[0])
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return whole and 0 <= value < 4


def test_a_configuration_of_another_kind_is_refused() -> None:
    wrong: list[Any] = ["x", 5, mse.DataConfig(), [("agents", 3)]]
    makers: list[Any] = [mse.parallel_env, TrafficEnv, TrafficVecEnv, supersuit_vec_env]
    for config in wrong:
        for make in makers:
            with pytest.raises(ConfigError, match="EnvConfig"):
                make(config, table=TABLE)

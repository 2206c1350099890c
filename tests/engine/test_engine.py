"""What the engine shows, draws and refuses."""

import numpy as np
import pytest
from scipy.stats import chisquare

from marl_stl_env.config import EnvConfig, FaultConfig
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.errors import (
    ConfigError,
    InvalidActionError,
    ResetNeededError,
    UnknownNameError,
)
from tests.conftest import FOUR


def test_shuffled_order_shows_every_row_once(table: TrafficTable) -> None:
    config = EnvConfig(episode_length=len(table), order="shuffled", **FOUR)
    engine = Engine(config, table, 1, 0)
    engine.reset()
    rows = [int(engine.step(np.zeros((1, 4), dtype=int)).rows[0]) for _ in range(len(table))]
    assert sorted(rows) == list(range(len(table)))
    assert rows != sorted(rows)


def test_stretches_evaluate_every_row_once(table: TrafficTable) -> None:
    engine = Engine(EnvConfig(**FOUR), table, 7, 0)
    starts = np.minimum(np.arange(7) * 90, len(table))
    engine.place(starts, np.minimum(starts + 90, len(table)))
    seen = np.zeros(len(table), dtype=int)
    for _ in range(90):
        record = engine.step(np.zeros((7, 4), dtype=int))
        np.add.at(seen, record.rows[record.live], 1)
    assert (seen == 1).all()


def test_labels_never_enter_an_observation(table: TrafficTable) -> None:
    state = {name: getattr(table, name) for name in table.__dataclass_fields__}
    flipped = TrafficTable(**(state | {"labels": ~table.labels}))
    for one, other in zip(
        (Engine(EnvConfig(**FOUR), t, 8, 0) for t in (table, table)),
        (Engine(EnvConfig(**FOUR), t, 8, 0) for t in (flipped, flipped)),
        strict=True,
    ):
        one.reset()
        other.reset()
        for _ in range(20):
            np.testing.assert_array_equal(one.observe(), other.observe())
            np.testing.assert_array_equal(one.global_state(), other.global_state())
            actions = np.zeros((8, 4), dtype=int)
            assert not np.array_equal(one.step(actions).labels, other.step(actions).labels)


@pytest.mark.parametrize(
    "actions",
    [
        np.zeros((2, 3), dtype=int),
        np.zeros(8, dtype=int),
        np.zeros((2, 4)),
        np.full((2, 4), 4),
        np.full((2, 4), -1),
        np.full((2, 4), 255, dtype=np.uint8),
        np.full((2, 4), "ALLOW"),
    ],
)
def test_wrong_actions_are_refused(table: TrafficTable, actions: np.ndarray) -> None:
    engine = Engine(EnvConfig(), table, 2, 0)
    engine.reset()
    with pytest.raises(InvalidActionError, match=r"actions must"):
        engine.step(actions)


def test_stepping_without_an_episode_is_refused(table: TrafficTable) -> None:
    engine = Engine(EnvConfig(episode_length=2, **FOUR), table, 2, 0)
    actions = np.zeros((2, 4), dtype=int)
    with pytest.raises(ResetNeededError):
        engine.step(actions)
    engine.reset()
    engine.step(actions)
    engine.step(actions)
    with pytest.raises(ResetNeededError):
        engine.step(actions)


@pytest.mark.parametrize("seeds", [-1, [1, 2, 3], [1.5, 2.5], "one"])
def test_wrong_seeds_are_refused(table: TrafficTable, seeds: object) -> None:
    with pytest.raises(ConfigError):
        Engine(EnvConfig(), table, 2, seeds)  # type: ignore[arg-type]


def test_no_lanes_are_refused(table: TrafficTable) -> None:
    with pytest.raises(ConfigError, match="lanes"):
        Engine(EnvConfig(), table, 0, 0)


def test_every_sensor_and_every_fault_comes_up_alike(table: TrafficTable) -> None:
    lanes = 7000
    engine = Engine(EnvConfig(agents=7, faults=FaultConfig(2)), table, lanes, 0)
    engine.reset()
    state = engine.get_state()
    assert (state["faulty"].sum(axis=1) == 2).all()
    pairs = np.bincount(state["faulty"] @ 2 ** np.arange(7), minlength=128)
    assert chisquare(pairs[pairs > 0]).pvalue > 1e-3
    assert (pairs > 0).sum() == 21
    assert chisquare(np.bincount(state["kinds"], minlength=7)).pvalue > 1e-3
    engine.reset()
    assert (engine.get_state()["faulty"] != state["faulty"]).any(axis=1).mean() > 0.9


def test_records_are_not_changed_by_later_resets(table: TrafficTable) -> None:
    config = EnvConfig(episode_length=2, faults=FaultConfig(2), deliberation=1, **FOUR)
    engine = Engine(config, table, 50, 0)
    engine.reset()
    record = engine.step(np.zeros((50, 4), dtype=int))
    before = [getattr(record, name).copy() for name in ("faulty", "voting", "actions")]
    engine.reset()
    engine.step(np.ones((50, 4), dtype=int))
    for name, kept in zip(("faulty", "voting", "actions"), before, strict=True):
        np.testing.assert_array_equal(getattr(record, name), kept)


def test_faulty_sensors_are_not_observed(table: TrafficTable) -> None:
    honest, lying = (
        Engine(EnvConfig(faults=FaultConfig(count, "random"), **FOUR), table, 16, 0)
        for count in (0, 2)
    )
    for _ in range(3):
        honest.reset()
        lying.reset()
        for _ in range(5):
            np.testing.assert_array_equal(honest.observe(), lying.observe())
            actions = np.zeros((16, 4), dtype=int)
            assert (honest.step(actions).actions != lying.step(actions).actions).any()


def test_unknown_faults_are_refused(table: TrafficTable) -> None:
    with pytest.raises(UnknownNameError, match="always_allow"):
        Engine(EnvConfig(faults=FaultConfig(1, "lazy")), table, 1, 0)

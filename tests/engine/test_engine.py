from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from marl_stl_env.config import ConsensusConfig, EnvConfig, FaultConfig, RewardConfig
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.errors import (
    ConfigError,
    InvalidActionError,
    ResetNeededError,
    StateError,
    UnknownNameError,
)
from marl_stl_env.types import Action
from tests.conftest import FOUR, UNWATCHED, make_table
from tests.oracles import FAULT_NAMES, ScalarEnv

CONFIGS = {
    "default": EnvConfig(episode_length=40, **FOUR),
    "own rewards, costs": EnvConfig(
        episode_length=25,
        reward=RewardConfig(team_share=0.3, block_cost=0.5, quarantine_cost=2.0, alert_cost=0.25),
        **FOUR,
    ),
    "one analyst": EnvConfig(agents=1, views="full", episode_length=30, stl=UNWATCHED),
    "three sensors": EnvConfig(agents=3, episode_length=30, views="groups", stl=UNWATCHED),
    "seven sensors, five votes": EnvConfig(
        agents=7,
        episode_length=30,
        consensus=ConsensusConfig(threshold=5),
        views="groups",
        stl=UNWATCHED,
    ),
    "nine sensors": EnvConfig(agents=9, episode_length=30, views="groups", stl=UNWATCHED),
    "longer than the table": EnvConfig(episode_length=10_000, **FOUR),
    "deliberation": EnvConfig(episode_length=20, deliberation=1, **FOUR),
    "deliberation, unpaid proposals": EnvConfig(
        episode_length=20, deliberation=1, reward=RewardConfig(proposal_weight=0.0), **FOUR
    ),
    "mixed faults": EnvConfig(
        agents=7,
        episode_length=20,
        faults=FaultConfig(2, "mixed", 8),
        views="groups",
        stl=UNWATCHED,
    ),
    "mixed faults, deliberation": EnvConfig(
        agents=5,
        episode_length=20,
        faults=FaultConfig(2, "mixed", 8),
        deliberation=1,
        views="groups",
        stl=UNWATCHED,
    ),
    "reliability-weighted votes": EnvConfig(
        agents=7,
        episode_length=40,
        consensus=ConsensusConfig(weights="reliability", feedback_share=0.5),
        views="groups",
        stl=UNWATCHED,
    ),
    "reliability-weighted votes, mixed faults, deliberation": EnvConfig(
        agents=4,
        episode_length=30,
        consensus=ConsensusConfig(weights="reliability", feedback_share=1.0),
        faults=FaultConfig(1, "mixed", 8),
        deliberation=1,
        views="groups",
        stl=UNWATCHED,
    ),
    **{
        f"reliability-weighted votes, two {fault}": EnvConfig(
            agents=7,
            episode_length=40,
            consensus=ConsensusConfig(weights="reliability", feedback_share=0.6),
            faults=FaultConfig(2, fault, 15),
            views="groups",
            stl=UNWATCHED,
        )
        for fault in FAULT_NAMES
    },
    "all faulty": EnvConfig(episode_length=20, faults=FaultConfig(4, "random"), **FOUR),
    **{
        f"one {fault}": EnvConfig(
            episode_length=12,
            reward=RewardConfig(team_share=0.5),
            faults=FaultConfig(1, fault, 5),
            **FOUR,
        )
        for fault in FAULT_NAMES
    },
}


def random_actions(rng: np.random.Generator, engine: Engine) -> np.ndarray:
    return rng.integers(0, 4, (engine.lanes, engine.agents))


def guesses(rng: np.random.Generator, engine: Engine) -> np.ndarray:
    """Actions of the right class, three times of four."""
    shape = (engine.lanes, engine.agents)
    threat = engine.table.labels[engine.rows][:, None] ^ (rng.random(shape) < 0.25)
    coin = rng.random(shape) < 0.5
    return np.where(threat, 1 + coin, 3 * coin)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_every_step_equals_the_scalar_oracle(config: EnvConfig) -> None:
    table = make_table(200)
    engine, rng = Engine(config, table, lanes=5, seeds=3), np.random.default_rng(0)
    for episode in range(2):
        engine.reset()
        starts = engine.get_state()["positions"]
        oracles = [
            ScalarEnv(config, table, int(start), 3 + lane, episode)
            for lane, start in enumerate(starts)
        ]
        for _ in range(min(config.episode_length, len(table)) * (1 + config.deliberation)):
            actions = guesses(rng, engine)
            record = engine.step(actions)
            for lane, oracle in enumerate(oracles):
                wanted = oracle.step(actions[lane].tolist())
                assert record.labels[lane] == wanted.label
                assert np.flatnonzero(record.faulty[lane]).tolist() == oracle.faults.faulty
                assert record.actions[lane].tolist() == wanted.agreed
                assert_context(engine, lane, oracle.proposals)
                assert record.decisions[lane] == wanted.decision
                assert record.decision_rewards[lane] == pytest.approx(wanted.decision_reward)
                np.testing.assert_allclose(record.rewards[lane], wanted.rewards, rtol=2e-6)
                assert record.truncated[lane] == wanted.truncated
        assert record.truncated.all()


def assert_context(engine: Engine, lane: int, proposals: list[int] | None) -> None:
    """What is observed next shows the proposals, if there are any."""
    if not engine.config.deliberation:
        return
    model, agents = engine.observations, engine.agents
    shown = dict(zip(model.layout, engine.observe()[lane].T, strict=True))
    for sensor in range(agents):
        wanted = np.eye(agents)[sensor]
        np.testing.assert_array_equal(shown[f"sensor_{sensor}"], wanted)
        for action in Action:
            proposed = proposals is not None and proposals[sensor] == action
            assert (shown[f"sensor_{sensor}_{action.name.lower()}"] == proposed).all()
    assert (shown["voting"] == (proposals is not None)).all()


BYZANTINE = {
    "honest": {},
    "one faulty sensor": {"faults": FaultConfig(1, "random")},
    "mixed": {"faults": FaultConfig(3, "mixed", 6)},
    "deliberation": {"deliberation": 1, "faults": FaultConfig(1, "mixed", 6)},
    "reliability-weighted votes": {
        "agents": 7,
        "consensus": ConsensusConfig(weights="reliability", feedback_share=0.8),
        "faults": FaultConfig(2, "flip"),
    },
}


@pytest.mark.parametrize("order", ["sequential", "shuffled"])
@pytest.mark.parametrize("lanes", [2, 5, pytest.param(33, marks=pytest.mark.long)])
@pytest.mark.parametrize("settings", BYZANTINE.values(), ids=BYZANTINE)
def test_lane_i_of_seed_s_is_the_only_lane_of_seed_s_plus_i(
    order: str, lanes: int, settings: dict[str, Any]
) -> None:
    table, seed = make_table(300), 11
    config = EnvConfig(episode_length=20, order=order, **settings)  # type: ignore[arg-type]
    many, rng = Engine(config, table, lanes, seed), np.random.default_rng(1)
    alone = [Engine(config, table, 1, seed + lane) for lane in range(lanes)]
    for engine in (many, *alone):
        engine.reset()
    for _ in range(65):
        observed, actions = many.observe(), guesses(rng, many)
        record = many.step(actions)
        for lane, engine in enumerate(alone):
            np.testing.assert_array_equal(engine.observe()[0], observed[lane])
            single = engine.step(actions[lane : lane + 1])
            np.testing.assert_array_equal(single.rewards[0], record.rewards[lane])
            np.testing.assert_array_equal(single.actions[0], record.actions[lane])
            np.testing.assert_array_equal(single.faulty[0], record.faulty[lane])
            assert single.rows[0] == record.rows[lane]
            assert single.truncated[0] == record.truncated[lane]
            if single.truncated[0]:
                engine.reset()
        if record.truncated.any():
            many.reset(record.truncated)


def test_resetting_one_lane_leaves_the_others_alone(table: TrafficTable) -> None:
    config = EnvConfig(episode_length=50, **FOUR)
    first, second = (Engine(config, table, 3, 5) for _ in range(2))
    actions = np.zeros((3, 4), dtype=int)
    for engine in (first, second):
        engine.reset()
        engine.step(actions)
    first.reset(np.array([False, True, False]))
    for _ in range(10):
        a, b = first.step(actions), second.step(actions)
        assert a.rows[[0, 2]].tolist() == b.rows[[0, 2]].tolist()
        assert a.rows[1] != b.rows[1]


def test_episodes_of_a_lane_differ_and_cover_the_table() -> None:
    table = make_table(100)
    engine = Engine(EnvConfig(episode_length=10), table, lanes=400, seeds=0)
    engine.reset()
    starts = engine.get_state()["positions"]
    assert starts.min() == 0
    assert starts.max() == 89  # one row is kept for the observation after the last event
    engine.reset()
    assert (engine.get_state()["positions"] != starts).mean() > 0.9


@pytest.mark.parametrize("settings", BYZANTINE.values(), ids=BYZANTINE)
def test_state_continues_bit_identically(table: TrafficTable, settings: dict[str, Any]) -> None:
    config, rng = EnvConfig(episode_length=30, **settings), np.random.default_rng(2)
    engine = Engine(config, table, 4, 9)
    engine.reset()
    for _ in range(17):
        engine.step(guesses(rng, engine))
    other = Engine(config, table, 4, 1234)
    other.set_state(engine.get_state())
    for _ in range(40):
        np.testing.assert_array_equal(engine.observe(), other.observe())
        actions = guesses(rng, engine)
        records = engine.step(actions), other.step(actions)
        np.testing.assert_array_equal(records[0].rewards, records[1].rewards)
        np.testing.assert_array_equal(records[0].actions, records[1].actions)
        if records[0].truncated.any():
            engine.reset()
            other.reset()


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.pop("ends"),
        lambda s: s.update(extra=np.zeros(4)),
        lambda s: s.update(positions=s["positions"][:3]),
        lambda s: s.update(positions=s["positions"].astype(np.float64)),
        lambda s: s.update(positions=s["positions"] - 10**6),
        lambda s: s.update(ends=s["ends"] + 10**6),
        lambda s: s.update(positions=s["ends"] + 1),
        lambda s: s.update(proposals=s["proposals"] + np.int8(5)),
        lambda s: s.update(faulty=s["faulty"][:, :3]),
    ],
)
def test_foreign_states_are_refused(table: TrafficTable, change: object) -> None:
    engine = Engine(EnvConfig(episode_length=30), table, 4, 9)
    engine.reset()
    state = engine.get_state()
    change(state)  # type: ignore[operator]
    with pytest.raises(StateError):
        engine.set_state(state)


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


def test_unseeded_engines_differ(table: TrafficTable) -> None:
    states = [Engine(replace(EnvConfig(), episode_length=5), table, 1).get_state() for _ in "ab"]
    assert states[0]["seeds"] != states[1]["seeds"]


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


def test_new_seeds_leave_running_episodes_their_faulty_sensors(table: TrafficTable) -> None:
    engine = Engine(EnvConfig(agents=7, faults=FaultConfig(2)), table, 40, 0)
    engine.reset()
    before = engine.get_state()
    engine.seed(1000)
    engine.reset(np.arange(40) < 20)
    after = engine.get_state()
    for name in ("faulty", "kinds"):
        np.testing.assert_array_equal(after[name][20:], before[name][20:])
        assert (after[name][:20] != before[name][:20]).any()


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

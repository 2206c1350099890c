from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_stl_env.config import EnvConfig, FaultConfig, ResponseConfig, RewardConfig, StlConfig
from marl_stl_env.data.entities import EntityDirectory, EntitySlots, entity_slots
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.response import CONTEXT
from marl_stl_env.engine.spec_signals import StepContext
from marl_stl_env.envs.stream import StreamEngine
from marl_stl_env.errors import ConfigError, StateError, TableError, UnknownNameError
from marl_stl_env.types import Action
from tests.conftest import make_table, with_entities
from tests.response_oracle import ScalarResponse

SIGNALS = (
    "threat", "stopped", "isolated", "alerted", "reward", "age", "quarantined",
    "quarantined_fraction", "alerts_5", "quarantines_9", "threats_12", "misses_12", "benign_3",
    "false_alarms_30", "requarantined_benign_6", "denied_8", "missed_margin_64",
    "false_alarm_margin_64",
)  # fmt: skip
SHORT = ResponseConfig(
    quarantine_length=4, alert_budget=2, alert_window=7, alert_delay=3, verdict_length=5
)
WATCHING = StlConfig(monitor=True, specs=tuple(f"{n}=G({n} >= -1000)" for n in SIGNALS))
BASE = EnvConfig(dynamics="response", episode_length=40, response=SHORT, stl=WATCHING)
CONFIGS = {
    "team": BASE,
    "own rewards": replace(BASE, reward=RewardConfig(team_share=0.3, block_cost=0.25)),
    "analyst": replace(BASE, agents=1, views="full"),
    "no budget": replace(BASE, response=replace(SHORT, alert_budget=0)),
    "defaults": replace(BASE, response=ResponseConfig(), episode_length=100),
    "shuffled": replace(BASE, order="shuffled"),
}


def watched(engine: Engine) -> dict[str, Any]:
    """The signals of every step from now on."""
    specs = engine.spec_monitor
    seen: dict[str, Any] = {}
    assert specs is not None
    book = specs._book
    step = book.step

    def watching(context: StepContext, voting: Any) -> Any:
        values = step(context, voting)
        seen.update(book.named(context, book.names))
        return values

    book.step = watching  # type: ignore[method-assign, assignment]
    return seen


def choose(rng: np.random.Generator, engine: Engine) -> np.ndarray:
    """Teams that mostly agree, so that every decision comes up."""
    common = rng.integers(0, 4, (engine.lanes, 1))
    own = rng.integers(0, 4, (engine.lanes, engine.agents))
    return np.where(rng.random(own.shape) < 0.8, common, own)


@pytest.mark.parametrize("entities", [3, 60])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_every_step_equals_the_scalar_oracle(config: EnvConfig, entities: int) -> None:
    table = with_entities(make_table(300), entities)
    engine, rng = Engine(config, table, lanes=4, seeds=3), np.random.default_rng(0)
    signals = watched(engine)
    rows = engine._order[:-1]  # the oracle walks a table in its order
    ordered = table.take(rows) if config.order == "shuffled" else table
    seen = set()
    for _ in range(2):
        engine.reset()
        oracles = [ScalarResponse(config, ordered, s) for s in engine.get_state()["starts"]]
        for _ in range(config.episode_length):
            told = engine.observe()[:, :, -len(CONTEXT) :]
            actions = choose(rng, engine)
            record = engine.step(actions)
            for lane, oracle in enumerate(oracles):
                np.testing.assert_allclose(told[lane], [oracle.context()] * config.agents, 1e-6)
                event, team, own = oracle.step(actions[lane].tolist())
                seen.add((event.isolated, event.granted, event.refused, event.decision))
                assert record.decisions[lane] == event.decision
                assert record.isolated[lane] == event.isolated
                assert record.granted[lane] == event.granted
                assert record.decision_rewards[lane] == pytest.approx(team)
                np.testing.assert_allclose(record.rewards[lane], own, rtol=1e-5)
                assert signals["reward"][lane] == pytest.approx(team)
                for name in set(SIGNALS) - {"reward"}:
                    wanted = oracle.signal("alerts" if name == "alerted" else name)
                    assert float(signals[name][lane]) == pytest.approx(wanted), name
    assert len(seen) >= (4 if config.response.alert_budget == 0 else 6)


@pytest.mark.parametrize("lanes", [2, 5])
@pytest.mark.parametrize(
    "settings",
    [{}, {"deliberation": 1, "stl": StlConfig()}, {"faults": FaultConfig(1, "random")}],
    ids=["plain", "deliberation", "one faulty sensor"],
)
def test_lane_i_of_seed_s_is_the_only_lane_of_seed_s_plus_i(
    lanes: int, settings: dict[str, Any]
) -> None:
    table = with_entities(make_table(300), 40)
    config = replace(BASE, episode_length=20, stl=StlConfig(monitor=True, observe=True))
    config = replace(config, **settings)
    many, rng = Engine(config, table, lanes, 11), np.random.default_rng(1)
    alone = [Engine(config, table, 1, 11 + lane) for lane in range(lanes)]
    for engine in (many, *alone):
        engine.reset()
    for _ in range(65):
        observed, state, actions = many.observe(), many.global_state(), choose(rng, many)
        record = many.step(actions)
        for lane, engine in enumerate(alone):
            np.testing.assert_array_equal(engine.observe()[0], observed[lane])
            np.testing.assert_array_equal(engine.global_state()[0], state[lane])
            own = engine.step(actions[lane : lane + 1])
            for name in own._fields:
                mine, theirs = getattr(own, name), getattr(record, name)
                np.testing.assert_array_equal(mine[0], theirs[lane])
            engine.reset(own.truncated)
        many.reset(record.truncated)


def test_a_state_continues_exactly() -> None:
    table = with_entities(make_table(300), 40)
    config = replace(BASE, stl=StlConfig(monitor=True, observe=True))
    first, second = (Engine(config, table, 3, seed) for seed in (1, 2))
    rng = np.random.default_rng(2)
    first.reset()
    for _ in range(17):
        first.step(choose(rng, first))
    second.set_state(first.get_state())
    for _ in range(20):
        actions = choose(rng, first)
        for mine, theirs in zip(first.step(actions), second.step(actions), strict=True):
            np.testing.assert_array_equal(mine, theirs)
        np.testing.assert_array_equal(first.observe(), second.observe())
    broken, other = first.get_state(), second.get_state()
    for name in broken.keys() - {"seeds", "episodes"}:
        np.testing.assert_array_equal(broken[name], other[name], name)
    broken["response.verdict"] = broken["response.verdict"][:, :-1]
    with pytest.raises(StateError, match="verdict"):
        second.set_state(broken)


def test_what_a_signal_is_given_of_a_step_is_exact_and_stays() -> None:
    engine = Engine(BASE, with_entities(make_table(300), 40), 3, 1)
    assert engine.spec_monitor is not None
    book, given = engine.spec_monitor._book, []
    step = book.step

    def watching(context: StepContext, voting: Any) -> Any:
        given.append(
            (context.outcome, context.outcome._replace(present=context.outcome.present + 0))
        )
        return step(context, voting)

    book.step = watching  # type: ignore[method-assign, assignment]
    engine.reset()
    for _ in range(5):
        engine.step(np.full((3, engine.agents), int(Action.QUARANTINE)))
    assert all((outcome.requarantined == -1).all() for outcome, _ in given)
    engine.reset()
    for outcome, copied in given:
        np.testing.assert_array_equal(outcome.present, copied.present)


def test_a_billion_steps_change_nothing() -> None:
    """The last events that a stream counts go like the first ones."""
    rows, last = 60, 2**30 - 1
    table = with_entities(make_table(rows), 6)
    assert table.entities is not None
    placed = np.append(table.entities, 6).astype(np.int64)
    placed[-2] = 6  # the last event's entity is new; after it, it is shown again
    slots = EntitySlots(placed, 7, rows)
    specs = ("few=G (alerts_5 <= 2)", "once=G (requarantined_benign_9 <= 0.5)")
    config = replace(BASE, stl=StlConfig(shield=True, specs=specs))
    early, late = (StreamEngine(config, table, 7) for _ in range(2))
    late.set_state(early.get_state() | {"events": np.array([last - rows])})
    rng = np.random.default_rng(4)
    for engine in (early, late):
        engine.follow(table, np.where(table.labels, 1, 0).astype(np.int8), (slots, np.arange(7)))
    for _ in range(rows):
        np.testing.assert_array_equal(early.observe(), late.observe())
        actions = choose(rng, early)
        for mine, theirs in zip(early.step(actions), late.step(actions), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert late.events == last
    np.testing.assert_array_equal(early.observe(), late.observe())
    with pytest.raises(StateError, match="1,073,741,823 events"):
        late.follow(table, np.zeros(rows, np.int8))


def test_a_stream_with_few_slots_forgets_whom_it_passes_over() -> None:
    """A restored one as well; and what is granted and met is kept by step, not by slot."""
    rows, slots, batch = 120, 8, 4
    table = with_entities(make_table(rows), 90)
    assert table.entities is not None
    settings = ResponseConfig(alert_window=slots, alert_budget=5)
    specs = ("few=G (quarantined_fraction <= 0.2)",)
    config = replace(BASE, response=settings, stl=StlConfig(specs=specs, shield=True))
    engine, directory = StreamEngine(config, table, slots), EntityDirectory(slots)
    rng, granted, met = np.random.default_rng(5), np.zeros(rows, np.bool_), list[str]()
    for first in range(0, rows, batch):
        part = np.arange(first, first + batch)
        names = [f"host {table.entities[row]}" for row in part]
        restored = StreamEngine(config, table, slots)
        restored.set_state(engine.get_state())
        placed = directory.place(names)
        for one in (engine, restored):
            one.follow(table.take(part), np.full(batch, -1, np.int8), placed)
        for row in part:
            actions = choose(rng, engine)
            record = engine.step(actions)
            granted[row] = record.granted[0]
            met.append(names[row - first])
            for mine, theirs in zip(record, restored.step(actions), strict=True):
                np.testing.assert_array_equal(mine, theirs)
        state = engine.get_state()
        for name, array in restored.get_state().items():
            np.testing.assert_array_equal(state[name], array, name)
        spent = granted[max(part[-1] - slots + 1, 0) : part[-1] + 1].sum()
        assert state["response.spent"] == spent == state["response.granted"].sum()
        met_lately = {*met[-64:]} & {*directory.get_state()["names"].tolist()}
        assert state["response.present"] == len(met_lately)


def test_stretches_longer_than_an_episode_know_every_entity() -> None:
    table = with_entities(make_table(300), 290)
    config = replace(BASE, episode_length=5, stl=StlConfig())
    engine, rng = Engine(config, table, 1, 0), np.random.default_rng(3)
    engine.reset()
    engine.place(np.array([0]), np.array([300]))
    oracle = ScalarResponse(config, table, 0)
    for _ in range(300):
        actions = choose(rng, engine)
        record = engine.step(actions)
        event, *_ = oracle.step(actions[0].tolist())
        assert (record.decisions[0], record.isolated[0]) == (event.decision, event.isolated)


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=120),
    st.integers(1, 40),
)
def test_no_two_entities_of_a_window_share_a_slot(entities: list[int], window: int) -> None:
    slots = entity_slots(np.array(entities), window)
    assert slots.slots.max() < slots.count <= len(set(entities))
    assert slots.count <= max(window, 1)
    for start in range(len(entities)):
        near = slice(start, start + window)
        pairs = set(zip(entities[near], slots.slots[near].tolist(), strict=True))
        assert len(pairs) == len(set(entities[near])) == len({slot for _, slot in pairs})


def test_entities_are_needed() -> None:
    with pytest.raises(TableError, match="entity=COLUMN"):
        Engine(BASE, make_table(), 1)


def test_an_unknown_signal_lists_the_known_ones() -> None:
    stl = StlConfig(monitor=True, specs={"odd": "G (mood >= 0)"})  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="false_alarms_<steps>"):
        Engine(replace(BASE, stl=stl), with_entities(make_table(), 5), 1)
    stl = StlConfig(monitor=True, specs=("old=G (age <= 3)",))
    with pytest.raises(UnknownNameError, match="age"):
        Engine(EnvConfig(stl=stl), make_table(), 1)


@pytest.mark.parametrize(
    "stl",
    [{"specs": ("no formula",)}, {"specs": ("=G (threat)",)}, {"monitor": False, "observe": True}],
)
def test_malformed_specs_are_refused(stl: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        StlConfig(**stl)

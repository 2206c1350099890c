from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from marl_stl_env.config import (
    ConsensusConfig,
    EnvConfig,
    FaultConfig,
    ResponseConfig,
    RewardConfig,
    StlConfig,
)
from marl_stl_env.consensus.faults import FAULTS, HARM, Fault, Scene
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.lane_memory import MASK_COLUMNS
from marl_stl_env.engine.spec_monitor import specifications
from marl_stl_env.engine.state import StepRecord
from marl_stl_env.stl.enforcement import classify
from marl_stl_env.stl.shield import Shield
from marl_stl_env.types import Action, AnyArray, BoolArray, Int8Array, IntArray
from tests.conftest import make_table, with_entities
from tests.shield_oracle import ScalarShield

ALERT, QUARANTINE = int(Action.ALERT), int(Action.QUARANTINE)
Decider = Callable[[np.random.Generator, BoolArray, IntArray], AnyArray]
ENFORCED = ("collateral", "alert budget", "no flapping")
SHIELDED = EnvConfig(
    dynamics="response",
    episode_length=250,
    stl=StlConfig(monitor=True, shield=True),
    agents=4,
    views="groups",
)


def in_bursts(rows: int = 4000, seed: int = 0) -> TrafficTable:
    """Many entities at times and few at others, so that those present change quickly."""
    rng, entities = np.random.default_rng(seed), np.empty(0, np.int32)
    while len(entities) < rows:
        among, length = rng.choice([1, 2, 9, 40]), rng.integers(5, 90)
        entities = np.append(entities, rng.integers(0, among, length) + rng.integers(0, 20))
    table = make_table(rows)
    return TrafficTable(**(table.state() | {"entities": entities[:rows].astype(np.int32)}))


TABLE = in_bursts()


def against_the_mask(rng: np.random.Generator, mask: BoolArray, steps: IntArray) -> AnyArray:
    """Whatever is masked, and else what uses up most."""
    del rng, steps
    return np.where(~mask[:, ALERT], ALERT, QUARANTINE)


DECIDERS: dict[str, Decider] = {
    "random": lambda rng, mask, _: rng.integers(0, 4, len(mask)),
    "quarantine": lambda _, mask, __: np.full(len(mask), QUARANTINE),
    "alert": lambda _, mask, __: np.full(len(mask), ALERT),
    "quarantine or alert": lambda rng, mask, _: np.where(
        rng.random(len(mask)) < 0.5, ALERT, QUARANTINE
    ),
    "against the mask": against_the_mask,
    "late": lambda _, __, steps: np.where(steps > 60, QUARANTINE, 0),
}


def drive(engine: Engine, decider: Decider, steps: int, seed: int = 0) -> list[StepRecord]:
    """Let one decider choose for all sensors of a lane, over episodes that follow each other."""
    rng, records = np.random.default_rng(seed), []
    engine.reset()
    for _ in range(steps):
        state = engine.get_state()
        mask, events = engine.action_mask, state["positions"] - state["starts"]
        chosen = np.repeat(decider(rng, mask, events)[:, None], engine.agents, axis=1)
        records.append(engine.step(chosen))
        if records[-1].truncated.any():
            engine.reset(records[-1].truncated)
    return records


def violations(engine: Engine, records: list[StepRecord]) -> dict[str, int]:
    assert engine.spec_monitor is not None
    found = np.sum([record.newly_violated.sum(axis=0) for record in records], axis=0)
    names = (one.name for one in engine.spec_monitor.specifications)
    return dict(zip(names, found.tolist(), strict=True))


def enforced_violations(engine: Engine, records: list[StepRecord]) -> int:
    found = violations(engine, records)
    priced = classify(engine.spec_monitor.specifications).priced_names  # type: ignore[union-attr]
    return sum(count for name, count in found.items() if name not in priced)


@pytest.mark.parametrize("quarantine_length", [10, 30, pytest.param(70, marks=pytest.mark.long)])
@pytest.mark.parametrize("decider", DECIDERS)
@pytest.mark.filterwarnings("ignore:shield=True")
def test_adversarial_deciders_violate_nothing_enforced(
    decider: str, quarantine_length: int
) -> None:
    response = ResponseConfig(quarantine_length=quarantine_length)
    engine = Engine(replace(SHIELDED, response=response, agents=1, views="full"), TABLE, 40, 0)
    records = drive(engine, DECIDERS[decider], 500)
    assert enforced_violations(engine, records) == 0
    assert sum(record.shielded.sum() for record in records) > 0


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("faulty", [1, pytest.param(2, marks=pytest.mark.long), 4])
def test_faulty_sensors_violate_nothing_enforced(fault: str, faulty: int) -> None:
    faults = FaultConfig(faulty=faulty, fault=fault, sleeper_start=30)
    engine = Engine(replace(SHIELDED, faults=faults), TABLE, 24, 0)
    records = drive(engine, DECIDERS["quarantine or alert"], 300)
    assert enforced_violations(engine, records) == 0


@pytest.mark.slow
@pytest.mark.parametrize("quarantine_length", [10, 30])
@pytest.mark.parametrize("decider", DECIDERS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_million_steps_violate_nothing_enforced(
    fault: str, decider: str, quarantine_length: int
) -> None:
    """128,000 lane-steps with 0 to 7 faulty sensors; over all, ten million."""
    response = ResponseConfig(quarantine_length=quarantine_length)
    steps, lanes = 250, 64
    for faulty in range(8):
        faults = FaultConfig(faulty=faulty, fault=fault, sleeper_start=30)
        config = replace(SHIELDED, agents=7, views="overlap", faults=faults, response=response)
        engine = Engine(config, TABLE, lanes, faulty)
        assert enforced_violations(engine, drive(engine, DECIDERS[decider], steps, faulty)) == 0


@pytest.mark.parametrize("decider", ["quarantine", "quarantine or alert"])
def test_without_a_shield_all_is_violated(decider: str) -> None:
    config = replace(SHIELDED, stl=StlConfig(monitor=True))
    engine = Engine(config, TABLE, 40, 0)
    found = violations(engine, drive(engine, DECIDERS[decider], 500))
    assert found["collateral"] > 0
    assert found["no flapping"] > 0


def test_one_step_of_look_ahead_violates(monkeypatch: pytest.MonkeyPatch) -> None:
    """The naive rule that the tests above must be able to tell from the right one."""
    whole = Shield.__init__

    def naive(shield: Shield, *args: object) -> None:
        whole(shield, *args)  # type: ignore[arg-type]
        shield._fractions = [(limits, starts[:1]) for limits, starts in shield._fractions]
        for name in ("_still_begun", "_still_present"):
            setattr(shield, name, getattr(shield, name)[:1])

    monkeypatch.setattr(Shield, "__init__", naive)
    engine = Engine(SHIELDED, TABLE, 40, 0)
    assert violations(engine, drive(engine, DECIDERS["quarantine"], 500))["collateral"] > 0


OWN = ("quiet=G[40,inf) (alerts_25 < 5) and G (age <= 900)", "few=G (quarantines_30 <= 3)")


def test_own_specifications_are_enforced() -> None:
    stl = StlConfig(monitor=True, shield=True, specs=OWN)
    engine = Engine(replace(SHIELDED, stl=stl), TABLE, 40, 0)
    for decider in DECIDERS.values():
        assert violations(engine, drive(engine, decider, 300)) == {"quiet": 0, "few": 0}


@pytest.mark.parametrize("entities", [2, 30])
def test_every_mask_equals_the_oracle_that_tries(entities: int) -> None:
    config = replace(SHIELDED, episode_length=120)
    table = with_entities(make_table(700), entities)
    engine = Engine(config, table, lanes=2, seeds=1)
    bounds = classify(engine.spec_monitor.specifications).bounds  # type: ignore[union-attr]
    oracles = [ScalarShield(bounds, config.response.quarantine_length) for _ in range(2)]
    rng = np.random.default_rng(0)
    assert table.entities is not None
    engine.reset()
    for _ in range(120):
        met = table.entities[engine.rows]
        mask = engine.action_mask.copy()
        record = engine.step(rng.choice([1, 2, 2, 3], (2, engine.agents)))
        np.testing.assert_array_equal(record.action_mask, mask)
        for lane, oracle in enumerate(oracles):
            wanted = [not oracle.masked(met[lane], action) for action in range(4)]
            assert mask[lane].tolist() == wanted
            oracle.step(met[lane], int(record.decisions[lane]))


def test_masked_decisions_are_replaced_and_paid_as_such() -> None:
    engine = Engine(replace(SHIELDED, agents=1, views="full"), TABLE, 8, 0)
    seen = set()
    for record in drive(engine, DECIDERS["quarantine or alert"], 250):
        voted = record.actions[:, 0]
        masked = ~record.action_mask[np.arange(8), voted]
        np.testing.assert_array_equal(record.shielded, masked)
        wanted = np.where(masked, np.where(voted == ALERT, 0, 1), voted)
        wanted = np.where(record.isolated, QUARANTINE, wanted)
        np.testing.assert_array_equal(record.decisions, wanted)
        cost = np.array([0, 0.5, 1, 0.25])[wanted] * ~record.isolated
        right = np.where(record.labels, 10, np.where(np.isin(wanted, (1, 2)), -8, 1))
        wrong = record.labels & ~np.isin(wanted, (1, 2))
        paid = np.where(wrong, -10, right) - cost
        free = ~record.isolated & ~(record.decisions == ALERT)  # alerts may be above the budget
        np.testing.assert_allclose(record.decision_rewards[free], paid[free])
        seen |= set(voted[masked].tolist())
    assert seen == {ALERT, QUARANTINE}


def test_the_worst_case_does_the_most_harm_that_the_mask_allows() -> None:
    faults = FaultConfig(faulty=4, fault="worst_case")
    engine = Engine(replace(SHIELDED, faults=faults), TABLE, 30, 0)
    differs = 0
    for record in drive(engine, DECIDERS["random"], 250):
        harm = np.where(record.action_mask, HARM[record.labels.astype(int)], -1)
        free = ~record.isolated
        done = HARM[record.labels.astype(int), record.decisions]
        np.testing.assert_array_equal(done[free], harm.max(axis=1)[free])
        differs += int((harm.max(axis=1) < 3)[free].sum())
    assert differs


@pytest.mark.parametrize("fault", ["asks", "mixed+asks"])
def test_faults_know_the_shielded_decision(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a fault asks for, the answer is what the shield would make of it."""
    answers: list[Int8Array] = []

    class Asks(Fault):
        def claims(self, scene: Scene) -> int:
            answers.append(scene.decide(np.full_like(scene.actions, QUARANTINE)))
            return QUARANTINE

    monkeypatch.setitem(FAULTS, "asks", Asks)
    faults = FaultConfig(faulty=4, fault=fault)
    engine = Engine(replace(SHIELDED, faults=faults), TABLE, 12, 0)
    records = drive(engine, DECIDERS["quarantine"], 80)
    asked = len(FAULTS.builtin())
    for record, answer in zip(records, answers, strict=True):
        allowed = record.action_mask[:, QUARANTINE]
        if fault == "mixed+asks":
            allowed = allowed[engine.get_state()["kinds"] == asked]
        np.testing.assert_array_equal(answer, np.where(allowed, QUARANTINE, int(Action.BLOCK)))
    assert any((answer != QUARANTINE).any() for answer in answers)


@pytest.mark.parametrize("weights", ["equal", "reliability"])
def test_mixed_faults_and_weights_with_a_shield(weights: str) -> None:
    config = replace(
        SHIELDED,
        faults=FaultConfig(faulty=2),
        consensus=ConsensusConfig(weights=weights),  # type: ignore[arg-type]
        reward=RewardConfig(team_share=0.5),
    )
    engine = Engine(config, TABLE, 24, 0)
    assert enforced_violations(engine, drive(engine, DECIDERS["against the mask"], 300)) == 0


def test_the_mask_is_seen_by_all_sensors_and_in_the_state() -> None:
    engine, rng = Engine(SHIELDED, TABLE, 6, 0), np.random.default_rng(0)
    assert engine.observations.layout[-4:] == MASK_COLUMNS
    assert engine.observations.low[-4:].tolist() == [0, 0, 0, 0]
    engine.reset()
    masked = 0
    for _ in range(150):
        engine.step(rng.choice([2, 3], (6, 4)))
        mask = engine.action_mask
        for sensor in range(4):
            np.testing.assert_array_equal(engine.observe()[:, sensor, -4:], mask)
        np.testing.assert_array_equal(engine.global_state()[:, -4:], mask)
        masked += int((~mask).sum())
    assert masked


def test_without_a_shield_all_is_allowed_and_nothing_is_seen() -> None:
    engine = Engine(replace(SHIELDED, stl=StlConfig(monitor=True)), TABLE, 3, 0)
    assert not set(MASK_COLUMNS) & set(engine.observations.layout)
    records = drive(engine, DECIDERS["quarantine"], 20)
    assert engine.action_mask.all()
    assert records[-1].action_mask.all()
    assert not records[-1].shielded.any()


@pytest.mark.parametrize("at", [0, 37, 250])
def test_it_goes_on_from_a_saved_state(at: int) -> None:
    first, second = (Engine(SHIELDED, TABLE, 5, seed) for seed in (0, 9))
    drive(first, DECIDERS["quarantine or alert"], at)
    second.reset()
    second.step(np.full((5, 4), 3))
    second.set_state(first.get_state())
    rng = np.random.default_rng(1)
    for engine in (first, second):
        engine.reset(np.array([True, False, False, False, False]))
    for _ in range(40):
        np.testing.assert_array_equal(first.observe(), second.observe())
        actions = rng.choice([2, 3], (5, 4))
        if first.get_state()["positions"][1] == first.get_state()["ends"][1]:
            for engine in (first, second):
                engine.reset()
        np.testing.assert_array_equal(first.step(actions).decisions, second.step(actions).decisions)
    for name, array in first.get_state().items():
        np.testing.assert_array_equal(array, second.get_state()[name], name)


def test_lanes_are_independent() -> None:
    """Lane 2 of seed 0 is the only lane of seed 2, whatever the others do and when they reset."""
    many, one = Engine(SHIELDED, TABLE, 4, 0), Engine(SHIELDED, TABLE, 1, 2)
    rng = np.random.default_rng(0)
    many.reset()
    one.reset()
    for step in range(200):
        actions = rng.choice([2, 3], (4, 4))
        a, b = many.step(actions), one.step(actions[2:3])
        assert a.decisions[2] == b.decisions[0]
        np.testing.assert_array_equal(a.action_mask[2], b.action_mask[0])
        if step % 50 == 30:
            many.reset(np.array([True, False, False, True]))


@pytest.mark.parametrize(
    ("settings", "budgeted"),
    [
        ({}, False),
        ({"reward": RewardConfig(alert_cost=0.1)}, True),
        ({"reward": RewardConfig(alert_cost=0.1, allow_cost=0.1)}, False),
        ({"stl": StlConfig(shield=True)}, True),
    ],
)
def test_a_replay_budgets_alerts_where_they_are_no_allows(
    settings: dict[str, Any], budgeted: bool
) -> None:
    names = [one.name for one in specifications(EnvConfig(**settings))]
    assert names == ["alert budget"] * budgeted + ["posture", "availability"]


def test_a_replay_has_an_alert_budget_to_enforce() -> None:
    config = EnvConfig(stl=StlConfig(shield=True, monitor=True), episode_length=100)
    engine = Engine(config, make_table(), 8, 0)
    found = violations(engine, drive(engine, DECIDERS["alert"], 300))
    assert found["alert budget"] == 0
    assert found["posture"] > 0


def test_it_enforces_unmonitored() -> None:
    shielded = Engine(replace(SHIELDED, stl=StlConfig(shield=True)), TABLE, 8, 0)
    watched = Engine(SHIELDED, TABLE, 8, 0)
    for a, b in zip(
        drive(shielded, DECIDERS["against the mask"], 90),
        drive(watched, DECIDERS["against the mask"], 90),
        strict=True,
    ):
        np.testing.assert_array_equal(a.decisions, b.decisions)


@pytest.mark.parametrize(
    ("quarantine_length", "specs", "warned"),
    [(63, (), False), (64, (), True), (90, ("a=G (alerts_4 <= 2)",), False)],
)
def test_a_shield_that_forbids_nearly_every_quarantine_is_warned_about(
    quarantine_length: int, specs: tuple[str, ...], warned: bool, recwarn: pytest.WarningsRecorder
) -> None:
    response = ResponseConfig(quarantine_length=quarantine_length)
    stl = StlConfig(monitor=True, shield=True, specs=specs)
    replace(SHIELDED, response=response, stl=stl)
    assert ["forbids nearly every Quarantine" in str(w.message) for w in recwarn] == [True] * warned

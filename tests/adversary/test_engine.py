"""The engine with attackers, against a plain program, and lane by lane."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from marl_stl_env.adversary.engine import AdversarialEngine
from marl_stl_env.adversary.policies import (
    AttackMixture,
    GreedyEvasion,
    SampledAttack,
    TeamMixture,
    linear_team,
    no_attack,
    random_disguise,
)
from marl_stl_env.config import FaultConfig
from marl_stl_env.engine.engine import Engine
from marl_stl_env.errors import ConfigError, InvalidActionError, StateError
from tests.adversary.oracle import ScalarAttack, rows_of
from tests.adversary.scenes import TOY, toy_engine
from tests.conftest import UNWATCHED

WAIT = TOY.disguises + 1
CASES: dict[str, dict[str, Any]] = {
    "replay": {},
    "shuffled": {"order": "shuffled"},
    "response": {"dynamics": "response", "stl": {"monitor": True}},
    "faulty": {"faults": FaultConfig(1, "worst_case"), "deliberation": 1},
    "reliability": {"consensus": {"weights": "reliability"}},
}


def actions_of(step: int, engine: AdversarialEngine, seed: int = 0) -> tuple[Any, Any]:
    """Actions of one lane that do not depend on how many there are."""
    rng = np.random.default_rng((seed, step))
    sensors, attackers = rng.integers(0, 4, engine.agents), rng.integers(0, WAIT + 1, 2)
    if rng.random() < 0.3:
        attackers[:] = WAIT
    return np.tile(sensors, (engine.lanes, 1)), np.tile(attackers, (engine.lanes, 1))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_events_disguises_and_rewards_against_a_plain_program(seed: int) -> None:
    engine = toy_engine(1, seed, episode_length=60)
    engine.reset()
    start = int(engine.get_state()["starts"][0])
    plain = ScalarAttack(
        rows_of(start, 60),
        engine.disguised.owners.tolist(),
        attackers=2,
        disguises=3,
        wait_events=3,
        effectiveness=engine.effectiveness.tolist(),
        wait_cost=0.5,
    )
    seen, waits = [], 0
    for step in range(60):
        row, disguise = plain.current()
        chosen, attacks = actions_of(step, engine, seed)
        record = engine.step(chosen, attacks)
        attack = engine.last_attack
        assert attack is not None
        assert (int(attack.events[0]), int(attack.disguises[0])) == (row, disguise)
        expected = int(engine.disguised.rows(attack.events, attack.disguises)[0])
        assert int(record.rows[0]) == expected
        payoff = float(record.decision_rewards[0])
        np.testing.assert_allclose(
            attack.rewards[0], plain.step(attacks[0].tolist(), payoff), atol=1e-5
        )
        np.testing.assert_allclose(
            attack.rewards[0].sum() + attack.costs[0].sum(), -payoff, atol=1e-5
        )
        seen.append(row)
        waits += int(attack.waited.sum())
    assert record.truncated.all()
    assert sorted(seen) == rows_of(start, 60)  # every event once, though not in order
    assert waits > 0
    assert seen != sorted(seen)


@pytest.mark.parametrize("case", CASES)
def test_a_lane_does_the_same_among_others(case: str) -> None:
    many, one = toy_engine(5, 10, **CASES[case]), toy_engine(1, 13, **CASES[case])
    many.reset()
    one.reset()
    for step in range(80):
        chosen, attacks = actions_of(step, many)
        for engine in (many, one):
            record = engine.step(chosen[: engine.lanes], attacks[: engine.lanes])
            if record.truncated.all():
                engine.reset()
        np.testing.assert_array_equal(many.observe()[3], one.observe()[0])
        np.testing.assert_array_equal(many.observe_attackers()[3], one.observe_attackers()[0])
        np.testing.assert_array_equal(many.attack_mask[3], one.attack_mask[0])
        for draw in (0, 5):
            assert many.uniforms(draw)[3] == one.uniforms(draw)[0]


@pytest.mark.parametrize("case", CASES)
def test_it_goes_on_where_its_state_was_taken(case: str) -> None:
    engine, other = toy_engine(3, 0, **CASES[case]), toy_engine(3, 99, **CASES[case])
    engine.reset()
    for step in range(25):
        engine.step(*actions_of(step, engine))
    other.set_state(engine.get_state())
    for step in range(25, 40):
        np.testing.assert_array_equal(engine.observe(), other.observe())
        np.testing.assert_array_equal(engine.observe_attackers(), other.observe_attackers())
        records = [one.step(*actions_of(step, one)) for one in (engine, other)]
        for mine, its in zip(*records, strict=True):
            np.testing.assert_array_equal(mine, its)


@pytest.mark.parametrize("case", CASES)
def test_without_an_attack_it_is_the_plain_engine(case: str) -> None:
    engine = toy_engine(4, 3, **CASES[case])
    plain = Engine(engine.config, engine.disguised.plain, 4, 3)
    for one in (engine, plain):
        one.reset()
    for step in range(30):
        np.testing.assert_array_equal(engine.observe(), plain.observe())
        np.testing.assert_array_equal(engine.global_state(), plain.global_state())
        chosen, _ = actions_of(step, engine)
        mine, its = engine.step(chosen, no_attack(engine)), plain.step(chosen)
        for here, there in zip(mine, its, strict=True):
            np.testing.assert_array_equal(here, there)


def test_sensors_see_the_disguise_and_attackers_their_next_event() -> None:
    engine = toy_engine(6, 1)
    engine.reset()
    features, seen = engine.table.features, 0
    for _ in range(39):
        own, before = engine.attack_mask[:, :, 1], engine.observe_attackers()
        assert (before[:, :, :10][~own] == 0).all()
        engine.step(np.zeros((6, 4), np.int8), np.full((6, 2), 2, np.int8))
        attacked = own.any(axis=1)
        rows = engine.rows
        events = engine.get_state()["positions"]  # nothing waits: places are positions
        for lane in np.flatnonzero(attacked):
            attacker = int(own[lane].argmax())
            np.testing.assert_array_equal(before[lane, attacker, :10], features[events[lane]])
            first = engine.disguised.events + engine.disguised.count
            assert first <= rows[lane] < first + engine.disguised.count
            np.testing.assert_array_equal(engine.global_state()[lane], features[rows[lane]])
            seen += 1
        assert (rows[~attacked] == events[~attacked]).all()
    assert seen > 10


def test_attackers_know_what_became_of_their_events_and_what_may_wait() -> None:
    """A plain memory of each attacker's last event; whether one may wait is tried out."""
    engine = toy_engine(1, 2)
    columns = [engine.attack_layout.index(name) for name in ("may_wait", "last_passed")]
    columns.append(engine.attack_layout.index("last_stopped"))
    engine.reset()
    last, found = [[0, 0], [0, 0]], set()
    for step in range(38):
        sensors, attacks = actions_of(step, engine)
        state, shown = engine.get_state(), engine.observe_attackers()[0][:, columns]
        mask = engine.attack_mask[0, :, -1]
        engine.step(sensors, np.full((1, 2), WAIT))
        assert engine.last_attack is not None
        np.testing.assert_array_equal(mask, engine.last_attack.waited[0])
        np.testing.assert_array_equal(shown[:, 0], mask)
        np.testing.assert_array_equal(shown[:, 1:], last)
        engine.set_state(state)
        record = engine.step(sensors, attacks)
        owner = int(engine.last_attack.owners[0])
        if owner >= 0:
            stopped = int(record.decisions[0]) in (1, 2)  # Block or Quarantine
            last[owner] = [int(not stopped), int(stopped)]
            found.add(stopped)
    assert found == {False, True}


def test_an_isolated_host_is_known_to_its_attacker() -> None:
    engine = toy_engine(4, 0, dynamics="response", stl=UNWATCHED)
    assert engine.attack_layout[-2:] == ("isolated", "isolation_left")
    engine.reset()
    quarantine, found = np.full((4, 4), 2, np.int8), 0
    entities = engine.table.entities
    assert entities is not None
    engine.step(quarantine)
    for _ in range(37):
        shown = engine.observe_attackers()[:, :, -2].max(axis=1) == 1
        own = engine.attack_mask[:, :, 1].any(axis=1)
        before = engine.step(quarantine)
        state = engine.get_state()
        record = engine.step(quarantine)
        engine.set_state(state)
        assert record.isolated[shown].all()
        same = entities[before.rows] == entities[record.rows]
        np.testing.assert_array_equal((record.isolated & ~same)[own], (shown & ~same)[own])
        found += int(shown.sum())
    assert found > 0


def test_the_attackers_know_their_sensors() -> None:
    owning = replace(TOY, owns_faulty=True)
    engine = toy_engine(3, 0, owning, faults=FaultConfig(1, "worst_case"))
    engine.reset()
    owned = engine.observe_attackers()[:, 0, -4:]
    np.testing.assert_array_equal(owned, engine.get_state()["faulty"])
    assert engine.attack_layout[-4:] == tuple(f"owns_sensor_{i}" for i in range(4))


def test_greedy_evasion_is_the_best_answer_by_trial() -> None:
    """Each event is tried in every disguise on an engine that stands at the same place."""
    engine = toy_engine(1, 5)
    team = linear_team(engine)
    greedy = GreedyEvasion(team)
    engine.reset()
    gained = 0.0
    for _ in range(39):
        if engine.attack_mask[0, :, 1].any():
            state, rewards = engine.get_state(), []
            for action in range(TOY.disguises + 1):
                trial = toy_engine(1, 5)
                trial.set_state(state)
                trial.step(TeamMixture([team])(trial), np.full((1, 2), action))
                trial.step(TeamMixture([team])(trial))
                assert trial.last_attack is not None
                rewards.append(float(trial.last_attack.rewards.sum()))
            chosen = int(greedy(engine)[0, 0])
            assert rewards[chosen] == max(rewards)
            gained += rewards[chosen] - rewards[0]
        engine.step(TeamMixture([team])(engine), greedy(engine))
    assert gained > 0.0


def test_mixtures_draw_once_an_episode_and_evenly() -> None:
    engine = toy_engine(300, 0)
    mixture = AttackMixture([no_attack, lambda e: np.ones((e.lanes, 2), np.int8)])
    engine.reset()
    first = mixture(engine)[:, 0]
    assert abs(first.mean() - 0.5) < 0.1
    engine.step(np.zeros((300, 4), np.int8), mixture(engine))
    np.testing.assert_array_equal(mixture(engine)[:, 0], first)
    engine.reset()
    assert (mixture(engine)[:, 0] != first).any()
    with pytest.raises(ConfigError, match="at least one"):
        TeamMixture([])


def test_drawn_actions_have_their_probabilities() -> None:
    engine = toy_engine(4000, 0)
    engine.reset()
    chances = np.array([0.1, 0.4, 0.0, 0.3, 0.2])
    sampled = SampledAttack(lambda seen: np.tile(chances, (len(seen), 1)))(engine)
    own = engine.attack_mask[:, :, 1]
    assert (sampled[~own] == 0).all()
    shares = np.bincount(sampled[own], minlength=5) / own.sum()
    np.testing.assert_allclose(shares, chances, atol=0.07)
    assert set(random_disguise(engine).ravel().tolist()) == {1, 2, 3}


def test_attacks_only_leaves_out_benign_events() -> None:
    engine = toy_engine(2, 0)
    only = AdversarialEngine(engine.config, TOY, engine.disguised, 2, 0, attacks_only=True)
    only.reset()
    for _ in range(40):
        assert only.step(np.zeros((2, 4), np.int8), random_disguise(only)).labels.all()
    config = replace(engine.config, dynamics="response")
    with pytest.raises(ConfigError, match="attacks_only"):
        AdversarialEngine(config, TOY, engine.disguised, 2, 0, attacks_only=True)


@pytest.mark.parametrize("attacks", [[[5, 0]], [[-1, 0]], [[1.0, 0.0]], [1, 0]])
def test_wrong_attacks_are_refused(attacks: Any) -> None:
    engine = toy_engine(1, 0)
    engine.reset()
    with pytest.raises(InvalidActionError):
        engine.step(np.zeros((1, 4), np.int8), attacks)


@pytest.mark.parametrize(
    ("name", "value"),
    [("held", np.zeros(2, np.int64)), ("disguises", None), ("places", np.full(1, 10**6))],
)
def test_a_state_of_another_engine_is_refused(name: str, value: Any) -> None:
    engine = toy_engine(1, 0)
    engine.reset()
    state = engine.get_state()
    if value is None:
        del state[f"adversary.{name}"]
    else:
        state[f"adversary.{name}"] = value
    with pytest.raises(StateError, match=f"adversary.{name}"):
        engine.set_state(state)


def test_evaluation_places_lanes_anew() -> None:
    engine = toy_engine(2, 0)
    engine.reset()
    engine.step(np.zeros((2, 4), np.int8), np.full((2, 2), WAIT))
    engine.place(np.array([0, 50]), np.array([50, 100]))
    np.testing.assert_array_equal(engine.rows, [0, 50])

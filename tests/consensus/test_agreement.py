from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from marl_stl_env.consensus.faults import draw_faulty
from marl_stl_env.consensus.protocols.adversaries import random_messages, random_splits, two_faced
from marl_stl_env.consensus.protocols.agreement import (
    PROTOCOLS,
    Adversary,
    Agreement,
    decisions,
    eig,
    ideal,
    king_phase,
    parallel_kings,
    plain,
)
from marl_stl_env.consensus.rules import SILENT, DecisionRule
from marl_stl_env.types import ACTIONS, THREAT_VOTE, BoolArray, Int8Array
from tests.consensus import oracles

SYMBOLS = range(SILENT, ACTIONS)
agreeing = pytest.mark.parametrize("protocol", [eig, parallel_kings])
TEAMS = [(4, 1), (7, 2)]
teams = pytest.mark.parametrize(("agents", "faulty"), TEAMS)


def grid(symbols: range, columns: int) -> Int8Array:
    """Every row of ``columns`` symbols."""
    axes = np.indices((len(symbols),) * columns, dtype=np.int8)
    return (axes.reshape(columns, -1).T + np.int8(symbols[0])).astype(np.int8)


def draw(rng: np.random.Generator, lanes: int, agents: int, n_byzantine: int) -> Any:
    """Random votes, half of the lanes with two different votes only, and random n_byzantine."""
    votes = rng.integers(0, ACTIONS, (lanes, agents), np.int8)
    pair = rng.integers(0, ACTIONS, (lanes // 2, 2), np.int8)
    votes[: lanes // 2] = np.take_along_axis(pair, votes[: lanes // 2] % 2, axis=1)
    return votes, draw_faulty(rng.integers(0, 2**64, (lanes, agents), np.uint64), n_byzantine)


def agreement(outputs: Int8Array, byzantine: BoolArray) -> BoolArray:
    """Whether all honest sensors end with the same output, by lane."""
    outputs = outputs.reshape(*byzantine.shape, -1)
    honest = ~byzantine[:, :, None]
    high = np.where(honest, outputs, SILENT).max(axis=1)
    low = np.where(honest, outputs, ACTIONS).min(axis=1)
    same: BoolArray = np.logical_and.reduce(high == low, axis=1)
    return same


def validity(agreed: Int8Array, votes: Int8Array, byzantine: BoolArray) -> BoolArray:
    """Whether every honest sensor's vote is what every honest sensor holds for it, by lane."""
    right = agreed == votes[:, None]
    anyway = byzantine[:, :, None] | byzantine[:, None, :]
    valid: BoolArray = np.logical_and.reduce((right | anyway).reshape(len(votes), -1), axis=1)
    return valid


def replay(rounds: list[Int8Array]) -> Adversary:
    return lambda number, _: rounds[number]


Columns = Iterator[Int8Array]
Script = Callable[[int, Columns], Adversary]


def but(faulty_sensor: int) -> list[int]:
    return [sensor for sensor in range(4) if sensor != faulty_sensor]


def eig_script(faulty_sensor: int, columns: Columns) -> Adversary:
    """One faulty sensor of four: its messages to each other sensor, column by column."""

    def adversary(number: int, messages: Int8Array) -> Int8Array:
        lies = np.zeros(messages.shape, np.int8)
        for receiver in but(faulty_sensor):
            if number == 0:
                lies[:, receiver, faulty_sensor] = next(columns)
            else:
                for about in but(faulty_sensor):
                    lies[:, receiver, faulty_sensor, about] = next(columns)
        return lies

    return adversary


def king_script(faulty_sensor: int, columns: Columns) -> Adversary:
    """The same for Phase King: all agreements that run side by side get the same messages."""

    def adversary(number: int, messages: Int8Array) -> Int8Array:
        lies = np.zeros(messages.shape, np.int8)
        order_of_another = messages.shape[2] == 1 and number // 3 - 1 != faulty_sensor
        for receiver in but(faulty_sensor) if not order_of_another else []:
            lies[:, receiver] = next(columns).reshape(-1, *[1] * (messages.ndim - 2))
        return lies

    return adversary


def run_scripted(
    protocol: Agreement, script: Script, faulty_sensor: int, honest: Int8Array, tables: Int8Array
) -> tuple[Int8Array, Int8Array, BoolArray]:
    """Every honest vote with every row of messages."""
    votes = np.insert(honest, faulty_sensor, 0, axis=1).repeat(len(tables), axis=0)
    columns = iter(np.tile(tables, (len(honest), 1)).T)
    byzantine = np.zeros(votes.shape, bool)
    byzantine[:, faulty_sensor] = True
    agreed = protocol(votes, byzantine, 1, script(faulty_sensor, columns))
    assert next(columns, None) is None, "the script is longer than the protocol"
    return agreed, votes, byzantine


@pytest.mark.parametrize("faulty_sensor", range(4))
def test_eig_withstands_every_byzantine_of_four_with_two_values(faulty_sensor: int) -> None:
    result = run_scripted(eig, eig_script, faulty_sensor, grid(range(2), 3), grid(range(2), 3 + 9))
    agreed, votes, byzantine = result
    assert len(votes) == 2**15
    assert agreement(agreed, byzantine).all()
    assert validity(agreed, votes, byzantine).all()


@pytest.mark.parametrize("faulty_sensor", range(4))
def test_kings_withstand_every_byzantine_of_four_with_two_values(faulty_sensor: int) -> None:
    # The agreements on the four votes do not touch each other: it is enough that every honest
    # vote takes both values with every script.
    messages = 3 + 2 * 6 + (3 if faulty_sensor < 2 else 0)
    honest = np.array([[0, 0, 0], [1, 1, 1]], np.int8)
    tables = grid(range(2), messages)
    agreed, votes, byzantine = run_scripted(
        parallel_kings, king_script, faulty_sensor, honest, tables
    )
    assert len(votes) == 2 ** (1 + messages)
    assert agreement(agreed, byzantine).all()
    assert validity(agreed, votes, byzantine).all()


@pytest.mark.parametrize("faulty_sensor", range(4))
def test_eig_withstands_every_byzantine_of_four_with_four_actions_and_silence(
    faulty_sensor: int,
) -> None:
    # What a sensor settles on for a sender depends on the first round and on one message of the
    # second (the next test), so one symbol for all messages of the second round is every case.
    first, second = grid(SYMBOLS, 3), np.arange(SILENT, ACTIONS, dtype=np.int8)
    tables = np.hstack([np.repeat(first, 5, axis=0), np.tile(second, 125)[:, None].repeat(9, 1)])
    result = run_scripted(eig, eig_script, faulty_sensor, grid(range(ACTIONS), 3), tables)
    agreed, votes, byzantine = result
    assert len(votes) == 4**3 * 5**4
    assert agreement(agreed, byzantine).all()
    assert validity(agreed, votes, byzantine).all()


def test_eig_settles_each_value_by_one_message_of_the_second_round() -> None:
    rng = np.random.default_rng(0)
    votes, byzantine = draw(rng, 3000, 4, 0)
    byzantine[:, 3] = True
    rounds = [rng.integers(SILENT, ACTIONS, (3000, 4, 4, *[4] * k), np.int8) for k in range(2)]
    before = eig(votes, byzantine, 1, replay(rounds))
    for receiver, sender in product(range(3), repeat=2):
        other = rng.integers(SILENT, ACTIONS, rounds[1].shape, np.int8)
        other[:, receiver, 3, sender] = rounds[1][:, receiver, 3, sender]
        after = eig(votes, byzantine, 1, replay([rounds[0], other]))
        assert (after[:, receiver, sender] == before[:, receiver, sender]).all()


@pytest.mark.parametrize(("king", "faulty_sensor"), [(0, 1), (0, 3), (1, 0), (1, 2)])
def test_an_honest_king_unites_the_honest_from_any_state(king: int, faulty_sensor: int) -> None:
    # With the next test: whatever the first messages, two phases, one with an honest king, end in
    # agreement, and a vote that all honest sensors heard stays. To propose nothing, which the
    # scripts cannot, is no better for a faulty_sensor than a value that nobody honest proposes.
    honest = but(faulty_sensor)
    tables = grid(SYMBOLS, 6)
    byzantine = np.arange(4) == np.full((len(tables), 1), faulty_sensor)
    for state in grid(SYMBOLS, 3):
        held = np.zeros((len(tables), 4, 1), np.int8)
        held[:, honest, 0] = state
        after = king_phase(held, byzantine, 1, king, king_script(faulty_sensor, iter(tables.T)))[
            :, honest, 0
        ]
        assert (after == after[:, :1]).all()
        if (state == state[0]).all():
            assert (after == state[0]).all()


@pytest.mark.parametrize("value", SYMBOLS)
def test_a_byzantine_king_cannot_part_the_united(value: int) -> None:
    # Each sensor obeys only the order it gets itself, so one order for all is every case.
    tables = np.hstack(
        [grid(SYMBOLS, 6).repeat(5, axis=0), np.tile(SYMBOLS, 5**6)[:, None].repeat(3, axis=1)]
    )
    held = np.full((len(tables), 4, 1), value, np.int8)
    byzantine = np.arange(4) == np.zeros((len(tables), 1), int)
    after = king_phase(held, byzantine, 1, 0, king_script(0, iter(tables.astype(np.int8).T)))
    assert (after[:, 1:] == value).all()


@agreeing
@pytest.mark.parametrize("strategy", [random_messages, random_splits])
def test_no_two_byzantine_of_seven_found_that_break_agreement(
    protocol: Agreement, strategy: Any
) -> None:
    rng = np.random.default_rng(0)
    runs = 0
    while runs < 60_000:  # with two strategies 120,000 runs of each protocol
        votes, byzantine = draw(rng, 6000, 7, 2)
        agreed = protocol(votes, byzantine, 2, strategy(rng))
        assert agreement(agreed, byzantine).all()
        assert validity(agreed, votes, byzantine).all()
        runs += len(votes)


@agreeing
@teams
@pytest.mark.parametrize("strategy", [random_messages, random_splits])
def test_one_byzantine_more_than_tolerated_breaks_agreement(
    protocol: Agreement, agents: int, faulty: int, strategy: Any
) -> None:
    rng = np.random.default_rng(0)
    votes, byzantine = draw(rng, 2000, agents, faulty + 1)
    agreed = protocol(votes, byzantine, faulty, strategy(rng))
    assert agreement(agreed, byzantine).mean() < 0.9
    assert validity(agreed, votes, byzantine).mean() < 0.9


def scripted_rounds(rng: np.random.Generator, shapes: list[tuple[int, ...]]) -> list[Any]:
    """Messages for each round, among them numbers that are no action."""
    return [rng.integers(-3, ACTIONS + 2, shape, np.int8) for shape in shapes]


@pytest.mark.parametrize(
    ("agents", "faulty", "n_byzantine", "lanes"),
    [(1, 0, 0, 3), (4, 0, 1, 30), (4, 1, 1, 60), (4, 1, 2, 60), (5, 1, 1, 30), (7, 2, 3, 4)],
)
def test_equal_to_the_scalar_oracles(
    agents: int, faulty: int, n_byzantine: int, lanes: int
) -> None:
    rng = np.random.default_rng(agents + n_byzantine)
    votes, byzantine = draw(rng, lanes, agents, n_byzantine)
    square = (lanes, agents, agents)
    trees = scripted_rounds(rng, [square + (agents,) * k for k in range(faulty + 1)])
    phase = [(*square, agents), (*square, agents), (lanes, agents, 1, agents)]
    kings = scripted_rounds(rng, [square, *phase * (faulty + 1)])
    by_tree = eig(votes, byzantine, faulty, replay(trees))
    by_king = parallel_kings(votes, byzantine, faulty, replay(kings))
    for lane in range(lanes):
        faulty_sensors = byzantine[lane].tolist()
        honest = ~byzantine[lane]
        lies = oracles.Lies([messages[lane] for messages in trees], faulty_sensors)
        expected = np.array(oracles.oral_messages(votes[lane].tolist(), faulty, lies))
        assert (by_tree[lane][honest] == expected[honest]).all()
        lies = oracles.Lies([messages[lane] for messages in kings], faulty_sensors)
        expected = np.array(oracles.phase_kings(votes[lane].tolist(), faulty, lies))
        assert (by_king[lane][honest] == expected[honest]).all()


@pytest.mark.parametrize(
    ("protocol", "rounds"), [(ideal, 1), (plain, 1), (eig, 3), (parallel_kings, 10)]
)
def test_rounds_are_numbered_and_fixed(protocol: Agreement, rounds: int) -> None:
    numbers: list[int] = []
    votes, byzantine = draw(np.random.default_rng(0), 5, 7, 2)

    def silent(number: int, messages: Int8Array) -> Int8Array:
        numbers.append(number)
        if number == 0:
            assert (messages == votes[:, None]).all()
        return np.full_like(messages, SILENT)

    agreed = protocol(votes, byzantine, 2, silent)
    assert numbers == list(range(rounds))
    honest = ~byzantine
    assert (agreed[honest] == np.where(byzantine, SILENT, votes).repeat(5, axis=0)).all()


@pytest.mark.parametrize("protocol", PROTOCOLS.values())
@pytest.mark.parametrize(("agents", "faulty"), [(1, 0), (3, 0), (4, 1), (5, 1), (10, 1)])
def test_all_that_follow_the_protocol_hold_all_votes(
    protocol: Agreement, agents: int, faulty: int
) -> None:
    votes, byzantine = draw(np.random.default_rng(0), 40, agents, faulty)
    kept = votes.copy()
    agreed = protocol(votes, byzantine, faulty)
    assert agreed.shape == (40, agents, agents)
    assert agreed.dtype == np.int8
    assert (agreed == votes[:, None]).all()
    assert (votes == kept).all()


@pytest.mark.parametrize("name", PROTOCOLS)
def test_lanes_are_independent(name: str) -> None:
    votes, byzantine = draw(np.random.default_rng(0), 40, 7, 3)
    adversary: Adversary = two_faced(1, 3)
    together = PROTOCOLS[name](votes, byzantine, 2, adversary)
    for lane in range(40):
        one = slice(lane, lane + 1)
        alone = PROTOCOLS[name](votes[one], byzantine[one], 2, adversary)
        assert (alone[0] == together[lane]).all()


def test_the_ideal_hears_each_sensor_once_however_many_lie() -> None:
    votes, byzantine = draw(np.random.default_rng(0), 100, 4, 3)
    agreed = ideal(votes, byzantine, 1, two_faced(2, 3))
    assert (agreed == np.where(byzantine, 2, votes)[:, None]).all()
    beyond = ideal(votes, byzantine, 1, lambda _, messages: np.full_like(messages, 9))
    assert (beyond == np.where(byzantine, SILENT, votes)[:, None]).all()


@teams
def test_plain_votes_disagree_as_often_as_the_binomials_say(agents: int, faulty: int) -> None:
    """Honest votes uniform, lies uniform over four actions and silence: 73 % and 54 %."""
    lanes, threshold = 20_000, (agents + 1) // 2
    rng = np.random.default_rng(0)
    votes = rng.integers(0, ACTIONS, (lanes, agents), np.int8)
    byzantine = np.broadcast_to(np.arange(agents) < faulty, votes.shape)
    rule = DecisionRule(agents, faulty, threshold)
    heard = plain(votes, byzantine, faulty, random_messages(rng))
    threat = THREAT_VOTE[decisions(heard, rule)].astype(np.int8)
    honest = agents - faulty
    expected = 0.0
    for votes_for in range(honest + 1):
        tips = binom.sf(threshold - votes_for - 1, faulty, 2 / 5)
        expected += binom.pmf(votes_for, honest, 1 / 2) * (tips**honest + (1 - tips) ** honest)
    assert expected == pytest.approx({4: 0.73, 7: 0.541}[agents], abs=1e-3)
    assert agreement(threat, byzantine).mean() == pytest.approx(expected, abs=0.015)
    for protocol in (ideal, eig, parallel_kings):
        agreed = protocol(votes[:500], byzantine[:500], faulty, random_messages(rng))
        assert agreement(decisions(agreed, rule), byzantine[:500]).all()


def test_decisions_apply_the_rule_to_what_each_sensor_holds() -> None:
    rule = DecisionRule(4, 1, 2)
    agreed = np.random.default_rng(0).integers(SILENT, ACTIONS, (30, 4, 4), np.int8)
    expected = [[oracles.decide(held.tolist(), 1, 2) for held in lane] for lane in agreed]
    assert decisions(agreed, rule).tolist() == expected

"""Agreement and validity, over every or very many scripts of Byzantine messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

from marl_stl_env.consensus.protocols.adversaries import random_messages, random_splits
from marl_stl_env.consensus.protocols.agreement import (
    Adversary,
    Agreement,
    eig,
    king_phase,
    parallel_kings,
)
from marl_stl_env.consensus.rules import SILENT
from marl_stl_env.types import ACTIONS, BoolArray, Int8Array
from tests.consensus.protocol_runs import SYMBOLS, agreement, draw, replay, teams, validity

agreeing = pytest.mark.parametrize("protocol", [eig, parallel_kings])


def grid(symbols: range, columns: int) -> Int8Array:
    """Every row of ``columns`` symbols."""
    axes = np.indices((len(symbols),) * columns, dtype=np.int8)
    return (axes.reshape(columns, -1).T + np.int8(symbols[0])).astype(np.int8)


Columns = Iterator[Int8Array]
Script = Callable[[int, Columns], Adversary]


def others(faulty_sensor: int) -> list[int]:
    return [sensor for sensor in range(4) if sensor != faulty_sensor]


def eig_script(faulty_sensor: int, columns: Columns) -> Adversary:
    """One faulty sensor of four: its messages to each other sensor, column by column."""

    def adversary(number: int, messages: Int8Array) -> Int8Array:
        forged = np.zeros(messages.shape, np.int8)
        for receiver in others(faulty_sensor):
            if number == 0:
                forged[:, receiver, faulty_sensor] = next(columns)
            else:
                for about in others(faulty_sensor):
                    forged[:, receiver, faulty_sensor, about] = next(columns)
        return forged

    return adversary


def king_script(faulty_sensor: int, columns: Columns) -> Adversary:
    """The same for Phase King: all agreements that run side by side get the same messages."""

    def adversary(number: int, messages: Int8Array) -> Int8Array:
        forged = np.zeros(messages.shape, np.int8)
        order_of_another = messages.shape[2] == 1 and number // 3 - 1 != faulty_sensor
        for receiver in others(faulty_sensor) if not order_of_another else []:
            forged[:, receiver] = next(columns).reshape(-1, *[1] * (messages.ndim - 2))
        return forged

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


@pytest.mark.parametrize("faulty_sensor", [pytest.param(0, marks=pytest.mark.long), 1, 2, 3])
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
    # agreement, and a vote that all honest sensors received stays. To propose nothing, which the
    # scripts cannot, is no better for a faulty sensor than a value that nobody honest proposes.
    honest = others(faulty_sensor)
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
@pytest.mark.parametrize(
    "batches",
    # With two strategies 120,000 runs of each protocol.
    [1, pytest.param(10, marks=pytest.mark.long)],
)
def test_no_two_byzantine_of_seven_found_that_break_agreement(
    protocol: Agreement, strategy: Any, batches: int
) -> None:
    rng = np.random.default_rng(0)
    for _ in range(batches):
        votes, byzantine = draw(rng, 6000, 7, 2)
        agreed = protocol(votes, byzantine, 2, strategy(rng))
        assert agreement(agreed, byzantine).all()
        assert validity(agreed, votes, byzantine).all()


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

"""The protocols against slow oracles, closed forms and each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from marl_stl_env.consensus.protocols.adversaries import random_messages, two_faced
from marl_stl_env.consensus.protocols.agreement import (
    PROTOCOLS,
    Adversary,
    Agreement,
    decisions,
    eig,
    ideal,
    parallel_kings,
    plain,
)
from marl_stl_env.consensus.rules import SILENT, DecisionRule
from marl_stl_env.types import ACTIONS, THREAT_VOTE, Int8Array
from tests.consensus import oracles
from tests.consensus.protocol_runs import agreement, draw, replay, teams


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
        messages_of = oracles.Messages([messages[lane] for messages in trees], faulty_sensors)
        expected = np.array(oracles.oral_messages(votes[lane].tolist(), faulty, messages_of))
        assert (by_tree[lane][honest] == expected[honest]).all()
        messages_of = oracles.Messages([messages[lane] for messages in kings], faulty_sensors)
        expected = np.array(oracles.phase_kings(votes[lane].tolist(), faulty, messages_of))
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
    before = votes.copy()
    agreed = protocol(votes, byzantine, faulty)
    assert agreed.shape == (40, agents, agents)
    assert agreed.dtype == np.int8
    assert (agreed == votes[:, None]).all()
    assert (votes == before).all()


@pytest.mark.parametrize("name", PROTOCOLS)
def test_lanes_are_independent(name: str) -> None:
    votes, byzantine = draw(np.random.default_rng(0), 40, 7, 3)
    adversary: Adversary = two_faced(1, 3)
    together = PROTOCOLS[name](votes, byzantine, 2, adversary)
    for lane in range(40):
        one = slice(lane, lane + 1)
        alone = PROTOCOLS[name](votes[one], byzantine[one], 2, adversary)
        assert (alone[0] == together[lane]).all()


def test_the_ideal_receives_each_sensor_once_however_many_are_byzantine() -> None:
    votes, byzantine = draw(np.random.default_rng(0), 100, 4, 3)
    agreed = ideal(votes, byzantine, 1, two_faced(2, 3))
    assert (agreed == np.where(byzantine, 2, votes)[:, None]).all()
    beyond = ideal(votes, byzantine, 1, lambda _, messages: np.full_like(messages, 9))
    assert (beyond == np.where(byzantine, SILENT, votes)[:, None]).all()


@teams
def test_plain_votes_disagree_as_often_as_the_binomials_predict(agents: int, faulty: int) -> None:
    """Uniform honest votes, and uniform Byzantine messages (with silence): 73 % and 54 %."""
    lanes, threshold = 20_000, (agents + 1) // 2
    rng = np.random.default_rng(0)
    votes = rng.integers(0, ACTIONS, (lanes, agents), np.int8)
    byzantine = np.broadcast_to(np.arange(agents) < faulty, votes.shape)
    rule = DecisionRule(agents, faulty, threshold)
    received = plain(votes, byzantine, faulty, random_messages(rng))
    threat = THREAT_VOTE[decisions(received, rule)].astype(np.int8)
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

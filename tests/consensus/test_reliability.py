from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from marl_stl_env.consensus.faults import HARM, draw_faulty, make_fault
from marl_stl_env.consensus.reliability import CAP, ReliabilityRule, tally, vote_weights
from marl_stl_env.consensus.rules import SILENT, DecisionRule
from marl_stl_env.types import (
    ACTIONS,
    THREAT_VOTE,
    Action,
    BoolArray,
    Float64Array,
    Int8Array,
    IntArray,
)

HONEST, COLLUDER, FAULTY, COIN = range(4)
RULE = DecisionRule(7, 2, 4)
THRESHOLD = 9 / 29


def watch(events: int, threat_rate: float) -> tuple[Int8Array, BoolArray]:
    """Votes of four sensors: a good one, one that always allows, a wrong one and a random one."""
    rng = np.random.default_rng(0)
    labels = rng.random(events) < threat_rate
    good = labels ^ (rng.random(events) < 0.1)  # 90 % right on either class
    guess = rng.random(events) < 0.5
    threat = np.stack([good, np.zeros(events, bool), ~good, guess], axis=1)
    return np.where(threat, Action.BLOCK, Action.ALLOW).astype(np.int8), labels


def checked(actions: Int8Array, labels: BoolArray) -> IntArray:
    """The counts of one lane in which all these events had label feedback."""
    counts: IntArray = tally(actions, labels).sum(axis=0)[None]
    return counts


def random_counts(rng: np.random.Generator, lanes: int, agents: int) -> IntArray:
    """Counts of teams of good and bad sensors, each with label feedback on as many events."""
    labels = rng.random((lanes, 30)) < 0.4
    right = rng.random((lanes, 30, agents)) < rng.random((lanes, 1, agents))
    threat = right == labels[:, :, None]
    actions = np.where(rng.random(threat.shape) < 0.1, SILENT, threat).astype(np.int8)
    return np.stack([tally(a, b).sum(axis=0) for a, b in zip(actions, labels, strict=True)])


def test_an_always_allowing_colluder_gets_nothing_but_most_by_accuracy() -> None:
    actions, labels = watch(20_000, 0.05)
    accuracy: Float64Array = (THREAT_VOTE[actions] == labels[:, None]).mean(axis=0)
    by_accuracy = np.log(accuracy / (1 - accuracy))
    assert by_accuracy.argmax() == COLLUDER
    assert by_accuracy[COLLUDER] > by_accuracy[HONEST] + 0.5

    weights = vote_weights(checked(actions, labels))[0]
    assert abs(weights[COLLUDER, 1]) < 0.01  # the only vote it ever casts
    assert weights[HONEST].tolist() == [0.0, -CAP, CAP]  # log 9 = 2.2 is above the cap
    assert weights[FAULTY].tolist() == [0.0, 0.0, 0.0]  # and not believed in reverse
    assert np.abs(weights[COIN]).max() < 0.15


def test_weights_are_clipped_log_likelihood_ratios_of_beta_means() -> None:
    assert not vote_weights(np.zeros((1, 1, 2, 3), int)).any()
    says = [Action.BLOCK] * 3 + [Action.ALERT] * 2 + [Action.QUARANTINE] * 2 + [Action.ALLOW] * 9
    labels = np.array([True] * 5 + [False] * 11)
    counts = checked(np.array(says, np.int8)[:, None], labels)
    caught, false_alarms = 4 / 7, 3 / 13  # (3 + 1) / (5 + 2) and (2 + 1) / (11 + 2)
    expected = [0, math.log((1 - caught) / (1 - false_alarms)), math.log(caught / false_alarms)]
    assert vote_weights(counts)[0, 0] == pytest.approx(expected)
    for action, weight in ((Action.ALLOW, 1), (Action.ALERT, 1), (Action.BLOCK, 2), (SILENT, 0)):
        evidence = ReliabilityRule.evidence(np.array([[action]], np.int8), counts)
        assert evidence == pytest.approx([expected[weight]])


def test_silence_is_not_held_for_or_against_anyone() -> None:
    actions, labels = watch(1000, 0.3)
    quiet = actions.copy()
    quiet[::2, HONEST] = SILENT
    counts = checked(quiet, labels)[0, HONEST]
    assert (counts[:, 1:] == checked(actions[1::2], labels[1::2])[0, HONEST, :, 1:]).all()
    assert counts[:, 0].sum() == 500


def test_label_feedback_add_up() -> None:
    actions, labels = watch(1000, 0.3)
    parts = checked(actions[:400], labels[:400]) + checked(actions[400:], labels[400:])
    assert (parts == checked(actions, labels)).all()
    assert parts.sum() == 4000


def test_nobody_else_changes_what_an_honest_sensor_weighs() -> None:
    actions, labels = watch(1000, 0.3)
    alone = vote_weights(checked(actions, labels))[0, HONEST]
    for claim in (SILENT, *Action):
        altered = actions.copy()
        altered[:, 1:] = claim
        assert (vote_weights(checked(altered, labels))[0, HONEST] == alone).all()


def test_evidence_beats_numbers_within_the_bounds() -> None:
    """Three good sensors against four that always allow: the equal vote would let all pass."""
    rng = np.random.default_rng(0)
    labels = rng.random(5000) < 0.2
    threat = np.zeros((5000, 7), bool)
    threat[:, :3] = labels[:, None] ^ (rng.random((5000, 3)) < 0.1)
    actions = threat.astype(np.int8)
    counts = np.repeat(checked(actions, labels), 5000, axis=0)
    decided: BoolArray = THREAT_VOTE[ReliabilityRule(RULE, THRESHOLD)(actions, counts)]
    assert (decided == (threat.sum(axis=1) > RULE.max_faulty)).all()
    assert not THREAT_VOTE[RULE(actions)].any()


@pytest.mark.parametrize(("agents", "faulty"), [(4, 1), (7, 2), (10, 3)])
def test_what_faulty_sensors_cannot_do(agents: int, faulty: int) -> None:
    """Whatever anybody weighs: an honest sensor is behind every class, and unanimity holds."""
    rng = np.random.default_rng(agents)
    lanes = 4000
    rule = DecisionRule(agents, faulty, -(-agents // 2))
    counts = random_counts(rng, lanes, agents)
    votes = np.where(
        rng.random((lanes, 1)) < 0.5,
        rng.integers(0, ACTIONS, (lanes, 1)),
        rng.integers(0, ACTIONS, (lanes, agents)),
    ).astype(np.int8)
    faulty_sensors = draw_faulty(rng.integers(0, 2**64, (lanes, agents), np.uint64), faulty)
    said = np.where(faulty_sensors, rng.integers(SILENT, ACTIONS, (lanes, agents)), votes).astype(
        np.int8
    )
    decisions = ReliabilityRule(rule, THRESHOLD)(said, counts)
    backed = ((THREAT_VOTE[votes] == THREAT_VOTE[decisions][:, None]) & ~faulty_sensors).any(axis=1)
    assert backed.all()
    same = (votes == votes[:, :1]).all(axis=1)
    assert (decisions[same] == votes[same, 0]).all()

    # Faulty sensors move the evidence by at most CAP each from what the honest sensors give.
    rule_of_all = ReliabilityRule(rule, THRESHOLD)
    honest = rule_of_all.evidence(np.where(faulty_sensors, SILENT, votes).astype(np.int8), counts)
    both = counts[:, 0].sum(axis=-1)
    bar = math.log(THRESHOLD / (1 - THRESHOLD)) - np.log((both[:, 1] + 1) / (both[:, 0] + 1))
    threats = (THREAT_VOTE[votes] & ~faulty_sensors).sum(axis=1)
    known = both.min(axis=1) > 0
    sure = known & (honest > bar + CAP * faulty) & (threats > faulty)
    assert sure.sum() > 50
    assert THREAT_VOTE[decisions[sure]].all()
    sure = known & (honest < bar - CAP * faulty) & (threats + faulty < agents - faulty)
    assert sure.sum() > 50
    assert not THREAT_VOTE[decisions[sure]].any()


def test_the_bounds_are_what_protects() -> None:
    """Seven trusted faulty sensors of ten would decide alone; within the bound they cannot."""
    labels = np.arange(400) % 2 == 0
    perfect = np.repeat(labels[:, None].astype(np.int8), 10, axis=1)
    counts = checked(perfect, labels)
    rule = ReliabilityRule(DecisionRule(10, 3, 5), THRESHOLD)
    for faulty_sensors, fooled in ((3, False), (4, True)):
        votes = np.zeros((1, 10), np.int8)
        votes[:, 3:] = SILENT  # honest sensors of no weight
        votes[:, :faulty_sensors] = Action.BLOCK
        unweighed = counts.copy()
        unweighed[:, faulty_sensors:] = 0
        unweighed[:, 0] = counts[:, 0]
        assert bool(THREAT_VOTE[rule(votes, unweighed)][0]) is fooled


def test_until_both_classes_were_checked_the_equal_vote_decides() -> None:
    rng = np.random.default_rng(0)
    actions = rng.integers(SILENT, ACTIONS, (500, 7)).astype(np.int8)
    rule = ReliabilityRule(RULE, THRESHOLD)
    nothing = np.zeros((500, 7, 2, 3), int)
    assert (rule(actions, nothing) == RULE(actions)).all()
    one_class = np.repeat(checked(actions, np.zeros(500, bool)), 500, axis=0)
    assert (rule(actions, one_class) == RULE(actions)).all()
    both = np.repeat(checked(actions, np.arange(500) % 9 == 0), 500, axis=0)
    assert (rule(actions, both) != RULE(actions)).any()


def test_no_claims_do_more_harm_than_the_worst_case() -> None:
    rng = np.random.default_rng(1)
    lanes, agents = 2000, 4
    rule = DecisionRule(4, 1, 2)
    actions = rng.integers(0, ACTIONS, (lanes, agents)).astype(np.int8)
    counts, labels = random_counts(rng, lanes, agents), rng.random(lanes) < 0.5
    for faulty in (1, 2, 3):
        mask = draw_faulty(rng.integers(0, 2**64, (lanes, agents), np.uint64), faulty)

        def decide(said: Int8Array) -> Int8Array:
            return ReliabilityRule(rule, THRESHOLD)(said, counts)

        scene = (actions, mask, labels, np.zeros(lanes, int), np.zeros((lanes, agents), np.uint64))
        worst = decide(make_fault("worst_case", rule)(*scene, decide))
        harm, most = HARM[labels.astype(int), worst], np.zeros(lanes, np.int8)
        for claims in product((SILENT, *Action), repeat=faulty):
            tried = actions.copy()
            tried[mask] = np.tile(np.array(claims, np.int8), lanes)
            most = np.maximum(most, HARM[labels.astype(int), decide(tried)])
        assert (harm == most).all()

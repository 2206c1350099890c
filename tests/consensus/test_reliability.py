from __future__ import annotations

import math

import numpy as np
import pytest

from marl_stl_env.consensus.reliability import CAP, Reliability
from marl_stl_env.consensus.rules import SILENT
from marl_stl_env.errors import ConfigError
from marl_stl_env.types import THREAT_VOTE, Action, BoolArray, Float64Array, Int8Array

HONEST, COLLUDER, LIAR, COIN = range(4)


def watch(events: int, threat_rate: float) -> tuple[Int8Array, BoolArray]:
    """Votes of a good sensor, one that always allows, one that lies, and one that guesses."""
    rng = np.random.default_rng(0)
    labels = rng.random(events) < threat_rate
    good = labels ^ (rng.random(events) < 0.1)  # 90 % right on either class
    guess = rng.random(events) < 0.5
    threat = np.stack([good, np.zeros(events, bool), ~good, guess], axis=1)
    return np.where(threat, Action.BLOCK, Action.ALLOW).astype(np.int8), labels


def audited(actions: Int8Array, labels: BoolArray) -> Reliability:
    reliability = Reliability(actions.shape[1])
    reliability.audit(actions, labels)
    return reliability


def test_an_always_allowing_colluder_gets_nothing_but_most_by_accuracy() -> None:
    actions, labels = watch(20_000, 0.05)
    accuracy: Float64Array = (THREAT_VOTE[actions] == labels[:, None]).mean(axis=0)
    by_accuracy = np.log(accuracy / (1 - accuracy))
    assert by_accuracy.argmax() == COLLUDER
    assert by_accuracy[COLLUDER] > by_accuracy[HONEST] + 0.5

    weights = audited(actions, labels).weights()
    assert abs(weights[COLLUDER, 0]) < 0.01  # the only vote it ever casts
    assert weights[HONEST].tolist() == [-CAP, CAP]  # log 9 = 2.2 is above the cap
    assert weights[LIAR].tolist() == [CAP, -CAP]
    assert np.abs(weights[COIN]).max() < 0.15


def test_three_colluders_cannot_shout_an_honest_sensor_down() -> None:
    actions, labels = watch(20_000, 0.05)
    team = actions[:, [HONEST, COLLUDER, COLLUDER, COLLUDER]]
    evidence = audited(team, labels).evidence(team)
    assert ((evidence > 0) == THREAT_VOTE[team[:, 0]]).all()


def test_weights_are_clipped_log_likelihood_ratios_of_beta_means() -> None:
    reliability = Reliability(1)
    assert reliability.weights().tolist() == [[0.0, 0.0]]
    says = [Action.BLOCK] * 3 + [Action.ALERT] * 2 + [Action.QUARANTINE] * 2 + [Action.ALLOW] * 9
    labels = np.array([True] * 5 + [False] * 11)
    reliability.audit(np.array(says, np.int8)[:, None], labels)
    caught, false_alarms = 4 / 7, 3 / 13  # (3 + 1) / (5 + 2) and (2 + 1) / (11 + 2)
    expected = [math.log((1 - caught) / (1 - false_alarms)), math.log(caught / false_alarms)]
    assert reliability.weights()[0] == pytest.approx(expected)
    votes = np.array([[Action.ALLOW], [Action.ALERT], [Action.BLOCK], [SILENT]], np.int8)
    assert reliability.evidence(votes) == pytest.approx([expected[0]] * 2 + [expected[1], 0.0])


def test_silence_is_not_held_for_or_against_anyone() -> None:
    actions, labels = watch(1000, 0.3)
    quiet = actions.copy()
    quiet[::2, HONEST] = SILENT
    kept = audited(actions[1::2], labels[1::2]).counts[HONEST]
    assert (audited(quiet, labels).counts[HONEST] == kept).all()


def test_audits_add_up() -> None:
    actions, labels = watch(1000, 0.3)
    parts = audited(actions[:400], labels[:400])
    parts.audit(actions[400:], labels[400:])
    assert (parts.counts == audited(actions, labels).counts).all()
    assert parts.counts.sum() == 4000


def test_another_team_is_refused() -> None:
    for actions in (np.zeros((5, 3), np.int8), np.zeros(4, np.int8)):
        with pytest.raises(ConfigError, match="team of 4 sensors"):
            Reliability(4).evidence(actions)
    with pytest.raises(ConfigError, match="agents=0"):
        Reliability(0)

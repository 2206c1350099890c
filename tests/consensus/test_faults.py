from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from scipy import stats

from marl_stl_env.consensus.faults import (
    FAULTS,
    HARM,
    Constant,
    Scene,
    WorstCase,
    draw_faulty,
    make_fault,
    register_fault,
)
from marl_stl_env.consensus.rules import SILENT, DecisionRule
from marl_stl_env.errors import ConfigError, PluginError, UnknownNameError
from marl_stl_env.types import ACTIONS, THREAT_VOTE, Action, Int8Array
from tests.consensus import oracles

LANES, AGENTS = 400, 7
RULE = DecisionRule(AGENTS, 2, 4)


def random_words(rng: np.random.Generator, lanes: int, agents: int) -> np.ndarray[Any, Any]:
    return rng.integers(0, 2**64, (lanes, agents), np.uint64)


def random_scene(seed: int = 0, faulty: int = 2) -> Scene:
    rng = np.random.default_rng(seed)
    return Scene(
        actions=rng.integers(0, ACTIONS, (LANES, AGENTS)).astype(np.int8),
        faulty=draw_faulty(random_words(rng, LANES, AGENTS), faulty),
        labels=rng.random(LANES) < 0.5,
        steps=rng.integers(0, 200, LANES),
        words=random_words(rng, LANES, AGENTS),
        decide=RULE,
    )


def part_of(scene: Scene, lanes: slice) -> Scene:
    return Scene(
        scene.actions[lanes],
        scene.faulty[lanes],
        scene.labels[lanes],
        scene.steps[lanes],
        scene.words[lanes],
        scene.decide,
    )


def claims(name: str, scene: Scene, **options: Any) -> Int8Array:
    """The agreed values of the faulty sensors alone."""
    return make_fault(name, RULE, **options)(*scene)[scene.faulty]


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_honest_sensors_are_left_alone_and_lanes_do_not_depend_on_each_other(name: str) -> None:
    scene = random_scene()
    kept = scene.actions.copy()
    fault = make_fault(name, RULE)
    agreed = fault(*scene)
    assert agreed.dtype == np.int8
    assert (agreed[~scene.faulty] == kept[~scene.faulty]).all()
    assert (agreed[scene.faulty] != kept[scene.faulty]).any()
    assert (scene.actions == kept).all()
    for lanes in (slice(0, 1), slice(17, 23), slice(0, 0)):
        assert (fault(*part_of(scene, lanes)) == agreed[lanes]).all()


def test_random_claims_are_uniform_and_come_from_the_words_alone() -> None:
    scene = random_scene()
    counts = np.bincount(claims("random", scene), minlength=ACTIONS)
    assert len(counts) == ACTIONS
    assert stats.chisquare(counts).pvalue > 1e-3
    assert (claims("random", scene) == claims("random", scene)).all()
    same_word = scene._replace(words=np.full_like(scene.words, 4 * 10**18 + 2))
    assert (claims("random", same_word) == 2).all()


def test_flip_turns_the_class_around() -> None:
    scene = random_scene()
    own = scene.actions[scene.faulty]
    expected = {Action.ALLOW: 1, Action.BLOCK: 0, Action.QUARANTINE: 3, Action.ALERT: 2}
    assert claims("flip", scene).tolist() == [expected[Action(action)] for action in own]
    assert (THREAT_VOTE[claims("flip", scene)] != THREAT_VOTE[own]).all()


def test_always_allow_and_silent() -> None:
    scene = random_scene()
    assert (claims("always_allow", scene) == Action.ALLOW).all()
    assert (claims("silent", scene) == SILENT).all()


@pytest.mark.parametrize("faulty", [2, 3])
def test_an_equivocator_denies_the_honest_majority(faulty: int) -> None:
    scene = random_scene(faulty=faulty)
    agreed = make_fault("equivocate", RULE)(*scene)
    for actions, faulty_sensors, result in zip(scene.actions, scene.faulty, agreed, strict=True):
        honest = actions[~faulty_sensors].tolist()
        threats = sum(action in oracles.THREAT for action in honest)
        assert set(result[faulty_sensors].tolist()) == {0 if threats > len(honest) / 2 else 1}
    blind = make_fault("equivocate", RULE)(*scene._replace(labels=~scene.labels))
    assert (blind == agreed).all()


def test_a_sleeper_is_honest_until_its_step() -> None:
    scene = random_scene()
    agreed = make_fault("sleeper", RULE, start=100)(*scene)
    worst = make_fault("worst_case", RULE)(*scene)
    asleep = scene.steps < 100
    assert (agreed[asleep] == scene.actions[asleep]).all()
    assert (agreed[~asleep] == worst[~asleep]).all()
    at_the_step = scene._replace(steps=np.full(LANES, 100))
    assert (make_fault("sleeper", RULE, start=100)(*at_the_step) == worst).all()
    assert (make_fault("sleeper", RULE, start=101)(*at_the_step) == scene.actions).all()


@pytest.mark.parametrize(("agents", "faulty"), [(4, 1), (4, 2), (4, 4), (7, 2), (7, 3)])
def test_no_claims_do_more_harm_than_the_worst_case(agents: int, faulty: int) -> None:
    tolerated = (agents - 1) // 3
    rng = np.random.default_rng(agents * faulty)
    lanes = 256
    actions = rng.integers(0, ACTIONS, (lanes, agents)).astype(np.int8)
    if agents == 4:
        actions = np.array(list(product(range(ACTIONS), repeat=agents)), np.int8)
    labels = rng.random(lanes) < 0.5
    mask = draw_faulty(random_words(rng, lanes, agents), faulty)
    for threshold in range(tolerated + 1, agents - tolerated + 1):
        rule = DecisionRule(agents, tolerated, threshold)
        words = random_words(rng, lanes, agents)
        scene = Scene(actions, mask, labels, np.zeros(lanes, int), words, rule)
        harm = HARM[labels.astype(int), rule(WorstCase(rule)(*scene))]
        most = np.zeros(lanes, np.int8)
        for choice in product((SILENT, *Action), repeat=faulty):
            tried = actions.copy()
            tried[mask] = np.tile(np.array(choice, np.int8), lanes)
            most = np.maximum(most, HARM[labels.astype(int), rule(tried)])
        assert (harm == most).all()


def test_every_wrong_class_harms_more_than_any_right_one() -> None:
    assert HARM[0][THREAT_VOTE].min() > HARM[0][~THREAT_VOTE].max()
    assert HARM[1][~THREAT_VOTE].min() > HARM[1][THREAT_VOTE].max()


def test_the_worst_case_flips_exactly_what_the_rule_leaves_open() -> None:
    scene = random_scene()
    decisions = RULE(make_fault("worst_case", RULE)(*scene))
    votes = (THREAT_VOTE[scene.actions] & ~scene.faulty).sum(axis=1)
    expected = np.where(scene.labels, votes >= RULE.threshold, votes >= RULE.threshold - 2)
    assert (THREAT_VOTE[decisions] == expected).all()


@pytest.mark.parametrize("count", range(5))
def test_draw_faulty_takes_every_set_equally_often(count: int) -> None:
    rng = np.random.default_rng(count)
    faulty = draw_faulty(random_words(rng, 6000, 4), count)
    assert faulty.shape == (6000, 4)
    assert (faulty.sum(axis=1) == count).all()
    sets = list(combinations(range(4), count))
    seen = [tuple(np.flatnonzero(row).tolist()) for row in faulty]
    counts = [seen.count(item) for item in sets]
    assert sum(counts) == 6000
    assert len(sets) == 1 or stats.chisquare(counts).pvalue > 1e-3


def test_draw_faulty_is_lane_by_lane_and_refuses_too_many() -> None:
    words = random_words(np.random.default_rng(0), 50, 7)
    assert (draw_faulty(words[20:21], 2) == draw_faulty(words, 2)[20:21]).all()
    for count in (-1, 8):
        with pytest.raises(ConfigError, match="faulty"):
            draw_faulty(words, count)


def test_users_can_add_faults(own_registrations: None) -> None:
    @register_fault("paranoid")
    class Paranoid(Constant):
        claim = Action.QUARANTINE

    @register_fault("broken")
    class Broken(Constant):
        claim = 259  # Alert, after a careless cast

    assert (claims("paranoid", random_scene()) == Action.QUARANTINE).all()
    with pytest.raises(PluginError, match="Broken claims actions from 0 to 259"):
        claims("broken", random_scene())
    with pytest.raises(PluginError, match=r"Paranoid.* registered already; .*replace=True"):
        register_fault("paranoid", Broken)
    with pytest.raises(PluginError, match="'flip' is built in; choose another name"):
        register_fault("flip", Broken, replace=True)


def test_unknown_names_and_impossible_options_are_refused() -> None:
    with pytest.raises(UnknownNameError) as caught:
        make_fault("byzantine", RULE)
    assert tuple(sorted(caught.value.known)) == (
        "always_allow",
        "equivocate",
        "flip",
        "random",
        "silent",
        "sleeper",
        "worst_case",
    )
    with pytest.raises(ConfigError, match="start=-1"):
        make_fault("sleeper", RULE, start=-1)

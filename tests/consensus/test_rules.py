from __future__ import annotations

import pickle
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_stl_env.config import ConsensusConfig
from marl_stl_env.consensus.rules import SILENT, TABLE_AGENTS, DecisionRule, decide
from marl_stl_env.errors import ConfigError
from marl_stl_env.types import THREAT_VOTE, Action, BoolArray, Int8Array
from tests.consensus import oracles

SYMBOLS = (SILENT, *Action)
TEAMS = [
    (agents, faulty, threshold)
    for agents in (4, 7)
    for faulty in range((agents - 1) // 3 + 1)
    for threshold in range(faulty + 1, agents - faulty + 1)
]
teams = pytest.mark.parametrize(("agents", "faulty", "threshold"), TEAMS)


def vectors(symbols: tuple[int, ...], length: int) -> Int8Array:
    """Every vector of ``length`` symbols."""
    rows = list(product(symbols, repeat=length))
    return np.array(rows, np.int8).reshape(len(rows), length)


def every_case(agents: int, faulty: int) -> tuple[Int8Array, BoolArray]:
    """All honest votes with all Byzantine ones, as (honest, Byzantine, agents) blocks.

    The Byzantine sensors are the last ones; every other choice is a permutation of these cases,
    and :func:`test_the_order_of_the_sensors_does_not_matter` covers those.
    """
    honest = vectors(tuple(Action), agents - faulty)
    claims = vectors(SYMBOLS, faulty)
    cases = np.empty((len(honest), len(claims), agents), np.int8)
    cases[:, :, : agents - faulty] = honest[:, None]
    cases[:, :, agents - faulty :] = claims
    return cases, THREAT_VOTE[honest]


def decisions_on(cases: Int8Array, faulty: int, threshold: int) -> Int8Array:
    agents = cases.shape[-1]
    rule = DecisionRule(agents, faulty, threshold)
    return rule(cases.reshape(-1, agents)).reshape(cases.shape[:-1])


@pytest.mark.parametrize(("agents", "faulty", "threshold"), [t for t in TEAMS if t[0] == 4])
def test_equals_the_scalar_oracle_on_every_vector(agents: int, faulty: int, threshold: int) -> None:
    cases = vectors(SYMBOLS, agents)
    expected = [oracles.decide(case, faulty, threshold) for case in cases.tolist()]
    assert DecisionRule(agents, faulty, threshold)(cases).tolist() == expected
    assert decide(cases, faulty, threshold).tolist() == expected


@teams
def test_enough_honest_threat_votes_force_a_threat(
    agents: int, faulty: int, threshold: int
) -> None:
    cases, honest_threat = every_case(agents, faulty)
    threat = THREAT_VOTE[decisions_on(cases, faulty, threshold)]
    votes = honest_threat.sum(axis=1)
    assert threat[votes >= threshold].all()
    assert not threat[votes < threshold - faulty].any()


@teams
def test_between_the_two_bounds_the_adversary_decides(
    agents: int, faulty: int, threshold: int
) -> None:
    cases, honest_threat = every_case(agents, faulty)
    threat = THREAT_VOTE[decisions_on(cases, faulty, threshold)]
    votes = honest_threat.sum(axis=1)
    open_votes = (threshold - faulty <= votes) & (votes < threshold)
    assert open_votes.any() == (faulty > 0)
    assert threat[open_votes].any(axis=1).all()
    assert not threat[open_votes].all(axis=1).any()


@teams
def test_the_class_has_an_honest_supporter_and_the_action_too_or_is_the_default(
    agents: int, faulty: int, threshold: int
) -> None:
    cases, honest_threat = every_case(agents, faulty)
    decisions = decisions_on(cases, faulty, threshold)
    threat = THREAT_VOTE[decisions]
    assert (threat[..., None] == honest_threat[:, None]).any(axis=2).all()
    honest = cases[:, :, : agents - faulty]
    chosen = (decisions[..., None] == honest).any(axis=2)
    default = np.where(threat, Action.QUARANTINE, Action.ALLOW)
    assert (chosen | (decisions == default)).all()
    always_chosen = faulty == 0 or 2 * faulty < threshold <= agents - 2 * faulty
    assert chosen.all() == always_chosen


@teams
def test_an_action_with_a_lead_above_f_among_the_honest_wins_within_its_class(
    agents: int, faulty: int, threshold: int
) -> None:
    cases, _ = every_case(agents, faulty)
    decisions = decisions_on(cases, faulty, threshold)
    honest = cases[:, 0, : agents - faulty]
    support = {action: (honest == action).sum(axis=1) for action in Action}
    for action in Action:
        rival = next(a for a in Action if a != action and THREAT_VOTE[a] == THREAT_VOTE[action])
        leads = support[action] - support[rival] > faulty
        decided = decisions[leads]
        assert (decided[THREAT_VOTE[decided] == THREAT_VOTE[action]] == action).all()
        unanimous = support[action] == agents - faulty
        assert unanimous.any()
        assert (decisions[unanimous] == action).all()


@pytest.mark.parametrize(("agents", "faulty"), [(4, 1), (7, 2)])
def test_beyond_the_bound_the_class_can_lack_an_honest_supporter(agents: int, faulty: int) -> None:
    cases, honest_threat = every_case(agents, faulty + 1)
    threat = THREAT_VOTE[decisions_on(cases, faulty, faulty + 1)]
    assert threat[~honest_threat.any(axis=1)].any()


@pytest.mark.parametrize("agents", [4, 7])
def test_the_order_of_the_sensors_does_not_matter(agents: int) -> None:
    cases = vectors(SYMBOLS, agents)
    for faulty, threshold in {team[1:] for team in TEAMS if team[0] == agents}:
        rule = DecisionRule(agents, faulty, threshold)
        expected = rule(cases)
        for first, second in combinations(range(agents), 2):
            swapped = cases.copy()
            swapped[:, [first, second]] = cases[:, [second, first]]
            assert (rule(swapped) == expected).all()


def test_worked_examples() -> None:
    allow, block, quarantine, alert = (int(action) for action in Action)
    rule = DecisionRule(4, 1, 2)
    examples = {
        (allow, allow, alert, alert): allow,  # a tie goes to the lower value
        (allow, alert, alert, block): alert,
        (block, block, quarantine, quarantine): block,
        (block, quarantine, allow, allow): quarantine,  # nobody above f: the class default
        (block, block, allow, allow): block,
        (alert, SILENT, SILENT, SILENT): allow,
        (SILENT, SILENT, SILENT, SILENT): allow,
    }
    decisions = rule(np.array(list(examples), np.int8))
    assert decisions.dtype == np.int8
    assert decisions.tolist() == list(examples.values())


@st.composite
def rounds(draw: st.DrawFn) -> tuple[int, int, int, list[int], int]:
    """A team of any size, its actions, and how many of the last ones are Byzantine."""
    agents = draw(st.integers(1, 64))
    faulty = draw(st.integers(0, (agents - 1) // 3))
    threshold = draw(st.integers(faulty + 1, agents - faulty))
    faulty_sensors = draw(st.integers(0, faulty))
    favourite = draw(st.sampled_from(list(Action)))
    honest = draw(
        st.lists(
            st.one_of(st.just(favourite), st.sampled_from(list(Action))),
            min_size=agents - faulty_sensors,
            max_size=agents - faulty_sensors,
        )
    )
    claims = draw(
        st.lists(st.sampled_from(SYMBOLS), min_size=faulty_sensors, max_size=faulty_sensors)
    )
    return agents, faulty, threshold, [int(action) for action in honest + claims], faulty_sensors


@settings(deadline=None, max_examples=300)
@given(rounds())
def test_the_properties_hold_for_teams_of_any_size(
    case: tuple[int, int, int, list[int], int],
) -> None:
    agents, faulty, threshold, actions, faulty_sensors = case
    decision = int(DecisionRule(agents, faulty, threshold)(np.array([actions], np.int8))[0])
    honest = actions[: agents - faulty_sensors]
    votes = sum(action in oracles.THREAT for action in honest)
    threat = decision in oracles.THREAT
    assert decision == oracles.decide(actions, faulty, threshold)
    assert threat or votes < threshold
    assert not threat or votes >= threshold - faulty
    assert any((action in oracles.THREAT) == threat for action in honest)
    assert decision in honest or decision in (Action.ALLOW, Action.QUARANTINE)
    assert len(set(honest)) > 1 or decision == honest[0]


@pytest.mark.parametrize("agents", [1, TABLE_AGENTS, TABLE_AGENTS + 1, 64])
def test_lanes_are_independent_and_the_input_is_left_alone(agents: int) -> None:
    rng = np.random.default_rng(agents)
    cases = rng.integers(-1, 4, (500, agents)).astype(np.int8)
    kept = cases.copy()
    faulty = (agents - 1) // 3
    rule = DecisionRule(agents, faulty, ConsensusConfig().threshold_for(agents))
    together = rule(cases)
    assert together.tolist() == [int(rule(case[None])[0]) for case in cases]
    assert (cases == kept).all()
    assert rule(cases[:0]).shape == (0,)
    assert pickle.loads(pickle.dumps(rule)) == rule


@pytest.mark.parametrize(
    ("agents", "faulty", "threshold", "reason"),
    [
        (3, 1, 2, "3 sensors tolerate at most 0"),
        (4, 2, 2, "use at least 7 sensors"),
        (4, -1, 2, "outside [0, 1]"),
        (4, 1, 1, "outside [2, 3]"),
        (4, 1, 4, "outside [2, 3]"),
        (7, 2, 6, "outside [3, 5]"),
        (0, 0, 1, "agents=0"),
        (65, 0, 1, "agents=65"),
        (4, None, 2, "max_faulty=None"),
        (4, 1, 2.0, "threshold=2.0"),
    ],
)
def test_impossible_teams_are_refused(
    agents: int, faulty: int, threshold: int, reason: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        DecisionRule(agents, faulty, threshold)
    assert reason in str(caught.value)

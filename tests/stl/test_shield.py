from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_stl_env.arrays import NUMPY
from marl_stl_env.errors import ConfigError, StateError
from marl_stl_env.stl.enforcement import Bound, classify
from marl_stl_env.stl.shield import Shield, Situation, carried_out
from marl_stl_env.stl.shield_rules import Effects
from marl_stl_env.stl.specs import Specification, default_specifications
from marl_stl_env.types import Action, BoolArray, Int8Array
from tests.shield_oracle import ScalarShield

ALERT, QUARANTINE = int(Action.ALERT), int(Action.QUARANTINE)


def specs(*formulas: str) -> list[Specification]:
    return [Specification.parse(f"spec {i}", formula) for i, formula in enumerate(formulas)]


def bounds(*formulas: str) -> tuple[Bound, ...]:
    found = classify(specs(*formulas))
    assert not found.priced
    return found.bounds


def carry_out(shield: Shield, now: Situation, decisions: Int8Array, active: BoolArray) -> None:
    shield.step(now, Effects.of(decisions, now.isolated, active, NUMPY))


class Lane:
    """One lane of a shield, with a dictionary of entities in place of an engine."""

    def __init__(self, rules: Sequence[Bound], quarantine_length: int) -> None:
        self.shield = Shield(rules, 1, quarantine_length)
        self.length, self.step_number = quarantine_length, 0
        self.met: dict[int, int] = {}
        self.until: dict[int, int] = {}

    def situation(self, entity: int) -> Situation:
        now, until = self.step_number, self.until.get(entity)
        isolated = until is not None and until > now
        freed = 2**30 if until is None else now - until
        others = {now - last for one, last in self.met.items() if one != entity}
        present = sum(1 << ago for ago in {0, *others} if ago < 64)
        return Situation(
            np.array([now]),
            np.array([isolated]),
            np.array([freed], np.int32),
            np.array([present], np.uint64).view(np.int64),
        )

    def allowed(self, entity: int) -> BoolArray:
        row: BoolArray = self.shield.allowed(self.situation(entity))[0]
        return row

    def step(self, entity: int, action: int) -> None:
        now = self.situation(entity)
        carry_out(self.shield, now, np.array([action], np.int8), np.ones(1, np.bool_))
        if action == QUARANTINE and not now.isolated[0]:
            self.until[entity] = self.step_number + 1 + self.length
        self.met[entity] = self.step_number
        self.step_number += 1


FORMULAS = {
    "alerts": ("G (alerts_5 <= 2)",),
    "alerts later": ("G[9,inf) (alerts_5 <= 1)", "G[20,inf) (alerts_30 < 4)"),
    "quarantines": ("G[3,inf) (quarantines_12 <= 2)",),
    "quarantined": ("G (quarantined <= 1.5)",),
    "fraction": ("G[64,inf) (quarantined_fraction <= 0.25)",),
    "fraction at once": ("G (quarantined_fraction <= 0.5)",),
    "fraction, bound above 1": ("G[10,inf) (quarantined_fraction <= 1.5)",),
    "flapping": ("G (requarantined_benign_7 <= 0.5)",),
    "flapping later": ("G[30,inf) (requarantined_benign_7 <= 0)",),
    "all": (
        "G[64,inf) (quarantined_fraction <= 0.3) and G (alerts_16 <= 6)",
        "G[5,inf) (requarantined_benign_9 <= 0.5 and quarantined <= 4)",
    ),
}


def stream(rng: np.random.Generator, steps: int) -> list[int]:
    """Entities in runs, many at times and few at others."""
    entities: list[int] = []
    while len(entities) < steps:
        among = int(rng.choice([1, 3, 12, 40]))
        entities += rng.integers(0, among, int(rng.integers(1, 40))).tolist()
    return entities[:steps]


@pytest.mark.parametrize("quarantine_length", [1, 4, 30, pytest.param(64, marks=pytest.mark.long)])
@pytest.mark.parametrize("formulas", FORMULAS.values(), ids=FORMULAS)
def test_masks_equal_the_oracle_that_tries(
    formulas: tuple[str, ...], quarantine_length: int
) -> None:
    rng = np.random.default_rng(quarantine_length)
    rules = bounds(*formulas)
    lane, oracle = Lane(rules, quarantine_length), ScalarShield(rules, quarantine_length)
    masked = 0
    for entity in stream(rng, 150):
        allowed = lane.allowed(entity)
        wanted = [not oracle.masked(entity, action) for action in range(4)]
        assert allowed.tolist() == wanted
        masked += 4 - sum(wanted)
        action = int(rng.choice(np.flatnonzero(allowed)))
        lane.step(entity, action)
        oracle.step(entity, action)
    assert masked or quarantine_length < 30 or "<= 1.5" in formulas[0]


def test_masks_of_long_quarantines_equal_the_oracle() -> None:
    """Beyond 64 steps every entity but one may have left: next to nothing is allowed."""
    rng, rules = np.random.default_rng(0), bounds("G[120,inf) (quarantined_fraction <= 0.5)")
    lane, oracle = Lane(rules, 90), ScalarShield(rules, 90)
    seen = set()
    for entity in stream(rng, 140):
        allowed = bool(lane.allowed(entity)[QUARANTINE])
        assert allowed == (not oracle.masked(entity, QUARANTINE))
        seen.add(allowed)
        action = QUARANTINE if allowed and rng.random() < 0.1 else 0
        lane.step(entity, action)
        oracle.step(entity, action)
    assert seen == {True, False}


class OneStepAhead(Shield):
    """The naive rule: would one more be too many now?"""

    def __init__(self, rules: Sequence[Bound], lanes: int, length: int) -> None:
        super().__init__(rules, lanes, length)
        self._fractions = [(limits, starts[:1]) for limits, starts in self._fractions]
        self._still_begun, self._still_present = self._still_begun[:1], self._still_present[:1]


#: Nine entities, then one of them for long: eight leave those present one after another.
LEAVING = [*range(9), *[8] * 55, *range(100, 104), *[8] * 20]


@pytest.mark.parametrize("kind", [Shield, OneStepAhead])
def test_one_step_of_look_ahead_is_not_enough(kind: type[Shield]) -> None:
    rules = bounds("G[64,inf) (quarantined_fraction <= 0.25)")
    lane, oracle = Lane(rules, 10), ScalarShield(rules, 10)
    lane.shield = kind(rules, 1, 10)
    highest = 0.0
    for entity in LEAVING:
        action = QUARANTINE if lane.allowed(entity)[QUARANTINE] else 1
        lane.step(entity, action)
        oracle.step(entity, action)
        if lane.step_number > 64:
            highest = max(highest, oracle.signal("quarantined_fraction", 0, oracle.past))
    assert (highest <= 0.25) == (kind is Shield)


def test_what_is_enforced_and_what_is_priced() -> None:
    found = classify(default_specifications())
    assert [part.name for part in found.enforced] == ["collateral", "alert budget", "no flapping"]
    assert found.priced_names == ("responsive", "posture", "availability")
    assert len(found.priced) == 4  # posture has two conjuncts
    assert "alert budget: 'always (alerts_16 <= 6)' is enforced" in " ".join(found.sentences())
    assert "responsive: 'always (age <= 20)' is priced" in " ".join(found.sentences())


@pytest.mark.parametrize(
    "formula",
    [
        "G (alerts_3 <= 2 * 3)",
        "G[7,inf) (5 >= alerts_3)",
        "G (quarantines_9 < 4)",
        "G (quarantined <= 3) and G (alerts_4 <= 1)",
        "G (quarantined <= 3 and alerts_4 <= 1)",
    ],
)
def test_other_constants_and_windows_are_enforced(formula: str) -> None:
    assert not classify(specs(formula)).priced


@pytest.mark.parametrize(
    ("formula", "reason"),
    [
        ("G (age <= 3)", "no mask on Alert and Quarantine"),
        ("G (alerts <= 3)", "no mask on Alert and Quarantine"),
        ("G (quarantined_5 <= 3)", "no mask on Alert and Quarantine"),
        ("G[0,9] (alerts_5 <= 3)", "not of the form"),
        ("F[0,9] (alerts_5 <= 3)", "not of the form"),
        ("alerts_5 <= 3", "not of the form"),
        ("G (alerts_5 >= 3)", "not of the form"),
        ("G (alerts_5 + alerts_6 <= 3)", "not of the form"),
        ("G (alerts_5 <= quarantines_5)", "not of the form"),
        ("G (alerts_5 <= 3 or threat)", "not of the form"),
        ("G (alerts_5 < 0)", "no decisions satisfy it"),
        ("G (quarantined_fraction <= -0.1)", "no decisions satisfy it"),
    ],
)
def test_everything_else_is_priced(formula: str, reason: str) -> None:
    (part,) = classify(specs(formula)).priced
    assert reason in part.reason


def test_a_bound_above_its_window_masks_nothing() -> None:
    lane = Lane(bounds("G (alerts_3 <= 3)", "G (requarantined_benign_9 <= 1)"), 2)
    for _ in range(12):
        assert lane.allowed(0).all()
        lane.step(0, ALERT if lane.step_number % 2 else QUARANTINE)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(FORMULAS)), min_size=1, max_size=3),
    st.integers(1, 80),
    st.randoms(use_true_random=False),
)
def test_no_state_is_without_an_action(names: list[str], length: int, random: object) -> None:
    """Allow and Block are never masked; what replaces a masked decision is allowed."""
    rules = [bound for name in names for bound in bounds(*FORMULAS[name])]
    rng = np.random.default_rng(random.getrandbits(32))  # type: ignore[attr-defined]
    lanes, now = 6, np.zeros(6, np.int64)
    shield = Shield(rules, lanes, length)
    for _ in range(40):
        situation = Situation(
            now.copy(),
            rng.random(lanes) < 0.2,
            rng.integers(-1, 50, lanes).astype(np.int32),
            rng.integers(-(2**63), 2**63, lanes) | 1,
        )
        allowed = shield.allowed(situation)
        assert allowed[:, :2].all()
        assert allowed[situation.isolated].all()
        voted: Int8Array = rng.integers(0, 4, lanes).astype(np.int8)
        decisions = carried_out(voted, allowed)
        assert allowed[np.arange(lanes), decisions].all()
        active = rng.random(lanes) < 0.8
        carry_out(shield, situation, decisions, active)
        now += active


def test_masked_alert_becomes_allow_and_masked_quarantine_block() -> None:
    voted = np.array([0, 1, 2, 3, 2, 3], np.int8)
    allowed = np.ones((6, 4), np.bool_)
    allowed[4, 2] = allowed[5, 3] = False
    assert carried_out(voted, allowed).tolist() == [0, 1, 2, 3, 1, 0]


def test_a_replay_has_no_isolations_to_bound() -> None:
    Shield(bounds("G (alerts_4 <= 2)"), 2)
    with pytest.raises(ConfigError, match="dynamics='response'"):
        Shield(bounds("G (quarantined <= 2)"), 2)


def test_a_window_may_be_longer_than_any_stream() -> None:
    lane = Lane(bounds("G (requarantined_benign_9999999999 <= 0)"), 3)
    assert lane.allowed(0)[QUARANTINE]
    for _ in range(4):
        lane.step(0, QUARANTINE)
    assert not lane.allowed(0)[QUARANTINE]
    assert lane.allowed(1)[QUARANTINE]


def test_states_of_other_shields_are_refused() -> None:
    shield = Shield(bounds("G (alerts_4 <= 2)"), 2)
    with pytest.raises(StateError, match="the shield's history"):
        shield.set_state(Shield(bounds("G (alerts_4 <= 2)"), 3).get_state())
    with pytest.raises(StateError, match="the shield's history"):
        shield.set_state({})


def test_a_state_may_lie_in_memory_column_by_column() -> None:
    rules, now = bounds("G (alerts_4 <= 1)"), Situation.unrelated(2)
    there, here = Shield(rules, 2), Shield(rules, 2)
    here.set_state({name: np.asfortranarray(one) for name, one in there.get_state().items()})
    for shield in (there, here):
        shield.allowed(now)
        carry_out(shield, now, np.full(2, ALERT, np.int8), np.ones(2, np.bool_))
    for name, one in there.get_state().items():
        assert np.array_equal(here.get_state()[name], one), name

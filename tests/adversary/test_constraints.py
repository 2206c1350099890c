"""No disguised event leaves its constraints, whatever the constraints and events are."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_stl_env.adversary.catalogue import find_constraints, known_constraints
from marl_stl_env.adversary.constraints import Constraints, Mutable
from marl_stl_env.adversary.disguise import Disguises
from marl_stl_env.adversary.fit import fit_disguises
from marl_stl_env.adversary.table import disguised_table, fitted_disguises
from marl_stl_env.config import AdversaryConfig, make_config
from marl_stl_env.data.prepare import prepare
from marl_stl_env.data.registry import load_dataset
from marl_stl_env.errors import ConfigError, UnknownNameError
from tests.adversary.scenes import MUTABLE, TABLE, TOY

NAMES = ("a", "b", "total", "rate", "fixed")


@st.composite
def limits(draw: Any) -> Mutable:
    change = draw(st.sampled_from(["factor", "shift"]))
    low = draw(st.floats(0.1, 1.0) if change == "factor" else st.floats(-50.0, 0.0))
    high = draw(st.floats(1.0, 9.0) if change == "factor" else st.floats(0.0, 50.0))
    return Mutable(
        change=change,
        low=low,
        high=high,
        least=draw(st.none() | st.floats(-100.0, 0.0)),
        most=draw(st.none() | st.floats(0.0, 1000.0)),
        integer=draw(st.booleans()),
        unit=draw(st.sampled_from([0.0, 1.0, 20.0])),
    )


def some_changes(mutable: dict[str, Mutable], shares: np.ndarray[Any, Any]) -> Any:
    """Changes at these shares of the room of each column."""
    room = np.array([one.room for one in mutable.values()])
    return room[:, 0] + shares * (room[:, 1] - room[:, 0])


@settings(max_examples=30)
@given(one=limits(), other=limits(), seed=st.integers(0, 2**16))
def test_whatever_is_disguised_stays_within_its_constraints(
    one: Mutable, other: Mutable, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    mutable = {"a": one, "b": other}
    constraints = Constraints.from_plain(
        {"mutable": {}, "sums": {}} | {"mutable": {"a": {"high": 2.0}}}
    )
    constraints = Constraints(
        mutable,
        sums={"total": ("a", "b")},
        rates=Constraints.from_plain(
            {"mutable": {"a": {"high": 2.0}}, "rates": {"rate": {"of": ["a"], "per": ["b"]}}}
        ).rates,
    )
    events = rng.normal(0, 30, (64, 5)).astype(np.float32)
    events[:32] = np.round(events[:32])
    events[rng.random((64, 5)) < 0.1] = 0.0
    events[rng.random((64, 5)) < 0.05] = np.nan
    events[rng.random((64, 5)) < 0.02] = np.inf
    changes = some_changes(mutable, rng.random((4, 2)))
    disguises = Disguises(constraints, ("a", "b"), changes)
    for number in range(4):
        after = disguises.apply(NAMES, events, number)
        found = constraints.violations(NAMES, events, after)
        assert {what: events[rows].tolist() for what, rows in found.items()} == {}


@pytest.mark.parametrize(
    ("column", "value", "what"),
    [
        ("fixed", 1.0, "fixed stays"),
        ("a", 2.5, "a changes too far"),
        ("b", 1.5, "b is whole"),
        ("b", -1.0, "b >= 0"),
        ("total", 9.0, "total is the sum of a, b"),
        ("rate", 9.0, "rate follows"),
    ],
)
def test_a_violation_is_seen(column: str, value: float, what: str) -> None:
    constraints = Constraints.from_plain(
        {
            "mutable": {
                "a": {"low": 0.5, "high": 2.0},
                "b": {"change": "shift", "low": -9, "high": 9, "least": 0, "integer": True},
            },
            "sums": {"total": ["a", "b"]},
            "rates": {"rate": {"of": ["a"]}},
        }
    )
    before = np.array([[1.0, 2.0, 3.0, 5.0, 0.0]], np.float32)
    assert constraints.violations(NAMES, before, before) == {}
    after = before.copy()
    after[0, NAMES.index(column)] = value
    assert any(one.startswith(what) for one in constraints.violations(NAMES, before, after))


def test_changes_by_hand() -> None:
    """Padding by a factor of 3 on x + 1, and twelve connections less, of whole numbers."""
    padding = Mutable(high=3.0, unit=1.0, integer=True, most=100.0)
    values = np.array([0.0, 5.0, 60.0, 200.0, 2.5, np.nan])
    np.testing.assert_allclose(
        padding.changed(values, np.log(3.0) - 1e-9), [1, 16, 100, 200, 2.5, np.nan]
    )
    fewer = Mutable(change="shift", low=-12.0, least=1.0, integer=True)
    values = np.array([20.0, 5.0, 0.0])
    np.testing.assert_allclose(fewer.changed(values, -12.0), [8, 1, 0])


def test_effectiveness_by_hand() -> None:
    """Half the room in logarithms costs half of .1; the other column is used whole, at .2."""
    mutable = {"a": Mutable(high=4.0, cost=0.1), "b": Mutable(change="shift", low=-2.0, cost=0.2)}
    changes = np.array([[np.log(2.0), -2.0], [0.0, 0.0]])
    disguises = Disguises(Constraints(mutable), ("a", "b"), changes)
    np.testing.assert_allclose(disguises.effectiveness(), [1.0, 0.95 * 0.8, 1.0])
    np.testing.assert_allclose(disguises.effectiveness(0.0), 1.0)
    assert disguises.described(0) == {"a": pytest.approx(2.0), "b": -2.0}


def test_disguised_attacks_of_a_whole_split() -> None:
    """Labels, families and entities stay; columns that may not change do not; others do."""
    config = make_config(None, {"dataset_options": {"rows": 2000}, "split": "validation"})
    adversary = AdversaryConfig(disguises=4)
    prepared = prepare(config)
    found = disguised_table(config, adversary)
    plain, rows = prepared.tables["validation"], prepared.rows["validation"]
    threats = np.flatnonzero(plain.labels)
    np.testing.assert_array_equal(found.table.features[: len(plain)], plain.features)
    assert len(found.table) == len(plain) + 4 * len(threats)
    disguises = fitted_disguises(prepared, adversary)
    raw = np.asarray(prepared.raw.features[rows[threats]])
    names = prepared.raw.feature_names
    for number in range(4):
        after = disguises.apply(names, raw, number)
        assert disguises.constraints.violations(names, raw, after) == {}
        assert (after != raw).any()
        there = found.rows(threats, np.full(len(threats), number + 1, np.int8))
        assert found.table.labels[there].all()
        np.testing.assert_array_equal(found.table.families[there], plain.families[threats])
        assert plain.entities is not None
        assert found.table.entities is not None
        np.testing.assert_array_equal(found.table.entities[there], plain.entities[threats])
        fixed = [
            at
            for at, name in enumerate(plain.feature_names)
            if name.split("=")[0] not in disguises.columns
        ]
        np.testing.assert_array_equal(
            found.table.features[there][:, fixed], plain.features[threats][:, fixed]
        )


def test_disguises_make_attacks_look_benign() -> None:
    """Among those of the toy table the best one moves the telling columns towards benign values."""
    prepared = prepare(make_config(None, {}), TABLE)
    fitted = fitted_disguises(prepared, TOY)
    assert fitted.changes.shape == (3, 3)
    assert fitted.changes[:, 0].min() < -0.5  # x0 is 1.5 higher in attacks
    assert (fitted.changes[:, 0] <= 0.0).all()  # and may not grow
    again = fit_disguises(
        fitted.constraints, prepared.raw, prepared.tables["train"], prepared.rows["train"], 3
    )
    np.testing.assert_array_equal(fitted.changes, again.changes)


def test_owners_share_the_entities() -> None:
    found = disguised_table(make_config(None, {}), TOY, TABLE)
    plain = found.plain
    assert (found.owners[~plain.labels] == -1).all()
    assert set(found.owners[plain.labels].tolist()) == {0, 1}
    assert plain.entities is not None
    for entity in np.unique(plain.entities[plain.labels]):
        assert len(set(found.owners[plain.labels & (plain.entities == entity)].tolist())) == 1


def test_the_packaged_constraints_can_be_read() -> None:
    assert {"synthetic", "nsl-kdd", "unsw-nb15", "cic-ids2017", "zeek"} <= {*known_constraints()}
    for name in known_constraints():
        assert find_constraints(AdversaryConfig(), name).about.endswith(".")


@pytest.mark.data
@pytest.mark.parametrize("name", ["nsl-kdd", "unsw-nb15", "zeek", "cic-ids2017"])
@pytest.mark.long
def test_the_packaged_constraints_hold_on_real_events(name: str, data_dir: Path) -> None:
    raw = load_dataset(name, data_dir=data_dir)
    constraints = find_constraints(AdversaryConfig(), name)
    constraints.check_columns(raw.feature_names, raw.categories)
    events = np.asarray(raw.features[:: max(1, len(raw.features) // 20_000)])  # of all its days
    shares = np.random.default_rng(0).random((4, len(constraints.mutable))).round(1)
    changes = some_changes(dict(constraints.mutable), shares)
    disguises = Disguises(constraints, tuple(constraints.mutable), changes)
    for number in range(4):
        after = disguises.apply(raw.feature_names, events, number)
        assert constraints.violations(raw.feature_names, events, after) == {}
        assert (after != events).any()


def test_own_constraints_from_a_file_or_settings(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    path.write_text(json.dumps({"mutable": MUTABLE, "about": "a test"}), encoding="utf-8")
    from_file = find_constraints(AdversaryConfig(constraints=path), "toy")
    assert from_file.mutable == find_constraints(TOY, "toy").mutable
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="not JSON"):
        find_constraints(AdversaryConfig(constraints=path), "toy")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "nothing is known of what an attacker may change in 'toy'"),
        ({"mutable": {"nope": {"high": 2.0}}}, "unknown column 'nope'"),
        ({"mutable": {"x0": {}}}, "low, high or both"),
        ({"mutable": {"x0": {"high": 0.5}}}, "high=0.5 is outside"),
        ({"mutable": {"x0": {"hi": 2}}}, "unknown setting 'hi'"),
        ({"mutable": {"x0": {"high": 2}}, "sums": {"x0": ["x1"]}}, "both changed and derived"),
        ({"mutable": ("x0",)}, "name=JSON"),
        ({"mutable": {"x0": {"high": 2}}, "constraints": "f.json"}, "not in both"),
    ],
)
def test_wrong_constraints_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        disguised_table(make_config(None, {}), AdversaryConfig(**given), TABLE)


def test_categories_are_never_disguised() -> None:
    config = make_config(None, {"dataset_options": {"rows": 2000}})
    adversary = AdversaryConfig(mutable={"service": {"high": 2.0}})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="'service' holds categories"):
        disguised_table(config, adversary)


def test_made_up_events_are_not_disguised() -> None:
    config = make_config(None, {"synthetic_outliers": 1.0})
    with pytest.raises(ConfigError, match="nobody sent"):
        disguised_table(config, TOY, TABLE)


def test_an_unknown_entry_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown entry 'mutables'"):
        Constraints.from_plain({"mutables": {}})

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_stl_env.config import SplitMethod
from marl_stl_env.data import SplitReport, TrafficTable, load_dataset, split_rows
from marl_stl_env.data.splits.duplicates import find_duplicates
from marl_stl_env.data.splits.rows import Rows
from marl_stl_env.errors import SplitError, UnknownNameError

from .tables import make_table


def with_duplicates(seed: int, rows: int, distinct: int) -> TrafficTable:
    """Rows drawn from a few distinct ones, so that most of them have equals."""
    rng = np.random.default_rng(seed)
    pick = np.sort(rng.integers(0, distinct, rows))
    rng.shuffle(pick)
    labels = pick % 4 == 0
    families = np.where(labels, 1 + pick % 3, 0)
    features = np.stack([pick, pick**2 % 7], axis=1)
    times = np.sort(rng.uniform(0, 100, rows))
    return make_table(features, labels, families, times=times)


def check_partition(table: TrafficTable, rows: Rows, report: SplitReport) -> None:
    everything = np.concatenate(list(rows.values()))
    assert len(set(everything)) == len(everything)
    lost = report.gap + sum(report.removed_duplicates.values()) + sum(report.resampled.values())
    assert len(everything) + lost == len(table)
    vectors = {name: {tuple(v) for v in table.features[index]} for name, index in rows.items()}
    assert not vectors["train"] & vectors["validation"]
    assert not vectors["train"] & vectors["test"]
    assert not vectors["validation"] & vectors["test"]
    for name, index in rows.items():
        assert (np.diff(index) > 0).all()
        part = report.parts[name]
        assert (part.rows, part.threats) == (len(index), table.labels[index].sum())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(400, 900), st.integers(200, 500))
def test_stratified_properties(seed: int, size: int, distinct: int) -> None:
    table = with_duplicates(seed, size, distinct)
    rows, report = split_rows(table, "stratified", seed=seed)
    check_partition(table, rows, report)
    rates = [part.threat_rate for part in report.parts.values()]
    assert max(rates) - min(rates) <= 2 / min(part.rows for part in report.parts.values())
    assert len(rows["train"]) / size == pytest.approx(0.7, abs=0.05)
    again, _ = split_rows(table, "stratified", seed=seed)
    for name in rows:
        np.testing.assert_array_equal(rows[name], again[name])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_official_properties(seed: int) -> None:
    table = with_duplicates(seed, 800, 1500)
    official = np.random.default_rng(seed).random(800) < 0.3
    table = replace(table, official_test=official)
    rows, report = split_rows(table, seed=seed)
    assert report.method == "official"
    check_partition(table, rows, report)
    np.testing.assert_array_equal(rows["test"], np.flatnonzero(official))
    in_test = {tuple(v) for v in table.features[official]}
    leaked = [tuple(v) in in_test for v in table.features[~official]]
    assert report.removed_duplicates == {"train": sum(leaked)}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.109, 0.25, 0.5, 0.8]))
def test_threat_rate_properties(seed: int, rate: float) -> None:
    table = with_duplicates(seed, 1500, 900)
    rows, report = split_rows(table, "stratified", seed=seed, threat_rate=rate)
    check_partition(table, rows, report)
    for part in report.parts.values():
        assert part.threat_rate == pytest.approx(rate, abs=1 / part.rows)
    untouched, _ = split_rows(table, "stratified", seed=seed)
    for name in rows:
        assert set(rows[name]) <= set(untouched[name])
        for label in (True, False):  # only one class is thinned
            before, after = untouched[name], rows[name]
            kept = (table.labels[after] == label).sum() == (table.labels[before] == label).sum()
            assert (
                kept
                or (table.labels[after] != label).sum() == (table.labels[before] != label).sum()
            )


def test_seeds_differ() -> None:
    table = with_duplicates(0, 500, 400)
    one, _ = split_rows(table, "stratified", seed=1)
    two, _ = split_rows(table, "stratified", seed=2)
    assert set(one["test"]) != set(two["test"])


def test_every_family_is_spread() -> None:
    table = load_dataset("synthetic", rows=20_000)
    rows, report = split_rows(table, "stratified")
    for code in range(len(table.family_names)):
        total = (table.families == code).sum()
        share = (table.families[rows["test"]] == code).sum() / total
        assert share == pytest.approx(0.15, abs=2 / total)
    assert [part.rows for part in report.parts.values()] == [14_000, 3_000, 3_000]
    assert all(abs(part.threat_rate - 0.109) < 1e-9 for part in report.parts.values())


def test_large_group_goes_to_train() -> None:
    features = np.arange(200)[:, None].astype(np.float32)
    features[:60] = -1
    table = make_table(features, np.arange(200) >= 150)
    rows, report = split_rows(table, "stratified")
    assert set(range(60)) <= set(rows["train"])
    assert report.parts["train"].rows == 140
    assert abs(report.parts["test"].rows - 30) <= 2
    assert report.duplicates == 59


def test_repeated_rows_are_spread_like_the_others() -> None:
    features = np.concatenate([np.repeat(np.arange(200), 3), np.arange(1000, 2400)])[:, None]
    table = make_table(features, np.arange(2000) % 600 < 100)
    rows, _ = split_rows(table, "stratified")
    repeated = [(index < 600).sum() for index in rows.values()]
    np.testing.assert_allclose(repeated, [420, 90, 90], atol=6)


@pytest.mark.parametrize("threats", [0, 1, 99, 100])
def test_too_few_of_a_class(threats: int) -> None:
    table = make_table(np.arange(100)[:, None], np.arange(100) < threats)
    with pytest.raises(SplitError, match="at least two of each"):
        split_rows(table)


def test_too_few_after_resampling() -> None:
    table = make_table(np.arange(100)[:, None], np.arange(100) < 50)
    with pytest.raises(SplitError, match=r"train split resampled to threat_rate=0\.01"):
        split_rows(table, threat_rate=0.01)


def test_too_few_threats_in_time() -> None:
    table = make_table(np.arange(100)[:, None], np.arange(100) < 50, times=np.arange(100.0))
    with pytest.raises(SplitError, match="temporal validation split has 0 threats"):
        split_rows(table, "temporal")


def test_methods_that_do_not_fit() -> None:
    table = make_table(np.arange(100)[:, None], np.arange(100) < 50)
    with pytest.raises(SplitError, match="no official test set"):
        split_rows(table, "official")
    with pytest.raises(SplitError, match="no times"):
        split_rows(table, "temporal")
    with pytest.raises(UnknownNameError, match="known: auto, stratified, official, temporal"):
        split_rows(table, "random")  # type: ignore[arg-type]
    with pytest.raises(SplitError, match="whole table or empty"):
        split_rows(replace(table, official_test=np.ones(100, bool)), "official")


def test_report_lines() -> None:
    table = with_duplicates(0, 800, 1500)
    _, report = split_rows(table, "temporal", threat_rate=0.3)
    text = str(report)
    for part in report.parts.values():
        assert f"{part.rows:,} events" in text
        assert f"({part.threat_rate:.2%})" in text
    assert f"{report.duplicates:,} events repeat" in text
    assert "16 events dropped at the cuts" in text


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from([0.0, -0.0, 1.0, float("nan")])] * 3), min_size=1))
def test_duplicates_match_a_dictionary(rows: list[tuple[float, ...]]) -> None:
    found = find_duplicates(np.array(rows, np.float32))
    keys = [tuple("nan" if np.isnan(v) else v for v in row) for row in rows]
    assert found.count == len(set(keys))
    pairs = set(zip(keys, found.groups.tolist(), strict=True))
    assert len(pairs) == found.count == len({group for _, group in pairs})


def test_hash_collisions_do_not_merge_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "marl_stl_env.data.splits.duplicates._hash", lambda bits: np.zeros(len(bits), np.uint64)
    )
    found = find_duplicates(np.array([[1, 2], [3, 4], [1, 2]], np.float32))
    assert found.groups[0] == found.groups[2] != found.groups[1]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["stratified", "official", "temporal"]))
def test_drop_duplicates_properties(seed: int, method: SplitMethod) -> None:
    table = with_duplicates(seed, 900, 600)
    official = np.random.default_rng(seed).random(900) < 0.3
    table = replace(table, official_test=official)
    rows, report = split_rows(table, method, seed=seed, drop_duplicates=True)
    everything = np.concatenate(list(rows.values()))
    vectors = [tuple(v) for v in table.features[everything]]
    assert len(set(vectors)) == len(vectors)
    distinct = {tuple(v) for v in table.features}
    lost = report.gap + sum(report.removed_duplicates.values())
    assert len(vectors) + lost == len(distinct)
    assert report.dropped_duplicates == 900 - len(distinct)
    if method == "official":  # the test set keeps all its vectors
        in_test = {tuple(v) for v in table.features[official]}
        assert {tuple(v) for v in table.features[rows["test"]]} == in_test
    assert "one event of each group was kept" in str(report)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["stratified", "official", "temporal"]))
def test_holdout_properties(seed: int, method: SplitMethod) -> None:
    table = with_duplicates(seed, 900, 900)
    table = replace(table, official_test=np.random.default_rng(seed).random(900) < 0.3)
    plain, _ = split_rows(table, method, seed=seed)
    rows, report = split_rows(table, method, seed=seed, holdout_families=["family 2"])
    train, validation = set(rows["train"]), set(rows["validation"])
    moved = set(plain["train"]) - train
    held = {row for row in plain["train"] if table.families[row] == 2}
    assert held <= moved
    assert report.held_out == {"family 2": len(held)}
    assert validation == set(plain["validation"]) | moved
    np.testing.assert_array_equal(rows["test"], plain["test"])
    if method != "temporal":  # there a class may stay although it recurs
        vectors = [{tuple(v) for v in table.features[list(part)]} for part in (train, validation)]
        assert not vectors[0] & vectors[1]
    same_vector = {tuple(table.features[row]) for row in held}
    assert all(tuple(table.features[row]) in same_vector for row in moved)
    assert f"{len(held)} events of family 2 held out" in str(report)


def test_holdout_with_a_threat_rate() -> None:
    table = load_dataset("synthetic", rows=20_000)
    rows, report = split_rows(table, threat_rate=0.05, holdout_families=("flood", "recon"))
    seen = {table.family_names[code] for code in np.unique(table.families[rows["train"]])}
    assert not {"flood", "recon"} & seen
    assert "exploit" in seen
    for part in report.parts.values():
        assert part.threat_rate == pytest.approx(0.05, abs=1e-3)


def test_holdout_of_what_is_not_there() -> None:
    table = load_dataset("synthetic", rows=2_000)
    with pytest.raises(UnknownNameError, match=r"known: .*flood"):
        split_rows(table, holdout_families=["floods"])
    with pytest.raises(SplitError, match="no training row is a threat of family 'web'"):
        split_rows(table, holdout_families=["web"])


def test_holdout_takes_equal_rows_of_another_family_along() -> None:
    features = np.arange(200) // 2  # rows in pairs
    families = np.where(np.arange(200) % 2, np.where(np.arange(200) % 10 == 1, 2, 1), 0)
    table = make_table(features[:, None], families > 0, families)
    rows, report = split_rows(table, "stratified", holdout_families=["family 2"])
    of_held = {int(features[row]) for row in np.flatnonzero(families == 2)}
    assert not of_held & {int(features[row]) for row in rows["train"]}
    moved = report.held_out["family 2"]
    assert 10 < moved < 20
    plain, _ = split_rows(table, "stratified")
    assert len(plain["train"]) - len(rows["train"]) == 2 * moved

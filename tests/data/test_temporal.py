"""Splits in time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_stl_env.data import load_dataset, split_rows
from marl_stl_env.data.splits.temporal import remove_seen, temporal_cuts

from .tables import make_table


def test_cuts_by_hand() -> None:
    rows, gap = temporal_cuts(np.arange(800))
    assert gap == 16
    assert [(index[0], index[-1]) for index in rows.values()] == [(0, 555), (564, 675), (684, 799)]


def test_seen_rows_leave_the_later_split_by_hand() -> None:
    # Train has the groups 0 to 4; of ten benign rows of validation two have been seen, of six
    # threats five: these stay, or one would be left.
    groups = np.array([0, 1, 2, 3, 4, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9, 3, 3, 3, 3, 4, 8, 9, 7, 6, 5])
    labels = np.zeros(25, bool)
    labels[[3, 4, 15, 16, 17, 18, 19, 20, 23, 24]] = True
    cut = {"train": np.arange(5), "validation": np.arange(5, 21), "test": np.arange(21, 25)}
    rows, removed, kept = remove_seen(cut, groups, labels)  # type: ignore[arg-type]
    assert rows["train"].tolist() == [0, 1, 2, 3, 4]
    assert rows["validation"].tolist() == list(range(7, 21))
    # Of two benign rows of test, one was in validation; but fewer than two would be left.
    assert rows["test"].tolist() == [21, 22, 23, 24]
    assert removed == {"validation": 2, "test": 0}
    assert kept == {"validation": 5, "test": 1}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(5, 3000))
def test_properties(seed: int, distinct: int) -> None:
    rng = np.random.default_rng(seed)
    pick = rng.integers(0, distinct, 800)
    labels = (pick % 4 == 0) ^ (rng.random(800) < 0.1)
    table = make_table(pick[:, None], labels, times=np.sort(rng.uniform(0, 100, 800)))
    rows, report = split_rows(table, "temporal")
    assert rows["train"].tolist() == list(range(556))
    cut = {"validation": np.arange(564, 676), "test": np.arange(684, 800)}
    seen = set(pick[:556].tolist())
    for name, whole in cut.items():
        repeated = np.array([value in seen for value in pick[whole].tolist()])
        for label in (True, False):
            of_class = labels[whole] == label
            stay = np.isin(whole[of_class], rows[name])  # type: ignore[index]
            fresh = ~repeated[of_class]
            # A class loses all that was seen or nothing, and never more than half.
            assert stay.all() or (stay == fresh).all()
            assert 2 * stay.sum() >= len(stay)
        seen |= set(pick[whole].tolist())
    lost = report.gap + sum(report.removed_duplicates.values())
    assert sum(map(len, rows.values())) + lost == 800
    kept = sum(report.kept_duplicates.values())
    assert (f"{report.kept_duplicates['test']:,} events of test equal" in str(report)) == (
        report.kept_duplicates["test"] > 0
    )
    assert kept == sum(
        int(np.isin(pick[rows[name]], pick[: cut[name][0]][_not_in_gap(cut[name][0])]).sum())  # type: ignore[index,misc]
        for name in cut
    )


def _not_in_gap(stop: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which of the first rows were not dropped at the cuts."""
    place = np.arange(stop)
    return (place < 556) | ((place >= 564) & (place < 676))


@pytest.mark.data
def test_a_flood_in_time_stays(data_dir: Path) -> None:
    """6,423 of the 8,164 threats are equal; most events of the later splits recur."""
    table = load_dataset("ctu-13", data_dir=data_dir, pattern="scenario11*")
    rows, report = split_rows(table, "temporal")
    assert [len(index) for index in rows.values()] == [7_563, 1_524, 1_577]
    assert report.removed_duplicates == {"validation": 0, "test": 0}
    assert report.kept_duplicates == {"validation": 1_510, "test": 1_466}
    assert "1,510 events of validation equal events of an earlier split and were kept" in str(
        report
    )

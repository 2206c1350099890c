"""Drift: statistics against formulas and peers, the rate of false alarms, and what moved."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from marl_stl_agents.config import DecideConfig, EvaluateConfig
from marl_stl_agents.console.tables import show_decisions
from marl_stl_agents.evaluation.drift.adwin import Adwin
from marl_stl_agents.evaluation.drift.binning import (
    Binning,
    kolmogorov_smirnov,
    numeric,
    population_stability,
    quantile_edges,
)
from marl_stl_agents.evaluation.drift.compare import Comparer
from marl_stl_agents.evaluation.drift.reference import Reference
from marl_stl_agents.evaluation.drift.watch import ALARMS, DriftWatch
from marl_stl_agents.evaluation.evaluate import evaluate
from marl_stl_agents.evaluation.new_traffic import decide
from marl_stl_agents.evaluation.new_traffic.kept import KnownTraffic, keep_reference
from marl_stl_agents.run_directory import DRIFT
from scipy.stats import ks_2samp

from marl_stl_env.config import DataConfig, EnvConfig, Split
from marl_stl_env.data import prepare
from marl_stl_env.data.encoding import CategoricalColumn, Column, NumericColumn
from marl_stl_env.errors import RunError, StateError
from marl_stl_env.types import Float32Array, Float64Array
from tests.agents.evaluation.random_runs import make_run
from tests.agents.evaluation.test_new_traffic import raw_rows
from tests.conftest import FOUR

COLUMNS: tuple[Column, ...] = (
    *(NumericColumn(name, False, 0.0, 1.0, 0.0, -9.0, 9.0) for name in ("bytes", "zeros", "rate")),
    CategoricalColumn("proto", ("tcp", "udp")),
)


def bursts(rng: np.random.Generator, events: int) -> tuple[Float32Array, Float64Array]:
    """A stationary stream in which attacks come in bursts of 20 events on average."""
    change = rng.random(events) < 0.05
    state = (rng.random(events) < 0.3)[np.maximum.accumulate(np.where(change, range(events), 0))]
    size = rng.normal(size=events) + 2.0 * state
    zeros = np.where(rng.random(events) < 0.8, 0.0, rng.exponential(size=events) + 0.5)
    proto = np.eye(3)[np.where(state, rng.integers(0, 3, events), 0)]
    features = np.column_stack([size, zeros, rng.normal(size=events), proto]).astype(np.float32)
    return features, np.clip(0.2 + 0.6 * state + rng.normal(scale=0.05, size=events), 0, 1)


def reference(seed: int = 0, events: int = 40_000) -> Reference:
    features, _ = bursts(np.random.default_rng(seed), events)
    _, scores = bursts(np.random.default_rng(seed + 1), events // 4)
    found = Reference.of(COLUMNS, events, lambda start, stop: features[start:stop], scores)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def known() -> Reference:
    return reference()


def test_the_index_is_the_formula() -> None:
    old, new = np.array([[0.5, 0.3, 0.2, 0.9, 0.1]]), np.array([[0.4, 0.4, 0.2, 0.6, 0.4]])
    starts = np.array([0, 3])
    # Worked out by hand: -.1 ln .8 + .1 ln 4/3, and -.3 ln 2/3 + .3 ln 4.
    expected = [[-0.1 * np.log(0.8) + 0.1 * np.log(4 / 3), -0.3 * np.log(2 / 3) + 0.3 * np.log(4)]]
    np.testing.assert_allclose(population_stability(old, new, starts), expected)
    np.testing.assert_allclose(kolmogorov_smirnov(old, new, starts), [[0.1, 0.3]])


def test_kolmogorov_smirnov_is_that_of_scipy() -> None:
    """With a bound at every value the statistic is the usual one."""
    rng = np.random.default_rng(0)
    old, new = rng.integers(0, 30, 500), rng.integers(5, 33, 300)
    every = np.unique(np.concatenate([old, new])).astype(np.float32)[1:]
    one = Binning(("x",), (1,), (every,))
    found = [one.counts(values[:, None].astype(np.float32))[None] for values in (old, new)]
    first, second = (counts / counts.sum() for counts in found)
    value = kolmogorov_smirnov(first, second, one.starts)[0, 0]
    assert value == pytest.approx(ks_2samp(old, new).statistic)


def test_bins_of_a_number() -> None:
    rng = np.random.default_rng(0)
    edges = quantile_edges(rng.normal(size=20_000))
    shares = (
        np.diff([0, *np.searchsorted(np.sort(rng.normal(size=20_000)), edges), 20_000]) / 20_000
    )
    assert len(shares) == 20
    np.testing.assert_allclose(shares, 0.05, atol=0.01)
    # Nine in ten are 0: they have a bin alone, and the rest is told apart all the same.
    values = np.where(rng.random(2000) < 0.9, 0.0, rng.exponential(size=2000) + 1)
    one = numeric(("x",), values[:, None])
    assert one.counts(values[:, None]).max() == (values == 0).sum()
    assert 4 <= one.sizes[0] <= 8
    assert quantile_edges(np.ones(9)).tolist() == []


def test_undrifted_windows_have_the_stated_rate_of_alarms() -> None:
    """Each of 8 references meets 30 windows of its own bursty stream: 1 % of 240 have an alarm."""
    alarms = windows = 0
    for seed in range(8):
        watch = DriftWatch(reference(100 * seed, 30_000))
        watch.add(*bursts(np.random.default_rng(100 * seed + 50), 30 * watch.window))
        alarms, windows = alarms + watch.alarms, windows + watch.windows
        assert not watch.drifted
    assert windows == 240
    assert alarms <= 8  # a binomial count with 1 % exceeds this with a probability of .1 %


def moved(known: Reference, features: Float32Array, scores: Float64Array) -> tuple[str, ...]:
    watch = DriftWatch(known)
    watch.add(features, scores)
    return Comparer(known, watch.events).compare(*watch.totals).moved


@pytest.mark.parametrize("name", ["bytes", "zeros", "rate", "proto", "threat_score"])
def test_what_moved_is_named(known: Reference, name: str) -> None:
    rng = np.random.default_rng(9)
    features, scores = bursts(rng, 5000)
    assert moved(known, features, scores) == ()
    if name == "threat_score":
        scores = np.clip(scores + 0.1, 0, 1)
    elif name == "proto":
        features[:, 3:] = np.eye(3)[rng.integers(0, 3, 5000)]
    elif name == "zeros":  # only a tenth of the events, all within the non-zero ones
        features[:, 1] *= 3.0
    else:
        features[:, ("bytes", "zeros", "rate").index(name)] += 0.8
    assert moved(known, features, scores) == (name,)


def test_a_stream_that_drifts(known: Reference) -> None:
    """It is said after the third window behind it, and is over once windows are as before."""
    rng, watch = np.random.default_rng(3), DriftWatch(known)
    watch.add(*bursts(rng, 20 * watch.window))
    assert (watch.windows, watch.drifted, watch.moved) == (20, False, ())
    features, scores = bursts(rng, 10 * watch.window)
    features[:, 2] -= 1.0
    watch.add(features, np.clip(scores + 0.3, 0, 1))
    assert watch.first_drift == (20 + ALARMS) * watch.window
    assert set(watch.moved) == {"rate", "threat_score"}
    assert 0 < watch.changes[0] - 20 * watch.window < 8 * watch.window
    watch.add(*bursts(rng, 20 * watch.window))
    assert not watch.drifted


def test_in_pieces_and_from_a_state(known: Reference) -> None:
    features, scores = bursts(np.random.default_rng(4), 4500)
    features[2000:, 0] += 1.0
    whole, watch = DriftWatch(known), DriftWatch(known)
    whole.add(features, scores)
    for start in range(0, 4500, 333):
        other = DriftWatch(known)
        other.set_state(json.loads(json.dumps(watch.get_state())))
        watch = other
        watch.add(features[start : start + 333], scores[start : start + 333])
    assert watch.as_dict() == whole.as_dict()
    np.testing.assert_array_equal(watch.totals[0], whole.totals[0])
    state = whole.get_state()
    for broken in ({}, {**state, "open": [[1], [2]]}, {**state, "span": 3}):
        with pytest.raises(StateError):
            DriftWatch(known).set_state(broken)


def test_a_reference_is_kept(known: Reference, tmp_path: Path) -> None:
    path = tmp_path / DRIFT
    assert Reference.read(path) is None
    replace(known, checked=(12, 3)).write(path)
    found = Reference.read(path)
    assert found is not None
    assert found.checked == (12, 3)
    for old, new in ((known.columns, found.columns), (known.scores, found.scores)):
        np.testing.assert_array_equal(old.counts, new.counts)
        assert (old.length, old.binning.names) == (new.length, new.binning.names)
        for one, other in zip(old.binning.edges, new.binning.edges, strict=True):
            np.testing.assert_array_equal(one, other)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RunError, match="--split validation, which writes it anew"):
        Reference.read(path)
    few, scores = bursts(np.random.default_rng(0), 127)
    assert Reference.of(COLUMNS, 127, lambda start, stop: few[start:stop], scores) is None


def slow_cut(values: Sequence[float], delta: float) -> bool:
    """Whether any cut of a window is significant: Bifet and Gavaldà's formulas, cut by cut."""
    total, variance = len(values), float(np.var(values))
    for at in range(5, total - 4):
        left, right = values[:at], values[at:]
        harmonic = 1 / (1 / len(left) + 1 / len(right))
        logarithm = np.log(2 * np.log(total) / delta)
        bound = (2 / harmonic * variance * logarithm) ** 0.5 + 2 / (3 * harmonic) * logarithm
        if abs(np.mean(left) - np.mean(right)) > bound:
            return True
    return False


def test_adwin_is_the_paper() -> None:
    rng, adwin = np.random.default_rng(0), Adwin(0.05, 100)
    values = np.clip(
        np.where(np.arange(120) < 60, 0.2, 0.7) + rng.normal(scale=0.1, size=120), 0, 1
    )
    window: list[float] = []
    changes = []
    for number, value in enumerate(values.tolist()):
        window = [*window, value][-100:]
        expected = slow_cut(window, 0.05)
        assert adwin.add(value) == expected
        if expected:
            changes.append(number)
            assert not slow_cut(adwin.values, 0.05)
        window = list(adwin.values)
    assert changes
    assert 60 <= changes[0] < 75


def test_adwin_beside_that_of_river() -> None:
    """Neither sees a change where there is none; both see one within some 100 values."""
    drift = pytest.importorskip("river.drift")
    rng = np.random.default_rng(1)
    for seed in range(5):
        own, peer = Adwin(0.002), drift.ADWIN(delta=0.002, clock=1)
        values = np.clip(rng.normal(0.3, 0.1, 400), 0, 1)
        values[200:] += 0.2
        found: dict[str, list[int]] = {"own": [], "peer": []}
        for number, value in enumerate(values.tolist()):
            peer.update(value)
            for name, seen in (("own", own.add(value)), ("peer", peer.drift_detected)):
                if seen:
                    found[name].append(number)
        for changes in found.values():
            assert 200 <= changes[0] < 300, (seed, found)


ENV = EnvConfig(data=DataConfig(dataset_options=("rows=4000",)), **FOUR)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("drift") / "run", ENV)


def decided(run: Path, frame: pd.DataFrame, folder: Path, name: str) -> dict[str, Any]:
    frame.to_csv(folder / f"{name}.csv", index=False)
    target = folder / f"{name}-out.csv"
    _, found = decide(DecideConfig(folder / f"{name}.csv", run, target, device="cpu"))
    assert json.loads(target.with_suffix(".json").read_text()) == found
    return found


def test_decisions_on_drifted_traffic(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = raw_rows(prepare(ENV), "test")
    without = decided(run, rows, tmp_path, "without")
    assert without["drift"] is None
    show_decisions(without)
    assert f"`marl-stl-evaluate {run} --split validation` writes it" in _joined(capsys)
    evaluate(EvaluateConfig(run, split="validation", device="cpu"))
    same = decided(run, rows, tmp_path, "same")
    assert same["own_metrics"]["split"] == "validation"
    assert (same["drift"]["moved"], same["drift"]["certificates_cover"]) == ([], True)
    show_decisions(same)
    shown = _joined(capsys)
    assert "drift: none, no column has moved" in shown
    assert "team, own validation split" in shown
    rows["duration"] *= 4.0
    other = decided(run, rows.drop(columns="kind"), tmp_path, "other")
    assert "own_metrics" not in other
    assert other["drift"]["moved"][0] == "duration"
    assert other["drift"]["certificates_cover"] is False
    show_decisions(other)
    assert "do not cover this traffic" in _joined(capsys)
    few = decided(run, rows[:9], tmp_path, "few")
    assert few["drift"]["certificates_cover"] is None
    show_decisions(few)
    assert "9 events are too few to tell" in _joined(capsys)


def _joined(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_the_reference_of_another_checkpoint_goes(run: Path) -> None:
    prepared = prepare(ENV)
    names: tuple[Split, ...] = ("train", "validation")
    few = {name: np.arange(9) for name in names}
    tables = {name: prepared.tables[name].take(few[name]) for name in names}
    keep_reference(run, prepared, "cpu")
    assert (run / DRIFT).exists()
    small = replace(prepared, rows={**prepared.rows, **few}, tables={**prepared.tables, **tables})
    assert keep_reference(run, small, "cpu") is None
    assert not (run / DRIFT).exists()


def test_known_traffic_is_in_the_order_of_the_data() -> None:
    prepared = prepare(ENV)
    known, raw = KnownTraffic(prepared), prepared.raw
    rows = np.sort(np.concatenate([prepared.rows["train"], prepared.rows["validation"]]))
    assert len(known) == len(rows)
    table, expected = known.table(100, 400), prepared.preprocessor.transform(raw, rows[100:400])
    np.testing.assert_array_equal(table.features, expected.features)
    np.testing.assert_array_equal(table.entities, expected.entities)
    ends = known.stretches(2048)
    assert [stop - start for start, stop in ends] == [1024, 1024]
    assert (ends[0][0], ends[-1][1]) == (0, len(rows))
    assert known.stretches(10**6) == [(0, len(rows))]

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from marl_stl_env.config import DataConfig, EnvConfig
from marl_stl_env.data import TrafficTable, load_dataset, prepare
from marl_stl_env.data.datasets.synthetic.features import FEATURES, VIEWS
from marl_stl_env.data.datasets.synthetic.kinds import KINDS, LOOK_ALIKES
from marl_stl_env.data.datasets.synthetic.model import (
    kind_counts,
    log_joint,
    posterior,
    threat_share,
)
from marl_stl_env.errors import ConfigError, TableError, UnknownNameError

#: The law of each column, written down again: name of the scipy law.
LAWS = {
    "protocol": "categorical", "duration": "lognorm", "bytes_out": "lognorm",
    "bytes_in": "lognorm", "packet_size": "lognorm", "retransmissions": "poisson",
    "service": "categorical", "entropy": "norm", "header_fields": "poisson",
    "failed_logins": "poisson", "signed": "bernoulli", "gap": "lognorm", "jitter": "lognorm",
    "delay": "lognorm", "burst": "poisson", "retries": "poisson", "peers": "poisson",
    "ports": "poisson", "refused": "poisson", "focus": "norm", "external": "bernoulli",
    "reputation": "norm",
}  # fmt: skip


@pytest.fixture(scope="module")
def table() -> TrafficTable:
    return load_dataset("synthetic")


def density(name: str, x: float, parameters: tuple[float, ...]) -> float:
    law = LAWS[name]
    if law == "categorical":
        return parameters[int(x)]
    if law == "lognorm":
        return float(stats.lognorm.pdf(x, s=parameters[1], scale=parameters[0]))
    if law == "norm":
        return float(stats.norm.pdf(x, *parameters))
    if law == "poisson":
        return float(stats.poisson.pmf(x, *parameters))
    return float(stats.bernoulli.pmf(x, *parameters))


def oracle(row: np.ndarray, views: tuple[str, ...]) -> float:
    threat = everything = 0.0
    for kind in KINDS:
        joint = kind.prior
        for x, feature in zip(row, FEATURES, strict=True):
            if feature.view in views:
                joint *= density(feature.name, float(x), kind.laws[feature.name])
        everything += joint
        threat += joint if kind.threat else 0.0
    return threat / everything


def test_posterior_matches_scalar_densities(table: TrafficTable) -> None:
    rng = np.random.default_rng(3)
    rows = rng.choice(len(table), 30, replace=False)
    assert table.posterior is not None
    expected = [oracle(table.features[i], VIEWS) for i in rows]
    np.testing.assert_allclose(table.posterior[rows], expected, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_marginal_posteriors_match_scalar_densities(table: TrafficTable, size: int) -> None:
    part = table.features[1000:1006]
    for views in itertools.combinations(VIEWS, size):
        expected = [oracle(row, views) for row in part]
        np.testing.assert_allclose(posterior(part, views), expected, rtol=1e-9, atol=1e-14)


def test_views_add_up_to_the_whole(table: TrafficTable) -> None:
    part = table.features[1000:1100]
    priors, whole = log_joint(part, ()), log_joint(part)
    added = sum((log_joint(part, (view,)) - priors for view in VIEWS), priors)
    np.testing.assert_allclose(added, whole, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(threat_share(added), posterior(part), rtol=1e-9, atol=1e-14)


def test_posterior_of_no_view_is_the_prior(table: TrafficTable) -> None:
    np.testing.assert_allclose(posterior(table.features[:7], ()), 0.109, rtol=1e-12)


@pytest.mark.parametrize("views", [VIEWS, *[(view,) for view in VIEWS]])
def test_posterior_is_calibrated(table: TrafficTable, views: tuple[str, ...]) -> None:
    p = posterior(table.features, views)
    for low in np.arange(0, 1, 0.1):
        inside = (p >= low) & (p < low + 0.1)
        if inside.sum() < 100:
            continue
        error = table.labels[inside].mean() - p[inside].mean()
        noise = np.sqrt((p[inside] * (1 - p[inside])).mean() / inside.sum())
        assert abs(error) < 4.5 * noise + 1e-4


def test_samples_follow_the_stated_laws(table: TrafficTable) -> None:
    for code, kind in enumerate(KINDS):
        rows = table.features[table.families == code].astype(np.float64)
        for column, feature in enumerate(FEATURES):
            values, parameters = rows[:, column], kind.laws[feature.name]
            law = LAWS[feature.name]
            if law == "categorical":
                shares = np.bincount(values.astype(int), minlength=len(parameters)) / len(values)
                np.testing.assert_allclose(shares, parameters, atol=4.5 * 0.5 / len(values) ** 0.5)
                continue
            values = np.log(values) if law == "lognorm" else values
            mean = np.log(parameters[0]) if law == "lognorm" else parameters[0]
            variance = {
                "poisson": parameters[0],
                "bernoulli": parameters[0] * (1 - parameters[0]),
            }.get(law, parameters[-1] ** 2)
            assert abs(values.mean() - mean) < 5 * np.sqrt(variance / len(values))
            assert values.var() == pytest.approx(variance, rel=0.2)


def test_prior_is_exact(table: TrafficTable) -> None:
    assert table.threat_rate == pytest.approx(0.109, abs=1e-12)
    counts = np.bincount(table.families, minlength=len(KINDS))
    np.testing.assert_array_equal(counts, [round(kind.prior * 200_000) for kind in KINDS])


@pytest.mark.parametrize("rows", [100, 101, 777, 12_345])
def test_kind_counts_round_to_the_nearest(rows: int) -> None:
    counts = kind_counts(rows)
    assert counts.sum() == rows
    assert (np.abs(counts - rows * np.array([kind.prior for kind in KINDS])) < 1.5).all()
    threats = sum(count for count, kind in zip(counts, KINDS, strict=True) if kind.threat)
    assert abs(threats - 0.109 * rows) <= 0.5


def test_look_alikes_share_exactly_two_views_each_its_own_pair() -> None:
    kinds = {kind.name: kind for kind in KINDS}
    telling = []
    for attack, benign in LOOK_ALIKES.items():
        a, b = kinds[attack], kinds[benign]
        assert a.threat
        assert not b.threat
        telling.append({f.view for f in FEATURES if a.laws[f.name] != b.laws[f.name]})
    assert sorted(map(sorted, telling)) == sorted(map(sorted, itertools.combinations(VIEWS, 2)))


def f1(labels: np.ndarray, votes: np.ndarray) -> float:
    right = float((labels & votes).sum())
    return 2 * right / float(labels.sum() + votes.sum())


def test_no_view_suffices(table: TrafficTable) -> None:
    threshold = 9 / 29
    votes = [posterior(table.features, (view,)) >= threshold for view in VIEWS]
    assert table.posterior is not None
    full = f1(table.labels, table.posterior >= threshold)
    vote = f1(table.labels, np.sum(votes, axis=0) >= 2)
    assert 0.93 < full < 0.96
    assert 0.79 < vote < 0.88
    assert all(0.45 < f1(table.labels, one) < 0.75 for one in votes)


def test_kill_chains_run_stage_after_stage_on_one_host(table: TrafficTable) -> None:
    assert table.times is not None
    assert table.entities is not None
    stages = ("recon", "exploit", "command_and_control", "exfiltration")
    codes = [table.family_names.index(stage) for stage in stages]
    chain = np.isin(table.families, codes)
    order = [codes.index(family) for family in table.families[chain]]
    hosts = table.entities[chain]
    # A new chain begins where the stage falls back; chains do not overlap in time.
    starts = np.flatnonzero(np.diff(order) < 0) + 1
    chains = np.split(hosts, starts)
    assert len(chains) == round(chain.sum() / 120)
    assert all(len(set(one)) == 1 for one in chains)
    assert len({one[0] for one in chains}) > 50


def test_times_ascend_and_mail_keeps_office_hours(table: TrafficTable) -> None:
    assert table.times is not None
    assert (np.diff(table.times) >= 0).all()
    hours = table.times[table.families == table.family_names.index("mail")] / 3600 % 24
    day, night = ((hours > 8) & (hours < 14)).sum(), ((hours > 20) | (hours < 2)).sum()
    # Integral of 1 + 0.9 cos over the six hours around the peak and around its opposite.
    swing = 0.9 * 24 / np.pi * np.sin(np.pi / 4)
    assert day / night == pytest.approx((6 + swing) / (6 - swing), rel=0.2)


def test_hosts(table: TrafficTable) -> None:
    assert table.entities is not None
    assert table.entities.dtype == np.int32
    assert table.entities.max() < 250
    counts = np.bincount(table.entities[~table.labels], minlength=250)[:200]  # workstations
    assert counts[0] / counts[9] == pytest.approx(10, rel=0.4)  # Zipf


def test_seeded() -> None:
    one, same, other = (load_dataset("synthetic", rows=500, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.features, same.features)
    np.testing.assert_array_equal(one.entities, same.entities)
    assert not np.array_equal(one.features, other.features)


def test_bad_requests() -> None:
    with pytest.raises(ConfigError, match="rows=99"):
        load_dataset("synthetic", rows=99)
    with pytest.raises(UnknownNameError, match="known: rows, seed"):
        load_dataset("synthetic", row=1000)
    with pytest.raises(UnknownNameError, match="known: flow"):
        posterior(np.zeros((1, 22), np.float32), ("flows",))
    with pytest.raises(TableError, match="22"):
        posterior(np.zeros((1, 21), np.float32))


def test_campaigns_play_out_in_order_in_every_split() -> None:
    """Drawing rows at random must not mix up the stages of a kill chain."""
    prepared = prepare(EnvConfig(data=DataConfig(dataset_options=("rows=20000",))))
    names = ("recon", "exploit", "command_and_control", "exfiltration")
    for table in prepared.tables.values():
        stages = [table.family_names.index(name) for name in names]
        chain = np.isin(table.families, stages)
        stage = np.searchsorted(stages, table.families[chain], sorter=np.argsort(stages))
        stage = np.argsort(stages)[stage]
        assert table.entities is not None
        host = table.entities[chain]
        back = np.flatnonzero(np.diff(stage) < 0)
        assert set(np.unique(stage)) == {0, 1, 2, 3}
        # One chain follows the other: the stage falls only where the next chain begins.
        assert (stage[back + 1] == 0).all()
        assert len(back) == 11  # of 12 chains
        ends = np.append(back, len(stage) - 1)
        for first, last in zip(np.append(0, back + 1), ends, strict=True):
            assert len(np.unique(host[first : last + 1])) == 1

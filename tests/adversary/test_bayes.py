"""The exact posterior of disguised events and the exact best response, against other sources."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from marl_stl_env.adversary.bayes import best_response, disguised_posterior
from marl_stl_env.adversary.constraints import Constraints
from marl_stl_env.adversary.disguise import Disguises
from marl_stl_env.adversary.table import fitted_disguises
from marl_stl_env.config import AdversaryConfig, RewardConfig, make_config
from marl_stl_env.data.datasets.synthetic.features import FEATURES
from marl_stl_env.data.datasets.synthetic.kinds import KINDS
from marl_stl_env.data.datasets.synthetic.model import posterior, sample
from marl_stl_env.data.prepare import prepare
from marl_stl_env.errors import ConfigError

NAMES = tuple(feature.name for feature in FEATURES)
CHANCES = np.array([0.4, 0.3, 0.2, 0.1])
PRIORS = np.array([kind.prior for kind in KINDS])
THREAT = np.array([kind.threat for kind in KINDS])


@pytest.fixture(scope="module")
def disguises() -> Disguises:
    prepared = prepare(make_config(None, {"dataset_options": {"rows": 4000}}))
    return fitted_disguises(prepared, AdversaryConfig(disguises=3))


def draw(disguises: Disguises, rows: int, seed: int = 0) -> Any:
    """Events of a model with a fixed attacker: as sent, without disguise, labels, disguises."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(len(KINDS), rows, p=PRIORS / PRIORS.sum())
    plain, labels = sample(rng, kinds), THREAT[kinds]
    chosen = np.where(labels, rng.choice(4, rows, p=CHANCES), 0)
    sent = plain.copy()
    for number in range(3):
        here = chosen == number + 1
        sent[here] = disguises.apply(NAMES, plain[here], number)
    return sent, plain, labels, chosen


def density(kind: Any, name: str, value: float) -> float:
    """Density of a column by scipy, with the parameters that the kind states."""
    parameters, law = kind.laws[name], next(f.law for f in FEATURES if f.name == name)
    if law.categories:
        return float(parameters[int(value)])
    if name in ("signed", "external"):
        return float(stats.bernoulli.pmf(value, parameters[0]))
    if len(parameters) == 1:
        return float(stats.poisson.pmf(value, parameters[0]))
    if name in ("entropy", "focus", "reputation"):
        return float(stats.norm.pdf(value, *parameters))
    median, sd = parameters
    return float(stats.lognorm.pdf(value, sd, scale=median))


def slow_posterior(disguises: Disguises, event: Any, names: tuple[str, ...] = NAMES) -> float:
    """Bayes' rule by scipy's densities of the disguised laws, number by number."""
    weights = np.zeros(len(KINDS))
    for j, kind in enumerate(KINDS):
        for number in range(4 if kind.threat else 1):
            weight = kind.prior * (CHANCES[number] if kind.threat else 1.0)
            for at, name in enumerate(NAMES):
                if name not in names:
                    continue
                value, slope = float(event[at]), 1.0
                if number and name in disguises.columns:
                    change = disguises.changes[number - 1, disguises.columns.index(name)]
                    if disguises.constraints.mutable[name].change == "factor":
                        value, slope = value / np.exp(change), np.exp(-change)
                    else:
                        value -= change
                weight *= density(kind, name, value) * slope
            weights[j] += weight
    return float(weights[THREAT].sum() / weights.sum())


def test_the_posterior_is_bayes_rule(disguises: Disguises) -> None:
    sent, _, labels, _ = draw(disguises, 400)
    some = np.append(np.flatnonzero(labels)[:3], np.flatnonzero(~labels)[:2])
    found = disguised_posterior(disguises, CHANCES, sent[some])
    expected = [slow_posterior(disguises, event) for event in sent[some]]
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-9)
    host = tuple(f.name for f in FEATURES if f.view == "host")
    found = disguised_posterior(disguises, CHANCES, sent[some], ["host"])
    expected = [slow_posterior(disguises, event, host) for event in sent[some]]
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-9)


def test_a_function_of_the_event_may_choose(disguises: Disguises) -> None:
    sent, *_ = draw(disguises, 50)
    fixed = disguised_posterior(disguises, CHANCES, sent)
    as_function = disguised_posterior(
        disguises, lambda before: np.tile(CHANCES, (len(before), 1)), sent
    )
    np.testing.assert_array_equal(fixed, as_function)


def test_without_disguise_it_is_the_posterior_of_the_model(disguises: Disguises) -> None:
    _, plain, _, _ = draw(disguises, 200)
    never = np.array([1.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(
        disguised_posterior(disguises, never, plain), posterior(plain), rtol=1e-9
    )


def test_the_posterior_is_calibrated_and_worth_knowing(disguises: Disguises) -> None:
    sent, _, labels, _ = draw(disguises, 12_000, seed=1)
    known = disguised_posterior(disguises, CHANCES, sent)
    for low in (0.0, 0.05, 0.3, 0.7):
        here = (known >= low) & (known < {0.0: 0.05, 0.05: 0.3, 0.3: 0.7, 0.7: 1.1}[low])
        error = 4 * np.sqrt(known[here].mean() / here.sum()) + 1e-3
        assert abs(known[here].mean() - labels[here].mean()) < error
    threshold = RewardConfig().threshold

    def reward(stopped: Any) -> float:
        return float(np.where(labels, 20.0 * stopped - 10.0, 1.0 - 9.0 * stopped).mean())

    assert reward(known >= threshold) > reward(posterior(sent) >= threshold) + 0.05


def test_the_best_response_is_the_best_of_all(disguises: Disguises) -> None:
    _, plain, labels, _ = draw(disguises, 3000)
    attacks, threshold = plain[labels], RewardConfig().threshold
    variants = [attacks, *(disguises.apply(NAMES, attacks, number) for number in range(3))]
    scores = np.stack([posterior(one) for one in variants], axis=1)
    kept = disguises.effectiveness()
    chosen = best_response(kept, scores, threshold)
    gains = np.where(scores < threshold, 10.0 * kept, -10.0)
    at = np.arange(len(attacks))
    np.testing.assert_array_equal(gains[at, chosen], gains.max(axis=1))
    assert (scores[:, 0] < threshold).mean() < 0.1
    assert (scores[at, chosen] < threshold).mean() > 0.3


@pytest.mark.parametrize(
    "mutable",
    [
        {"duration": {"change": "shift", "high": 1.0}},
        {"duration": {"high": 2.0, "unit": 1.0}},
        {"peers": {"change": "shift", "low": -2.0, "integer": True}},
        {"entropy": {"change": "shift", "low": -2.0, "least": 0.0}},
        {"service": {"change": "shift", "high": 1.0}},
    ],
)
def test_laws_that_are_not_known_are_refused(mutable: dict[str, Any]) -> None:
    constraints = Constraints.from_plain({"mutable": mutable})
    room = np.array([one.room for one in constraints.mutable.values()])
    changes = np.where(room[:, :1] < 0, room[:, :1], room[:, 1:])
    with pytest.raises(ConfigError, match="is not known"):
        disguised_posterior(
            Disguises(constraints, tuple(mutable), changes.T),
            np.array([0.5, 0.5]),
            np.ones((1, len(FEATURES)), np.float32),
        )

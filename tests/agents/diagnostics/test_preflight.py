from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from marl_stl_agents.commands.data import main
from marl_stl_agents.console.diagnostics import show_preflight
from marl_stl_agents.diagnostics import preflight as module
from marl_stl_agents.diagnostics.classifiers import reference_classifiers
from marl_stl_agents.diagnostics.facts import leak_suspects
from marl_stl_agents.diagnostics.preflight import Preflight, preflight
from marl_stl_agents.evaluation.baselines import SupervisedBaselines
from rich.console import Console
from scipy.stats import norm

from marl_stl_env.config import DataConfig, EnvConfig
from marl_stl_env.data import TrafficTable, load_dataset, prepare
from tests.conftest import FOUR

ROWS = 12_000
CONFIG = EnvConfig(**FOUR)


def gaussian(shift: float, rows: int = ROWS, seed: int = 0, **fields: Any) -> TrafficTable:
    """Four columns of which the first is larger by ``shift`` for threats, 20 % of the rows."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % 5 == 0
    features = rng.normal(size=(rows, 4)).astype(np.float32)
    features[:, 0] += shift * labels
    return TrafficTable(
        name="gaussian",
        features=features,
        labels=labels,
        families=labels.astype(np.int16),
        family_names=("calm", "storm"),
        feature_names=("a", "b", "c", "d"),
        views=fields.pop("views", {"v": (0,), "w": (1,), "x": (2,), "y": (3,)}),
        **fields,
    )


@pytest.fixture(scope="module")
def report() -> Preflight:
    return preflight(CONFIG, prepare(CONFIG, gaussian(2.0)))


def policy(report: Preflight, name: str) -> Any:
    return next(p for p in (*report.policies, *report.classifiers) if p.name == name)


def test_constants_and_oracle_have_their_closed_form(report: Preflight) -> None:
    assert policy(report, "always_allow").reward == pytest.approx(0.8 * 1 - 0.2 * 10)
    assert policy(report, "always_block").reward == pytest.approx(0.2 * 10 - 0.8 * 8)
    assert policy(report, "oracle").reward == pytest.approx(0.2 * 10 + 0.8 * 1)
    assert policy(report, "always_block").f1 == pytest.approx(2 * 0.2 / 1.2)


def bayes_reward(table: TrafficTable, votes: Any) -> float:
    """Mean reward of these votes on a table."""
    payoff = np.where(table.labels, np.where(votes, 10, -10), np.where(votes, -8, 1))
    return float(payoff.mean())


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))]
)
def test_classifiers_come_close_to_the_law(seed: int) -> None:
    """Bayes' rule blocks where 0.2 phi(x - 2) / (0.8 phi(x)) is at least the threshold's odds."""
    prepared = prepare(CONFIG, gaussian(2.0, seed=seed))
    report = preflight(CONFIG, prepared)
    threshold = CONFIG.reward.threshold
    cut = (np.log(threshold / (1 - threshold) * 0.8 / 0.2) + 2.0) / 2.0
    recall, false = norm.sf(cut - 2), norm.sf(cut)
    expected = 0.2 * (10 * recall - 10 * (1 - recall)) + 0.8 * (1 - false - 8 * false)
    raw = prepared.raw.take(prepared.rows["validation"])
    bayes = bayes_reward(raw, raw.features[:, 0] >= cut)
    # A reward has a standard deviation below 6: five standard errors of 1,800 events are 0.7.
    assert bayes == pytest.approx(expected, abs=0.7)
    # On the same events a classifier differs only near the cut, by far less than that.
    for name in (report.best.name, "view v", "logistic regression"):
        assert policy(report, name).reward == pytest.approx(bayes, abs=0.35)
    for name in ("view w", "view x", "view y"):  # they know nothing but the rate
        assert policy(report, name).reward == pytest.approx(-1.2, abs=0.3)
    assert report.best.reward == max(one.reward for one in report.classifiers)
    assert report.share == pytest.approx((report.best.reward + 1.2) / (2.8 + 1.2))
    assert report.bound is None
    reached = f"F1 {report.best.f1:.3f} reached by {report.best.name}"
    assert report.verdict.startswith(reached)
    assert "a reference, not an upper bound" in report.verdict


def test_vote_of_the_classifiers_is_the_mean_of_their_probabilities() -> None:
    prepared = prepare(CONFIG, gaussian(1.5, rows=1_000))
    found = reference_classifiers(CONFIG, prepared, "test")
    names = ("gradient boosting", "random forest", "logistic regression")
    scores = np.mean([np.asarray(found[name].scores) for name in names], axis=0)
    vote = found["vote of the classifiers"]
    np.testing.assert_allclose(np.asarray(vote.scores), scores)
    np.testing.assert_array_equal(vote.decisions == 1, scores >= CONFIG.reward.threshold)


def test_probabilities_are_calibrated() -> None:
    prepared = prepare(CONFIG, gaussian(1.5, seed=3))
    models = SupervisedBaselines(CONFIG, prepared)
    for split in ("validation", "test"):
        found = models.probabilities(("v", "w", "x", "y"), split)
        labels = prepared.tables[split].labels
        for low, high in ((0, 0.1), (0.1, 0.4), (0.4, 1.01)):
            inside = (found >= low) & (found < high)
            error = 4 * np.sqrt(0.25 / inside.sum()) + 0.02
            assert labels[inside].mean() == pytest.approx(found[inside].mean(), abs=error)


def test_features_without_an_answer() -> None:
    found = preflight(CONFIG, prepare(CONFIG, gaussian(0.0, rows=2_000)))
    assert found.share is not None
    assert found.share < 0.05
    if found.share <= 0:
        assert "do not expect a team to learn" in found.verdict
    assert found.facts.suspects == {}


def test_nothing_to_gain_is_said(report: Preflight) -> None:
    poor = tuple(replace(one, reward=-1.3) for one in report.classifiers)
    found = replace(report, classifiers=poor)
    assert "no classifier has a higher mean reward than a constant policy" in found.verdict


def test_too_easy_is_said(report: Preflight) -> None:
    easy = replace(report.classifiers[2], f1=0.9996, reward=policy(report, "oracle").reward - 0.01)
    found = replace(report, classifiers=(*report.classifiers[:2], easy))
    assert found.best is easy
    assert f"F1 1.000 reached by {easy.name}, 100% of the oracle's gain" in found.verdict
    assert "little is left to learn" in found.verdict


def test_leaks() -> None:
    table = gaussian(1.0, rows=3_000)
    features = table.features.copy()
    features[:, 2] = 7 - table.labels  # the label, upside down
    features[:, 3] = np.arange(3_000) % 900  # an identifier: tells nothing about other rows
    leaking = replace(table, features=features, categories={"d": tuple(map(str, range(900)))})
    assert leak_suspects(leaking, np.arange(3_000)) == {"c": 1.0}
    features = features.copy()
    features[:, 3] = np.where(table.labels, 5, 9)  # threats have names of their own
    prepared = prepare(CONFIG, replace(leaking, features=features))
    found = preflight(CONFIG, prepared)
    assert set(found.facts.suspects) == {"c", "d"}
    assert "column 'c' alone predicts the label" in found.verdict


def test_looked_up_the_second_time(monkeypatch: pytest.MonkeyPatch, report: Preflight) -> None:
    prepared = prepare(CONFIG, gaussian(2.0))

    def refuse(*_: Any) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr(module, "reference_classifiers", refuse)
    assert preflight(CONFIG, prepared) == report
    for changed in (EnvConfig(agents=3), EnvConfig(data=DataConfig(split_seed=1))):
        with pytest.raises(AssertionError, match="fitted again"):
            preflight(changed, prepare(changed, gaussian(2.0)))
    with pytest.raises(AssertionError, match="fitted again"):
        preflight(CONFIG, prepare(CONFIG, gaussian(2.0, seed=11)))
    with pytest.raises(AssertionError, match="fitted again"):
        preflight(CONFIG, prepared, evaluated="test")


def test_what_is_shown(report: Preflight) -> None:
    console = Console(file=StringIO(), width=200)
    show_preflight(report, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for piece in ("threat rate", "20.00%", "storm", "oracle", "vote of the sensors", "verdict:"):
        assert piece in text
    assert report.verdict in text


def test_dropped_columns_and_duplicates_are_told() -> None:
    table = gaussian(2.0, rows=2_000)
    features = table.features.copy()
    features[:, 3] = 1.0
    features[100:200] = features[:100]
    table = replace(table, features=features, labels=table.labels.copy(),
                    views={"v": (0, 3), "w": (1, 2)})  # fmt: skip
    found = preflight(CONFIG, prepare(CONFIG, table))
    assert found.facts.dropped == {"d": "constant on the training rows (1)"}
    assert any("100 events repeat another one" in note for note in found.facts.notes)
    assert sum(fact.rows for fact in found.facts.splits.values()) == 2_000


def test_bound_on_synthetic_is_bayes_rule() -> None:
    prepared = prepare(CONFIG, load_dataset("synthetic", rows=12_000))
    found = preflight(CONFIG, prepared)
    table = prepared.tables["validation"]
    assert table.posterior is not None
    bayes = bayes_reward(table, table.posterior >= CONFIG.reward.threshold)
    assert found.bound is not None
    assert found.bound.reward == pytest.approx(bayes)
    assert bayes - 0.35 <= found.best.reward <= bayes + 0.05  # of a sample, not of the law
    assert f"the bound is Bayes' rule: F1 {found.bound.f1:.3f}" in found.verdict
    console = Console(file=StringIO(), width=200)
    show_preflight(found, console)
    assert "Bayes' rule (bound)" in console.file.getvalue()  # type: ignore[attr-defined]


def test_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["list"]) == 0
    assert main(["describe", "ctu-13"]) == 0
    assert "Garcia" in capsys.readouterr().out
    assert main(["describe", "nope"]) == 2
    assert main(["describe"]) == 2
    assert main(["nope"]) == 2
    assert main([]) == 2
    assert main(["--help"]) == 0
    path = tmp_path / "a.csv"
    rng = np.random.default_rng(0)
    lines = [
        f"{rng.normal() + 2 * (i % 4 == 0)},{rng.normal()},{int(i % 4 == 0)}" for i in range(800)
    ]
    path.write_text("x,y,bad\n" + "\n".join(lines) + "\n")
    capsys.readouterr()
    assert main(["check", "custom", "--dataset-options", f"path={path}", "label=bad"]) == 0
    assert "verdict:" in capsys.readouterr().out
    assert main(["check", "custom", "--dataset-options", f"path={path}", "label=no"]) == 2
    assert "MissingColumnError" in capsys.readouterr().err


def test_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "marl_stl_agents.commands.data", "describe", "kdd99"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "KDD Cup 1999" in done.stdout


def test_views_are_named_once() -> None:
    """The views that the program draws are called "view 0" and so on by themselves."""
    table = gaussian(2.0, rows=500)
    names = {"view 0": (0, 1), "viewers": tuple(range(2, table.features.shape[1]))}
    found = reference_classifiers(
        CONFIG, prepare(CONFIG, replace(table, views=names)), "validation"
    )
    assert {"view 0", "view viewers"} <= set(found)
    assert not [name for name in found if "view view" in name and name != "view viewers"]

"""The report says what the evaluation says, whatever the names in the data are."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from marl_stl_agents.commands.evaluate import act
from marl_stl_agents.config import EvaluateConfig, PPOConfig, TrainConfig
from marl_stl_agents.diagnostics.checklist import Check, Checked, Checklist, write_checklist
from marl_stl_agents.evaluation.evaluate import Evaluation
from marl_stl_agents.evaluation.result import as_json, read_result
from marl_stl_agents.evaluation.rollouts import greedy
from marl_stl_agents.policies.build import make_policy
from marl_stl_agents.reporting import page as report_page
from marl_stl_agents.reporting.charts import threshold_chart
from marl_stl_agents.reporting.episode import EPISODES, record_episodes
from marl_stl_agents.reporting.numbers import (
    reward_by_threshold,
)
from marl_stl_agents.reporting.page import write_report
from marl_stl_agents.run_directory import read_json

import marl_stl_env as mse
from marl_stl_env.config import ConsensusConfig, EnvConfig, StlConfig
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.spaces import observation_space
from marl_stl_env.types import Action
from tests.agents.evaluation.random_runs import make_run
from tests.agents.evaluation.test_new_traffic import SYNTHETIC
from tests.agents.reporting.report_runs import HOSTILE, Page, evaluated_toy, hostile_table
from tests.agents.reporting.test_numbers import wilson
from tests.conftest import UNWATCHED

STOPS = (Action.BLOCK, Action.QUARANTINE)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    return evaluated_toy(tmp_path_factory.mktemp("runs") / "toy")


@pytest.fixture(scope="module")
def page(evaluated: Evaluation) -> Page:
    return Page(report_page.report_page(evaluated))


def test_command_writes_the_report_of_its_figures(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", SYNTHETIC)
    act(EvaluateConfig(run, report=True))
    page = Page((run / "report.html").read_text(encoding="utf-8"))
    result = read_json(run / "evaluation.json")
    assert page.data["evaluation"] == result == as_json(read_result(run / "evaluation.json"))
    act(EvaluateConfig(run, split="validation", report=True))
    other = Page((run / "report-validation.html").read_text(encoding="utf-8"))
    assert other.data["evaluation"] == read_json(run / "validation.json") != result
    assert not [one.name for one in run.iterdir() if one.name.startswith(".")]


def test_no_report_without_the_flag(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", SYNTHETIC)
    act(EvaluateConfig(run))
    assert not list(run.glob("*.html"))


def test_figures_from_labels_and_decisions(evaluated: Evaluation, page: Page) -> None:
    """Counted one by one, they are what the page's JSON and its table say."""
    counts = {"tp": 0, "fp": 0, "fn": 0, "tn": 0}
    for threat, decision in zip(evaluated.table.labels, evaluated.rollout.decisions, strict=True):
        right = (Action(decision) in STOPS) == bool(threat)
        counts[("t" if right else "f") + ("p" if Action(decision) in STOPS else "n")] += 1
    assert min(counts.values()) > 0
    decision_metrics = page.data["evaluation"]["decision"]
    assert {name: decision_metrics[name] for name in counts} == counts
    for count in counts.values():
        assert f"{count:,}" in page.words
    reward = evaluated.env.reward
    mean_reward = sum(
        (reward.true_positive if threat else reward.false_positive)
        if Action(decision) in STOPS
        else (reward.false_negative if threat else reward.true_negative)
        for threat, decision in zip(
            evaluated.table.labels, evaluated.rollout.decisions, strict=True
        )
    ) / len(evaluated.table)
    assert decision_metrics["reward_per_event"] == pytest.approx(mean_reward)
    bars = page.data["charts"]["reward"]["data"][0]
    drawn = dict(zip(bars["y"], bars["customdata"], strict=True))
    assert drawn["team"] == decision_metrics["reward_per_event"]
    assert drawn["oracle"] == page.data["evaluation"]["baselines"]["oracle"]["reward_per_event"]
    assert list(drawn.values()) == sorted(drawn.values(), reverse=True)


def test_families_with_their_intervals(evaluated: Evaluation, page: Page) -> None:
    (marks,) = page.data["charts"]["families"]["data"]
    table, stopped = evaluated.table, np.isin(evaluated.rollout.decisions, STOPS)
    for name, recall, up, down in zip(
        marks["y"], marks["x"], marks["error_x"]["array"], marks["error_x"]["arrayminus"],
        strict=True,
    ):  # fmt: skip
        own = table.labels & (table.families == table.family_names.index(name))
        assert recall == stopped[own].mean()
        low, high = wilson(int(stopped[own].sum()), int(own.sum()))
        assert (recall - down, recall + up) == pytest.approx((low, high))


def test_baselines_lie_on_their_own_curves(evaluated: Evaluation) -> None:
    """At the cost-optimal threshold the supervised classifier is its baseline."""
    scores = evaluated.references["supervised"].scores
    assert scores is not None
    curve = reward_by_threshold(evaluated.env, evaluated.table.labels, scores)
    baseline = evaluated.result.baselines["supervised"].reward_per_event
    assert curve.at(evaluated.env.reward.threshold) == pytest.approx(baseline)
    chart = threshold_chart(evaluated)
    drawn = {line["name"]: line for line in chart.figure["data"]}["supervised"]
    place = int(np.argmin(np.abs(np.array(drawn["x"]) - evaluated.env.reward.threshold)))
    assert drawn["y"][place] == pytest.approx(baseline, abs=1e-4)


def test_nothing_is_fetched(page: Page) -> None:
    assert list(page.loads()) == []
    policies = [
        attrs["content"]
        for tag, attrs in page.elements
        if tag == "meta" and attrs.get("http-equiv") == "Content-Security-Policy"
    ]
    assert len(policies) == 1
    policy = policies[0] or ""
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    inline = [text for text in page.scripts if not text.startswith("{")]
    for text in (*inline, *page.styles):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert not any("style" in attrs for _, attrs in page.elements)


def test_every_chart_has_words_and_numbers(page: Page) -> None:
    charts = [attrs for _, attrs in page.elements if "data-chart" in attrs]
    assert {attrs["data-chart"] for attrs in charts} == set(page.data["charts"])
    assert all(attrs["role"] == "img" and len(attrs["aria-label"] or "") > 40 for attrs in charts)
    tables = sum(tag == "table" for tag, _ in page.elements)
    assert tables >= len(charts)
    sections = {attrs["id"] for tag, attrs in page.elements if tag == "h2"}
    links = {
        attrs["href"] for tag, attrs in page.elements if tag == "a" and attrs["href"] != "#content"
    }
    assert links == {f"#{name}" for name in sections}


def test_hostile_names_stay_words(tmp_path: Path, page: Page) -> None:
    evaluated = evaluated_toy(tmp_path / f"run{HOSTILE.replace('/', '')}", table=hostile_table())
    hostile = Page(report_page.report_page(evaluated))
    assert len(hostile.scripts) == len(page.scripts)
    assert not any(tag == "img" for tag, _ in hostile.elements)
    assert not any(name.startswith("on") for _, attrs in hostile.elements for name in attrs)
    assert HOSTILE in hostile.words
    assert hostile.data["evaluation"]["dataset"] == f"data {HOSTILE}"
    assert f"scan {HOSTILE}" in hostile.data["replay"]["families"]
    assert any(HOSTILE in name for name in hostile.data["replay"]["features"])


def test_written_whole_or_not_at_all(
    evaluated: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def fail(*_: Any, **__: Any) -> str:
        raise RuntimeError("no page")

    monkeypatch.setattr(report_page, "render", fail)
    with pytest.raises(RuntimeError, match="no page"):
        write_report(evaluated, path)
    monkeypatch.undo()
    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(RuntimeError, match="no page"):
        write_report(evaluated, path)
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_replay_is_what_the_environment_does(evaluated: Evaluation) -> None:
    """Stepping the PettingZoo view with the same actions shows the same events and rewards."""
    replay = record_episodes(evaluated)
    config = replace(evaluated.config.env, split="test")
    stop = [replay["actions"].index(action.name.capitalize()) for action in STOPS]
    assert len(replay["episodes"]) == EPISODES
    for episode in replay["episodes"]:
        env = mse.parallel_env(config, table=evaluated.prepared.raw)
        observations, _ = env.reset(seed=episode["seed"])
        for step, actions_of_team in enumerate(episode["actions"]):
            for sensor, name in enumerate(env.agents):
                columns = replay["sensors"][sensor]["columns"]
                seen = observations[name][: len(replay["features"])]
                recorded = np.array(episode["features"][step])[columns]
                np.testing.assert_allclose(seen[columns], recorded, atol=0.0051)
                assert not np.delete(seen, columns).any()
            actions = dict(zip(env.agents, actions_of_team, strict=True))
            votes = sum(one in stop for one in actions_of_team)
            assert (episode["decision"][step] in stop) == (votes >= replay["threshold"])
            observations, rewards, *_ = env.step(actions)
            assert next(iter(rewards.values())) == pytest.approx(episode["reward"][step], abs=1e-4)
            family = replay["families"][episode["family"][step]]
            assert (family != "benign") == bool(episode["threat"][step])
        assert len(episode["reward"]) == evaluated.env.episode_length


def test_replay_of_a_response_with_specs(tmp_path: Path) -> None:
    env = EnvConfig(episode_length=90, dynamics="response", stl=StlConfig(monitor=True))
    evaluated = evaluated_toy(tmp_path / "run", env, EvaluateConfig(certify=20))
    replay = record_episodes(evaluated)
    assert replay["shared"][:2] == ["isolated", "isolation_left"]
    assert replay["specs"] == [name for name in evaluated.result.stl if name != "conjunction"]
    isolated = 0
    for episode in replay["episodes"]:
        isolated += sum(episode["isolated"])
        assert [int(shared[0]) for shared in episode["shared"]] == episode["isolated"]
        assert all(
            action == Action.QUARANTINE
            for action, held in zip(episode["decision"], episode["isolated"], strict=True)
            if held
        )
        least = np.array(episode["robustness"], dtype=np.float64)
        assert (np.diff(least, axis=0)[~np.isnan(least[:-1])] <= 0).all()
        left = np.array(episode["left"])
        assert ((left >= -1) & (left <= 1)).all()
        broken = np.nan_to_num(least, nan=1.0) < 0
        assert (left[broken] <= 0).all()
    assert isolated > 0
    page = Page(report_page.report_page(evaluated))
    assert evaluated.watched is not None
    for place, (name, (kept, robustness)) in enumerate(evaluated.watched.by_name().items()):
        (bars,) = page.data["charts"][f"robustness-{place}"]["data"]
        known = robustness[np.isfinite(robustness)]
        assert sum(bars["y"]) == len(known)
        below = sum(y for x, y in zip(bars["x"], bars["y"], strict=True) if x < 0)
        assert below == (known < 0).sum()
        assert evaluated.result.stl[name].satisfied == pytest.approx(kept.mean())
    assert "at confidence 95%" in page.words
    assert "attacks contained" in page.words
    assert "--certify" not in page.words


def test_replay_with_deliberation(tmp_path: Path) -> None:
    evaluated = evaluated_toy(tmp_path / "run", EnvConfig(episode_length=30, deliberation=1))
    for episode in record_episodes(evaluated)["episodes"]:
        lengths = {len(episode[name]) for name in ("proposals", "actions", "reward", "features")}
        assert lengths == {30}


def test_replay_begins_without_memory(evaluated: Evaluation) -> None:
    config = TrainConfig(env=evaluated.env, ppo=PPOConfig(policy="lstm", width=8, bins=0))
    torch.manual_seed(0)
    space = observation_space(Engine(evaluated.env, evaluated.table, lanes=1))
    act = greedy(make_policy(config, space, evaluated.table, torch.device("cpu")))
    with_memory = replace(evaluated, act=act)
    first = record_episodes(with_memory)
    assert record_episodes(with_memory) == first
    assert len({str(one["probabilities"]) for one in first["episodes"]}) == EPISODES


def test_long_rows_make_short_episodes(
    evaluated: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marl_stl_agents.reporting.episode._MOST_VALUES", 10 * EPISODES * 25)
    assert {len(one["reward"]) for one in record_episodes(evaluated)["episodes"]} == {25}


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    three = EnvConfig(agents=3, episode_length=30, stl=UNWATCHED)
    page = Page(report_page.report_page(evaluated_toy(tmp_path / "run", three)))
    for words in (
        "tolerates no faulty sensor",
        "This evaluation monitored no specifications.",
        "marl-stl-evaluate RUN --report --certify",
        "has no training log (progress.csv)",
        "ran no checklist",
    ):
        assert words in page.words


def test_checklist_and_curves(tmp_path: Path) -> None:
    evaluated = evaluated_toy(tmp_path / "run", EnvConfig(episode_length=30))
    check = Check("f1", "F1 rises", "0.1", "failed", "a bug", "mend it")
    checked = Checked(10, 100, "f1", [replace(check, name="a"), check])
    write_checklist(evaluated.run, Checklist(checked=[replace(checked, iteration=5), checked]))
    (evaluated.run / "progress.csv").write_text(
        "time/total_timesteps,validation/f1\n100,0.25\n200,\n300,0.5\n"
    )
    page = Page(report_page.report_page(evaluated))
    for words in ("after iteration 10", "likely cause of the failures: f1", "Try: mend it"):
        assert words in page.words
    (line,) = page.data["charts"]["training-2"]["data"]
    assert (line["x"], line["y"]) == ([100, 300], [0.25, 0.5])


def test_checked_votes_are_said_to_be_weighed(tmp_path: Path) -> None:
    consensus = ConsensusConfig(weights="reliability")
    evaluated = evaluated_toy(tmp_path / "run", EnvConfig(episode_length=30, consensus=consensus))
    page = Page(report_page.report_page(evaluated))
    assert page.data["replay"]["weighed"]
    assert "votes weighed by label feedback" in page.words


def test_faulty_sensors_are_drawn_from_the_honest_team_on(page: Page) -> None:
    result = page.data["evaluation"]
    lines = page.data["charts"]["byzantine"]["data"]
    entries = {(one["fault"], one["faulty"]): one for one in result["byzantine"]}
    assert len(entries) == sum(len(line["x"]) - 1 for line in lines)
    for line in lines:
        assert line["x"][0] == 0
        assert line["y"][0] == result["decision"]["reward_per_event"]
        assert all(one < other for one, other in pairwise(line["x"]))
        for count, reward in zip(line["x"][1:], line["y"][1:], strict=True):
            assert reward == entries[line["name"], count]["reward_per_event"]

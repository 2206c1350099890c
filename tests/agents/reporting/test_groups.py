"""Groups of runs in a comparison: in the terminal, as JSON and on the page."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from marl_stl_agents.commands import compare
from marl_stl_agents.commands.compare import CompareConfig
from marl_stl_agents.config import PPOConfig, TrainConfig
from marl_stl_agents.evaluation.result import write_result
from marl_stl_agents.evaluation.seeds.folder import new_seeds
from marl_stl_agents.reporting.groups import compare_groups, read_groups
from marl_stl_agents.run_data import describe_data
from marl_stl_agents.run_directory import DATA, new_run, read_json, write_json

from marl_stl_env.data import prepare
from marl_stl_env.errors import ComparisonError
from tests.agents.evaluation.results import make_result, metrics
from tests.agents.evaluation.test_new_traffic import SYNTHETIC
from tests.agents.reporting.report_runs import Page


def make_seeds(folder: Path, rewards: dict[int, float], width: int) -> Path:
    """A folder with an evaluated run for every seed, without a training."""
    config = TrainConfig(env=SYNTHETIC, ppo=PPOConfig(width=width))
    data = describe_data(prepare(SYNTHETIC))
    for run, (seed, reward) in zip(
        new_seeds(folder, config, list(rewards)).runs, rewards.items(), strict=True
    ):
        new_run(replace(config, seed=seed, run_dir=run))
        write_json(run / DATA, data)
        decision = replace(metrics(reward), f1=reward / 10, fp=int(reward * 10), tn=100)
        base = make_result().baselines | {"oracle": metrics(9.0)}
        write_result(run / "evaluation.json", make_result(decision=decision, baselines=base))
    return folder


OLD, NEW = {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0}, {0: 2.5, 1: 2.9, 2: 4.4, 3: 6.0}


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two groups with the same seeds, and one with others."""
    folder = tmp_path_factory.mktemp("groups")
    return [
        make_seeds(folder / "old", OLD, 8),
        make_seeds(folder / "new", NEW, 16),
        make_seeds(folder / "other", {7: 0.5, 8: 0.6}, 8),
    ]


def test_estimates_and_differences(paths: list[Path]) -> None:
    groups = read_groups(paths, "test")
    assert [group.seeds for group in groups] == [(0, 1, 2, 3), (0, 1, 2, 3), (7, 8)]
    found = compare_groups(groups, "test")
    assert list(found.groups) == ["old", "new", "other"]
    assert found.groups["old"]["reward_per_event"].iqm == 2.5  # the middle half: 2 and 3
    assert found.groups["new"]["reward_per_event"].iqm == pytest.approx((2.9 + 4.4) / 2)
    tests = {(one.group, one.metric): one for one in found.differences}
    reward = tests["new", "reward_per_event"]
    assert (reward.paired, reward.reference) == (True, "old")
    assert reward.p_value == pytest.approx(2 / 16)  # all four differences are positive
    pairs = np.subtract.outer(list(NEW.values()), list(OLD.values())).ravel()
    assert reward.improvement == pytest.approx((pairs > 0).mean())
    assert tests["new", "false_alarm_rate"].improvement == pytest.approx((pairs < 0).mean())
    assert not tests["other", "reward_per_event"].paired


def test_terminal_json_and_page(
    paths: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = (*paths[:2], paths[2] / "seed_7")
    compare.main(CompareConfig(given, report=tmp_path / "page.html", json=tmp_path / "it.json"))
    shown = capsys.readouterr().out
    assert re.search(r"old \(4 runs\)", shown)
    assert re.search(r"seed_7\s+│|seed_7 \(1", shown)
    assert "differences from old" in shown
    assert "ppo.width" in shown
    assert "0.125" in shown  # the p-value, and the smallest possible
    content = read_json(tmp_path / "it.json")
    assert content["groups"]["old"]["f1"]["values"] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert content["groups"]["seed_7"]["f1"]["low"] is None
    assert {one["group"] for one in content["differences"]} == {"new"}
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert list(page.loads()) == []
    for words in ("old: 4 runs, new: 4 runs, seed_7: 1 run", "probability of improvement"):
        assert words in page.words
    low, high = (content["groups"]["new"]["reward_per_event"][end] for end in ("low", "high"))
    assert f"3.650 [{low:.3f}, {high:.3f}]" in page.words


def test_runs_alone_have_estimates_and_no_tests(paths: list[Path], tmp_path: Path) -> None:
    runs = (paths[0] / "seed_0", paths[0] / "seed_1")
    compare.main(CompareConfig(runs, json=tmp_path / "it.json"))
    content = read_json(tmp_path / "it.json")
    assert content["groups"]["seed_0"]["reward_per_event"]["values"] == [1.0]
    assert content["differences"] == []


def test_what_is_no_comparison(paths: list[Path]) -> None:
    for given in (paths[:1], [paths[0], paths[0]]):
        with pytest.raises(ComparisonError, match="two different runs, or folders of seeds"):
            read_groups(given, "test")
    with pytest.raises(ComparisonError, match="two different runs"):
        read_groups([paths[0], paths[0] / "seed_1"], "test")
    with pytest.raises(ComparisonError, match=r"seed_0 has no validation\.json"):
        read_groups(paths, "validation")

"""Runs side by side: the figures of their evaluations, and only where the data is the same."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from marl_stl_agents.commands.compare import CompareConfig, main, show_comparison
from marl_stl_agents.config import EvaluateConfig, PPOConfig
from marl_stl_agents.diagnostics.log import ProgressWriter
from marl_stl_agents.evaluation.evaluate import evaluate
from marl_stl_agents.evaluation.result import write_result
from marl_stl_agents.reporting import compare_page
from marl_stl_agents.reporting.comparison import (
    METRICS,
    ComparedRun,
    differences,
    read_runs,
    training_seconds,
    warnings,
)
from marl_stl_agents.run_directory import read_json
from rich.console import Console

from marl_stl_env.config import DataConfig, EnvConfig, RewardConfig
from marl_stl_env.errors import ComparisonError, RunError
from tests.agents.evaluation.random_runs import make_run
from tests.agents.evaluation.results import make_result
from tests.agents.evaluation.test_new_traffic import SYNTHETIC
from tests.agents.reporting.report_runs import HOSTILE, Page


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three evaluated runs: four sensors, three, and four that specification something."""
    folder = tmp_path_factory.mktemp("runs")
    wide = PPOConfig(width=16)
    runs = [
        make_run(folder / "four", SYNTHETIC),
        make_run(folder / "three", replace(SYNTHETIC, agents=3), wide),
        make_run(folder / f"x{HOSTILE.replace('/', '')}", replace(SYNTHETIC, episode_length=70)),
    ]
    for run, certify in zip(runs, (0, 0, 25), strict=True):
        evaluate(EvaluateConfig(run, certify=certify))
    return runs


@pytest.fixture(scope="module")
def runs(paths: list[Path]) -> list[ComparedRun]:
    return read_runs(paths, "test")


def rolled_out_as(folder: Path, env: EnvConfig, split: str = "test") -> Path:
    """A run whose evaluation was written by hand: enough to be refused."""
    run = make_run(folder, env)
    write_result(run / ("evaluation.json" if split == "test" else f"{split}.json"), make_result())
    return run


def test_figures_are_those_of_the_evaluations(paths: list[Path], runs: list[ComparedRun]) -> None:
    for path, run in zip(paths, runs, strict=True):
        result, figures = read_json(path / "evaluation.json"), run.metrics
        assert run.name == path.name
        assert tuple(figures) == METRICS
        assert figures["F1"] == result["decision"]["f1"]
        assert figures["precision"] == result["decision"]["precision"]
        assert figures["recall"] == result["decision"]["recall"]
        assert figures["reward per event"] == result["decision"]["reward_per_event"]
        assert figures["normalized score (oracle = 1)"] == result["normalized_score"]
        assert figures["gain relative to supervised"] == result["ceiling_ratio"]
        assert figures["gain relative to supervised_vote"] == result["vote_ratio"]
        rewards = [entry["reward_per_event"] for entry in result["byzantine"]]
        assert figures["reward per event, worst fault"] == (min(rewards) if rewards else None)
        assert figures["training seconds"] is None
    assert [run.metrics["all specifications satisfied"] is None for run in runs] == [
        True,
        True,
        False,
    ]
    kept = read_json(paths[2] / "evaluation.json")["stl"]["conjunction"]["satisfied"]
    assert runs[2].metrics["all specifications satisfied"] == kept


def test_what_differs(runs: list[ComparedRun]) -> None:
    assert differences(runs) == {
        "env.agents": ["4", "3", "4"],
        "env.episode_length": ["1000", "1000", "70"],
        "ppo.width": ["8", "16", "8"],
    }
    assert differences([runs[0], runs[0]]) == {}


def test_table(runs: list[ComparedRun]) -> None:
    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system="standard")
    show_comparison(runs[:2], console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    best = max(run.metrics["F1"] or 0.0 for run in runs[:2])
    assert re.search(rf"\x1b\[1m *{best:.3f}", text)
    assert "env.agents" in text
    assert "four" in text
    assert "warning" not in text


def test_not_yet_evaluated(paths: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ComparisonError, match=r"no validation\.json.*--split validation"):
        read_runs(paths[:2], "validation")
    fresh = make_run(tmp_path / "fresh", SYNTHETIC)
    with pytest.raises(ComparisonError, match=rf"evaluation\.json.*marl-stl-evaluate {fresh}$"):
        read_runs([paths[0], fresh], "test")
    with pytest.raises(RunError, match="not a run directory"):
        read_runs([paths[0], tmp_path], "test")


@pytest.mark.parametrize("number", [0, 1])
def test_one_run_alone(paths: list[Path], number: int) -> None:
    with pytest.raises(ComparisonError, match="two different runs"):
        read_runs(paths[:number], "test")
    with pytest.raises(ComparisonError, match="two different runs"):
        read_runs([paths[0], paths[1], paths[0]], "test")


@pytest.mark.parametrize(
    ("env", "differing"),
    [
        (replace(SYNTHETIC, data=replace(SYNTHETIC.data, split_seed=1)), "split_seed: 0 and 1"),
        (
            EnvConfig(data=DataConfig(dataset_options=("rows=5000",))),
            "source: .*rows 4000.*rows 5000",
        ),
        (
            replace(SYNTHETIC, data=replace(SYNTHETIC.data, threat_rate=0.3)),
            "test split: .*threat_rate: None and 0.3",
        ),
    ],
)
def test_other_data_is_refused(
    paths: list[Path], tmp_path: Path, env: EnvConfig, differing: str
) -> None:
    with pytest.raises(ComparisonError, match=f"different test data .*{differing}"):
        read_runs([paths[0], rolled_out_as(tmp_path / "other", env)], "test")


def test_families_held_out_of_training_leave_the_test_split_alone(
    paths: list[Path], tmp_path: Path
) -> None:
    held_out = replace(SYNTHETIC, data=replace(SYNTHETIC.data, holdout_families=("flood",)))
    read_runs([paths[0], rolled_out_as(tmp_path / "test" / "run", held_out)], "test")
    runs = [
        rolled_out_as(tmp_path / name, env, "validation")
        for name, env in (("a", SYNTHETIC), ("b", held_out))
    ]
    with pytest.raises(ComparisonError, match="holdout_families"):
        read_runs(runs, "validation")


def test_rewards_of_another_kind_are_warned_of(runs: list[ComparedRun]) -> None:
    assert warnings(runs) == []
    env = replace(runs[1].config.env, reward=RewardConfig(true_positive=5.0))
    other = replace(runs[1], config=replace(runs[1].config, env=env))
    (warning,) = warnings([runs[0], other])
    assert "differ in their rewards" in warning
    page = Page(compare_page.comparison_page([runs[0], other]))
    assert warning[1:] in page.words


def test_directories_of_the_same_name(paths: list[Path], tmp_path: Path) -> None:
    twin = make_run(tmp_path / "four", SYNTHETIC)
    evaluate(EvaluateConfig(twin))
    assert [run.name for run in read_runs([paths[0], twin], "test")] == [
        str(paths[0]), str(twin),
    ]  # fmt: skip


def test_seconds_of_an_interrupted_training(tmp_path: Path) -> None:
    assert training_seconds(tmp_path) is None
    head = "time/total_timesteps,time/time_elapsed\n"
    (tmp_path / "progress.csv").write_text(head + "100,5\n200,11\n300,\n")
    log = ProgressWriter(tmp_path / "progress.csv", 200)
    log.write({"time/time_elapsed": 9}, {"time/time_elapsed": ()}, 300)
    log.close()
    assert training_seconds(tmp_path) == 11 + 9
    (tmp_path / "progress.csv").write_text("time/total_timesteps\n100\n")
    assert training_seconds(tmp_path) is None


def test_page(paths: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in paths[:2]:
        steps = 100 if path.name == "four" else 150
        (path / "progress.csv").write_text(f"time/total_timesteps,validation/f1\n{steps},0.5\n")
    target = tmp_path / "compare.html"
    main(CompareConfig(tuple(paths), report=target))
    assert str(target) in capsys.readouterr().out.replace("\n", "")
    page = Page(target.read_text(encoding="utf-8"))
    assert page.data["evaluations"] == {
        path.name: read_json(path / "evaluation.json") for path in paths
    }
    assert list(page.loads()) == []
    assert not any(tag == "img" for tag, _ in page.elements)
    assert not any(name.startswith("on") for _, attrs in page.elements for name in attrs)
    assert paths[2].name in page.words
    curves = page.data["charts"]["training-2"]["data"]
    assert [(one["name"], one["x"]) for one in curves] == [("four", [100]), ("three", [150])]
    lines = {line["name"]: line for line in page.data["charts"]["byzantine"]["data"]}
    assert lines["three"]["x"] == [0]
    worst = min(
        entry["reward_per_event"]
        for entry in page.data["evaluations"]["four"]["byzantine"]
        if entry["faulty"] == 1
    )
    assert lines["four"]["y"][1] == worst
    marks = {one["name"]: one for one in page.data["charts"]["families"]["data"]}
    rows = page.data["charts"]["families"]["layout"]["yaxis"]["ticktext"]
    families = page.data["evaluations"]["three"]["families"]
    assert marks["three"]["x"] == [families[family]["recall"] for family in rows]
    assert sorted(rows) == sorted(families)


def test_page_is_written_whole(
    runs: list[ComparedRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise RuntimeError("no page")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(RuntimeError, match="no page"):
        compare_page.write_comparison(runs, tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []

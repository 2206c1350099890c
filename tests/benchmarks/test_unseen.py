"""Families left out: what a fold holds, what decisions are worth, and the open-world track."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from marl_stl_agents.commands.presets import PRESETS
from marl_stl_agents.config import PPOConfig, TrainConfig
from marl_stl_agents.run_directory import read_json, write_json

from benchmarks.common import worlds
from benchmarks.common.tables import family_table, in_words, interval, ratio_table
from benchmarks.common.worlds import CLASSES, WORLDS, World, left_out, make_fold, reward_at, shares
from benchmarks.leaderboard.classifiers import best_threshold, boosting
from benchmarks.leaderboard.open_entries import BASELINES, open_world
from benchmarks.leaderboard.open_world import Team, fold_result, open_result, results_of
from benchmarks.leaderboard.table import OPEN_WORLD, read_entries
from benchmarks.studies.learning import DOCS, RESULTS, run_file
from benchmarks.studies.learning_settings import Setting
from benchmarks.studies.unseen.__main__ import FEW, Settings, write_table
from benchmarks.studies.unseen.candidates import CANDIDATES
from benchmarks.studies.unseen.known import known_attacks
from marl_stl_env.config import DataConfig, EnvConfig
from marl_stl_env.data import load_dataset
from marl_stl_env.errors import SubmissionError, UnknownNameError
from tests.conftest import FOUR
from tests.data.tables import make_table

ENV = EnvConfig(agents=1, views="full")


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A single world of synthetic events."""
    table = load_dataset("synthetic", rows=2000)
    before = dict(WORLDS)
    WORLDS.clear()
    WORLDS["toy"] = World("synthetic")
    monkeypatch.setattr(worlds, "sample", lambda *_: (table, 0.25))
    yield "toy"
    WORLDS.clear()
    WORLDS.update(before)


def test_every_family_is_left_out_once() -> None:
    families = np.repeat(np.arange(13), 3)
    table = make_table(np.zeros((39, 1)), families > 0, families)
    folds = left_out(World("any"), table, seed=3)
    assert len(folds) == World("any").folds == 5
    assert sorted(name for fold in folds for name in fold) == sorted(table.family_names[1:])
    assert folds != left_out(World("any"), table, seed=4)


@pytest.mark.data
@pytest.mark.parametrize("name", list(WORLDS))
def test_the_worlds(data_dir: Path, name: str) -> None:
    """No fold trains on what it leaves out; families of the sample are as even as they can be."""
    table, rate = worlds.sample(name, data_dir)
    assert len(table) <= worlds.EVENTS
    assert table.threat_rate == pytest.approx(rate, abs=1e-3)
    counts = np.bincount(table.families[table.labels])
    assert np.sort(counts)[-2:].max() < 0.4 * table.labels.sum()
    fold = make_fold(name, 1, ENV, data_dir)
    train, left = fold.prepared.tables["train"], fold.prepared.tables["validation"]
    codes = [left.family_names.index(one) for one in fold.held]
    assert not np.isin(train.families, codes).any()
    evaluated = left.families[fold.evaluated & left.labels]
    assert set(np.unique(evaluated).tolist()) <= set(codes)


@pytest.mark.data
def test_the_classes_hold_every_type_of_the_training_file(data_dir: Path) -> None:
    table, _ = worlds.sample("NSL-KDD, classes", data_dir)
    known = {table.family_names[code] for code in np.unique(table.families[table.labels])}
    assert sorted(name for types in CLASSES.values() for name in types) == sorted(known)


def test_shares_and_reward_by_hand() -> None:
    """Family 1 is caught 3 times of 3, family 2 once of 4: recall .625; one false alarm of 10."""
    families = np.repeat([0, 1, 2], [10, 3, 4])
    table = make_table(np.zeros((17, 1)), families > 0, families)
    stopped = np.array([1, *[0] * 9, 1, 1, 1, 1, 0, 0, 0], bool)
    assert shares(table, stopped) == (0.625, 0.1)
    tp, fn, fp, tn = 0.25, 0.15, 0.06, 0.54
    assert reward_at(0.4, 0.625, 0.1) == pytest.approx(10 * tp + tn - 8 * fp - 10 * fn)
    scores = np.array([*[0.1] * 9, 0.5, 0.6, 0.7, 0.8, 0.4, 0.4, 0.4, 0.9])
    assert 0.1 < best_threshold(scores, table, 0.4) <= 0.4


def test_the_oracle_and_constants(toy: str) -> None:
    """Known families are trained on and not evaluated."""
    fold = make_fold(toy, 0, ENV)
    table = fold.prepared.tables["validation"]
    assert (table.labels & ~fold.evaluated).any()
    right = fold_result(fold, table.labels)
    assert (right.recall, right.false_alarms, right.normalized_score) == (1.0, 0.0, 1.0)
    assert right.reward == pytest.approx(0.25 * 10 + 0.75)
    nothing = fold_result(fold, np.zeros(len(table), np.bool_))
    assert nothing.reward == pytest.approx(-0.25 * 10 + 0.75)
    assert nothing.normalized_score == 0.0
    assert fold_result(fold, ~fold.evaluated).events == right.events
    further = make_fold(toy, 1, ENV)
    other = fold_result(further, further.evaluated)
    assert other.events != right.events


def test_a_team_on_every_fold(toy: str, tmp_path: Path) -> None:
    """At every threshold; what is there is not made again."""
    env = EnvConfig(**FOUR)
    team = Team(TrainConfig(env, PPOConfig(n_steps=4, width=8), stl="off", iterations=1))
    found = list(results_of("mine", team, 0, tmp_path))
    assert [list(one) for one in found] == [[1, 2, 3, 4]] * World("any").folds
    assert all(one[1].recall >= one[4].recall for one in found)
    files = sorted(tmp_path.iterdir())
    times = [file.stat().st_mtime_ns for file in files]
    assert list(results_of("mine", team, 0, tmp_path)) == found
    assert [file.stat().st_mtime_ns for file in files] == times
    first = open_result(0, [one[1] for one in found])
    assert first.normalized_score == first.worlds[toy]
    assert first.recall == pytest.approx(np.mean([one[1].recall for one in found]))


def test_decisions_of_another_program(
    toy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The oracle's have a score of 1; a missing file is refused."""
    page = tmp_path / "page.md"
    page.write_text("<!-- open world -->\n<!-- end of open world -->\n")
    board = replace(OPEN_WORLD, file=tmp_path / "board.json", page=page)
    open_world(tmp_path, events=True)
    for number in range(WORLDS[toy].folds):
        fold = make_fold(toy, number, ENV)
        labels = fold.prepared.tables["validation"].labels[fold.evaluated]
        given = pd.read_parquet(tmp_path / f"toy-{number}-test.parquet")
        assert len(given) == len(labels)
        assert "label" not in given
        mine = pd.DataFrame({"event": given["event"], "decision": labels.astype(int)})
        mine.to_parquet(tmp_path / f"toy-{number}.parquet")
    assert open_world(tmp_path, decisions=True, name="oracle", add=True, board=board) == 0
    [entry] = read_entries(board.file)
    assert entry.score == 1.0
    assert "| oracle |  | 1 | 1.000 | 1.000 | 0.000 |" in page.read_text()
    assert "oracle" in capsys.readouterr().out
    (tmp_path / "toy-3.parquet").unlink()
    with pytest.raises(SubmissionError, match=r"toy-3\.parquet is missing"):
        open_world(tmp_path, decisions=True)
    with pytest.raises(UnknownNameError, match="forrest"):
        open_world(tmp_path, only=("forrest",))


@pytest.mark.slow
def test_the_references(toy: str, tmp_path: Path) -> None:
    """Two see families that training lacks; boosting sees those that it was trained on."""
    for name in ("forest, threshold by types left out", "isolation forest"):
        found = list(results_of(name, BASELINES[name], 0, tmp_path))
        assert open_result(0, [one[1] for one in found]).worlds[toy] > 0.1
    fold = make_fold(toy, 0, ENV)
    stopped = boosting(fold, 0)
    table = fold.prepared.tables["validation"]
    assert stopped[table.labels & ~fold.evaluated].mean() > 0.8
    assert stopped[~table.labels].mean() < 0.05
    assert fold_result(fold, stopped).recall < 0.1


@pytest.mark.long
def test_known_attacks(tmp_path: Path) -> None:
    """The ratios are those of the rewards; what is there is not made again."""
    env = EnvConfig(data=DataConfig(dataset_options=("rows=2000",)), **FOUR)
    settings = {"toy": Setting(env, PPOConfig(n_steps=4, width=8), iterations=1, every=1)}
    found = known_attacks(tmp_path, None, (0, 1), "validation", settings)
    assert [one["seed"] for one in found["toy"]] == [0, 1]
    for one in found["toy"]:
        rewards = {name: of["reward_per_event"] for name, of in one["baselines"].items()}
        constant = max(rewards["always_allow"], rewards["always_block"])
        for ratio, name in (("ceiling_ratio", "supervised"), ("vote_ratio", "supervised_vote")):
            expected = (one["reward_per_event"] - constant) / (rewards[name] - constant)
            assert one[ratio] == pytest.approx(expected)
    times = [file.stat().st_mtime_ns for file in sorted(tmp_path.rglob("*.json"))]
    assert known_attacks(tmp_path, None, (0, 1), "validation", settings) == found
    assert [file.stat().st_mtime_ns for file in sorted(tmp_path.rglob("*.json"))] == times


def test_what_a_folder_holds_is_written(tmp_path: Path) -> None:
    """The file of results and the table of the page come from the runs of the study alone."""
    known = read_json(RESULTS / "known_attacks.json")
    for name, runs in known.items():
        for one in reversed(runs):
            write_json(run_file(tmp_path / "test", name, one["seed"]), one)
    page = tmp_path / "unseen-attacks.md"
    page.write_text((DOCS / page.name).read_text(encoding="utf-8"), encoding="utf-8")
    settings = Settings("table", tmp_path, split="test", results=tmp_path, docs=tmp_path)
    write_table(settings)
    assert (tmp_path / "known_attacks.json").read_bytes() == (
        RESULTS / "known_attacks.json"
    ).read_bytes()
    assert page.read_bytes() == (DOCS / page.name).read_bytes()
    with pytest.raises(FileNotFoundError, match="another --split"):
        write_table(replace(settings, split="validation"))


def test_the_preset_is_what_was_chosen() -> None:
    """But for the vote, of which the study looks at every threshold."""
    preset, chosen = PRESETS["unseen"].settings(), CANDIDATES["second opinions"]
    assert isinstance(chosen, Team)
    free = replace(preset.env, consensus=chosen.config.env.consensus, stl=chosen.config.env.stl)
    assert free == chosen.config.env
    assert (preset.ppo, preset.iterations) == (chosen.config.ppo, chosen.config.iterations)


def test_the_page_shows_the_results() -> None:
    runs = read_json(RESULTS / "unseen.json")
    page = (DOCS / "unseen-attacks.md").read_text(encoding="utf-8")
    for line in family_table(runs, FEW):
        assert line in page
    for name in ("f1", "reward_per_event"):
        assert in_words(interval([one["decision"][name] for one in runs]), 3) in page
    assert in_words(interval([one["byzantine"]["2 faulty"] for one in runs]), 3) in page
    for line in ratio_table(read_json(RESULTS / "known_attacks.json")):
        assert line in page

"""The leaderboard's command and its page."""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.leaderboard import __main__ as leaderboard
from benchmarks.leaderboard import baselines, track
from benchmarks.leaderboard.table import PAGE, SYNTHETIC, Board, read_entries, table
from marl_stl_env.errors import UnknownNameError
from tests.benchmarks.leaderboard_runs import TRACK, edit, guesses, set_at, worth, write
from tests.documents import blocks

ROOT = Path(__file__).parents[2]


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    """An empty leaderboard of the toy track."""
    for module in (leaderboard, track):
        monkeypatch.setattr(module, "TRACK", TRACK)
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n<!-- entries -->\n<!-- end of entries -->\n\nThe end.\n")
    return Board(file=tmp_path / "board.json", page=page)


def command(monkeypatch: pytest.MonkeyPatch, board: Board, *words: object) -> int:
    places = ("--board.file", board.file, "--board.page", board.page)
    monkeypatch.setattr(sys, "argv", ["leaderboard", *map(str, words), *map(str, places)])
    return leaderboard.main()


def test_the_command_adds_a_row(
    runs: list[Path],
    board: Board,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    assert command(monkeypatch, board, "check", *runs, "--name", "ours", "--add") == 0
    printed = capsys.readouterr().out
    assert "checked: 3 of 3" in printed
    files = [write(tmp_path / f"{i}.parquet", guesses(1, i)[:, 0]) for i in range(3)]
    words = ["check", "--decisions", *files, "--name", "theirs", "--team", "a tree", "--add"]
    assert command(monkeypatch, board, *words, "--cpu-seconds", 1, 2, 3) == 0
    theirs, ours = entries = read_entries(board.file)
    assert [entry.name for entry in entries] == ["theirs", "ours"]
    assert [one.cpu_seconds for one in theirs.results] == [1, 2, 3]
    page = board.page.read_text()
    assert all(line in page for line in table(entries))
    assert page.startswith("# Title")
    assert page.endswith("The end.\n")
    mean = np.mean([one.normalized_score for one in ours.results])
    assert f"| ours | 4 sensors, groups | 3 | {mean:.3f}" in page
    assert next(line for line in page.splitlines() if line.startswith("| ours")) in printed
    assert command(monkeypatch, board, "check", *runs, "--name", "ours", "--add") == 0
    assert read_entries(board.file) == entries


def test_the_command_wants_three_seeds_of_one_training(
    runs: list[Path],
    board: Board,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    assert command(monkeypatch, board, "check", runs[0], "--add") == 0
    assert "at least 3 seeds: 2 to go" in capsys.readouterr().out
    assert not board.file.exists()
    assert command(monkeypatch, board, "check", runs[0], runs[1], runs[0], "--add") == 2
    assert "SubmissionError: seeds [0, 1, 0] repeat" in capsys.readouterr().err
    other = shutil.copytree(runs[1], tmp_path / "other")
    edit(other / "config.json", set_at("ppo", "learning_rate", value=0.1))
    assert command(monkeypatch, board, "check", runs[0], other) == 2
    assert "differ in --seed alone" in capsys.readouterr().err
    assert command(monkeypatch, board, "check") == 2
    assert "give run directories, or --decisions" in capsys.readouterr().err
    assert command(monkeypatch, board, "check", runs[0], "--cpu-seconds", 1, 2) == 2
    assert "2 values for 1 seeds" in capsys.readouterr().err


def test_the_example_of_the_page(
    board: Board,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    (_, script), (_, line) = blocks("results/leaderboard.md")
    exec(compile(script, "leaderboard.md", "exec"), {})
    program, *words = shlex.split(line)
    assert [program, *words[:2]] == ["python", "-m", "benchmarks.leaderboard"]
    assert command(monkeypatch, board, *words[2:]) == 0
    row = capsys.readouterr().out.splitlines()[-1]
    files = [pd.read_parquet(f"tree-{seed}.parquet") for seed in range(3)]
    expected = np.mean([worth(frame["decision"].to_numpy())[2] for frame in files])
    assert 0.2 < expected < 1.0
    assert row.startswith("| decision tree |  | 3 | ")
    assert float(row.split("|")[4].split("[")[0]) == pytest.approx(expected, abs=5e-4)


def test_events_are_written_without_the_labels_of_the_test(board: Board, tmp_path: Path) -> None:
    assert leaderboard.events(tmp_path / "events") == 0
    for split, expected in TRACK.prepare().tables.items():
        frame = pd.read_parquet(tmp_path / "events" / f"{split}.parquet")
        assert ("label" in frame) == (split != "test")
        np.testing.assert_array_equal(frame[list(expected.feature_names)], expected.features)
        assert frame["event"].tolist() == list(range(len(expected)))
        if split != "test":
            np.testing.assert_array_equal(frame["label"], expected.labels)


def test_the_baselines_command_trains_evaluates_and_adds(
    board: Board, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small = baselines.BASELINES["short, partial views"]
    small = replace(small, env=TRACK.env, lanes=4, iterations=1)
    for module in (leaderboard, baselines):
        monkeypatch.setattr(module, "BASELINES", {"small": small})
    assert leaderboard.baselines(tmp_path / "runs", (0, 1, 2), board=board) == 0
    entries = {entry.name: entry for entry in read_entries(board.file)}
    assert len(entries) == 6
    assert [one.seed for one in entries["small"].results] == [0, 1, 2]
    assert all(one.cpu_seconds and one.cpu_seconds > 0 for one in entries["small"].results)
    assert entries["best constant"].score == 0.0
    best = entries["Bayes' rule, all columns"].score
    assert max(entry.score for entry in entries.values()) == best
    with pytest.raises(UnknownNameError, match="known: small"):
        leaderboard.baselines(tmp_path / "runs", only=("smal",), board=board)


def test_the_page_shows_the_file() -> None:
    entries = read_entries(ROOT / SYNTHETIC.file)
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    section = page.split("<!-- entries -->", 1)[1].split("<!-- end of entries -->", 1)[0]
    assert section.strip().splitlines() == table(entries)
    assert {entry.name for entry in entries} >= set(baselines.BASELINES)
    assert [entry.score for entry in entries] == sorted((e.score for e in entries), reverse=True)
    for entry in entries:
        assert len(entry.results) >= (1 if entry.kind == "reference" else 3)


def test_the_page_names_every_refusal_and_every_free_setting() -> None:
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    for command_line in ("baselines --folder", "check RUN", "--decisions", "events --folder"):
        assert command_line in page

"""The part of a report on attackers: there where a run was attacked, and only there."""

import json
from pathlib import Path

import pytest
from marl_stl_agents.console.redteam import sentences, show_attacks
from marl_stl_agents.reporting.attackers import read_attacks
from marl_stl_agents.reporting.page import render
from marl_stl_agents.run_directory import write_json

from marl_stl_env.errors import RunError
from tests.agents.reporting.report_runs import HOSTILE, Page

METRICS = {
    "reward_per_event": 1.25,
    "normalized_score": 0.75,
    "kept": 0.5,
    "recall": 0.625,
    "disguised": 1.0,
    "gain_per_attack": -2.5,
    "cost_per_attack": 0.125,
    "columns": {"bytes": 0.9, HOSTILE: 0.5, "gap": 0.25, "peers": 0.0},
}
RESULT = {
    "schema": 1,
    "split": "test",
    "exploitability": {"normalized_score": 0.9, "lost": 0.5, "lost_low": 0.4, "lost_high": 0.6},
    "attacks": {"undisguised": METRICS, "response_0": METRICS},
}
SENT = {
    "event": 7,
    "family": HOSTILE,
    "entity": None,
    "disguise": 2,
    "decision_as_sent": "BLOCK",
    "decision_as_arrived": "ALLOW",
    "columns": {"bytes": [100.0, 250.0]},
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_json(tmp_path / "attacks.json", RESULT)
    write_json(tmp_path / "disguised.json", {"schema": 1, "split": "test", "attacks": [SENT] * 20})
    return tmp_path


def test_the_section_shows_figures_and_what_was_sent(run: Path) -> None:
    attacked = read_attacks(run)
    assert attacked is not None
    page = Page(render("attackers.html", attacked=attacked))
    assert [name for name, _ in page.elements if name in ("script", "img")] == []
    words = page.words
    assert "takes 50.0% (95 % interval 40.0% to 60.0%) of the team's normalised score" in words
    assert "bytes (90% of its room)" in words
    assert "bytes 100.000 → 250.000" in words
    assert words.count(HOSTILE) == 13  # twelve attacks, and among what was moved most


def test_a_run_that_was_not_attacked_has_no_section(tmp_path: Path) -> None:
    assert read_attacks(tmp_path) is None


def test_a_damaged_file_is_named(run: Path) -> None:
    (run / "attacks.json").write_text(json.dumps({"schema": 1}), encoding="utf-8")
    with pytest.raises(RunError, match=r"attacks\.json does not say"):
        read_attacks(run)


def test_the_terminal_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    show_attacks(RESULT)
    shown = capsys.readouterr().out
    assert "response_0" in shown
    assert "takes 50.0%" in shown


def test_a_team_that_has_nothing_to_lose() -> None:
    """A share of a score that is not above 0 says nothing."""
    (said, *_) = sentences({**RESULT, "exploitability": {"normalized_score": -2.6, "lost": 1.0}})
    assert "normalised score is -2.600, which is not above the best constant policy" in said
    assert "%" not in said

"""The arithmetic of the studies of faulty sensors and of deliberation."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.common.teams import f1, normalized, recall
from benchmarks.studies import byzantine, byzantine_report, deliberation, symbols
from marl_stl_env.config import EnvConfig
from marl_stl_env.consensus.faults import FAULTS
from marl_stl_env.types import Int8Array
from tests.conftest import UNWATCHED, make_table

ROOT = Path(__file__).parents[2]
TABLE = make_table(400)
ENV = EnvConfig(agents=4, views="groups", stl=UNWATCHED)


def block(votes: Any) -> Int8Array:
    return np.asarray(votes, dtype=np.int8)


def test_scores_of_known_decisions() -> None:
    threats = TABLE.labels
    assert normalized(ENV, TABLE, block(threats)) == 1.0
    assert f1(TABLE, block(threats)) == recall(TABLE, block(threats)) == 1.0
    allow = block(np.zeros(400))
    assert normalized(ENV, TABLE, allow) == 0.0  # the best constant at 20 % threats
    assert f1(TABLE, allow) == recall(TABLE, allow) == 0.0
    half = threats.copy()
    half[np.flatnonzero(threats)[::2]] = False
    kept, all_threats = half.sum(), threats.sum()
    assert normalized(ENV, TABLE, block(half)) == pytest.approx(kept / all_threats)
    assert recall(TABLE, block(half)) == kept / all_threats
    assert f1(TABLE, block(half)) == pytest.approx(2 * kept / (kept + all_threats))


def test_a_perfect_team_keeps_its_score_up_to_half_and_loses_it_beyond() -> None:
    actions = np.repeat(block(TABLE.labels)[:, None], 4, axis=1)
    curves = byzantine.curves(ENV, TABLE, actions, 4)
    assert list(curves) == list(FAULTS)
    assert all(len(curve["f1"]) == 5 for curve in curves.values())
    scores = byzantine_report.worst({"curves": curves})
    assert scores[:2] == [1.0, 1.0]
    assert scores[2] < 0.0  # two of two threat votes are the Byzantine sensors' own
    assert curves["silent"]["normalized"][2] == 1.0
    assert curves["always_allow"]["recall"][4] == 0.0


def result(seed: int, scores: list[float]) -> dict[str, Any]:
    team = byzantine.Team("synthetic", 7, "full", 4, "clean", seed)
    curves = {fault: {"normalized": [1.0] * 8} for fault in FAULTS}
    curves["flip"] = {"normalized": scores}
    return {**team._asdict(), "bound": 2, "error_correlation": 0.5, "curves": curves}


def test_summary_of_two_seeds(tmp_path: Path) -> None:
    results = [result(0, [1, 1, 0.9, 0.2, 0, 0, 0, 0]), result(1, [0.8, 0.9, 0.8, 0.3, 0, 0, 0, 0])]
    (row,) = byzantine_report.summary(results)
    assert (row["seeds"], row["bound"], row["halved_at"]) == (2, 2, 3)
    assert row["clean"] == pytest.approx(0.9)
    assert row["at_bound"] == pytest.approx(0.85)
    assert row["lost"] == pytest.approx(1 - 0.85 / 0.9)
    assert row["lost_worst_seed"] == pytest.approx(0.1)
    assert (row["vote"], row["beyond"]) == ("equal", pytest.approx(0.25))
    assert byzantine_report.markdown([row])[2] == (
        "| synthetic | 7 | full | 4 | clean | equal | 2 | 0.50 | 2 "
        "| 0.900 | 0.850 | 5.6 % (10.0 %) | 0.250 | 3 |"
    )
    byzantine_report.print_summary([row])
    byzantine_report.draw(results, [], tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_shows_the_data() -> None:
    rows = json.loads((ROOT / "benchmarks" / "results" / "byzantine.json").read_text())["summary"]
    page = (ROOT / "docs" / "results" / "byzantine.md").read_text(encoding="utf-8")
    shown = page.split("<!-- byzantine -->")[1].split("<!-- end of byzantine -->")[0]
    assert shown.strip().splitlines() == byzantine_report.markdown(rows)


def test_the_study_has_every_team_once() -> None:
    teams = byzantine.teams(byzantine.Settings())
    assert len(set(teams)) == len(teams) == 2 * 5 * (1 + 2 * (3 + 2 + 3 + 3))
    seen_by = {"overlap": {7: 6, 10: 9}, "majority": {4: 3, 7: 5, 10: 7}}
    for team in teams:
        assert team.env.consensus.threshold_for(team.agents) == team.threshold
        if team.views in seen_by:
            assert team.env.seen_by == seen_by[team.views][team.agents]


@pytest.mark.long
def test_weighed_votes_are_evaluated_where_sensors_differ() -> None:
    actions = np.repeat(block(TABLE.labels)[:, None], 4, axis=1)
    assert list(byzantine.votes(replace(ENV, views="full"), TABLE, actions, True)) == ["curves"]
    assert list(byzantine.votes(ENV, TABLE, actions, False)) == ["curves"]
    found = byzantine.votes(ENV, TABLE, actions, True)
    scores = byzantine_report.worst(found, "reliability")
    assert scores[:2] == [1.0, 1.0]
    assert len(scores) == 3
    assert scores[2] < 1.0


def test_the_gap_that_deliberation_closes() -> None:
    scores = {"full views": 0.9, "vote": 0.5, "deliberation": 0.8}
    results = [
        {
            "dataset": "synthetic",
            "team": name,
            "seed": 0,
            "cpu_seconds": 1.0,
            "normalized": score,
            "f1": score,
            "byzantine": {fault: score - 0.1 * (fault == "flip") for fault in FAULTS},
        }
        for name, score in scores.items()
    ]
    rows = {row["team"]: row for row in deliberation.summary(results)}
    assert rows["deliberation"]["gap_closed"] == pytest.approx(0.75)
    assert rows["full views"]["gap_closed"] == pytest.approx(1.0)
    assert rows["vote"]["byzantine_worst"] == pytest.approx(0.4)
    assert deliberation.markdown([rows["deliberation"]])[2] == (
        "| synthetic | deliberation | 1 | 0.800 (0.800 … 0.800) | 0.800 "
        "| 75 % | 0.783 | 0.700 | 1 |"
    )
    deliberation.print_summary(list(rows.values()))


@pytest.mark.long
def test_symbols_lie_between_silence_and_all_columns() -> None:
    rows = symbols.study(symbols.Settings(quick=True))
    silent, two, four, everything = [row["normalized"] for row in rows]
    assert silent < two < four < everything
    assert rows[2]["thresholds"] == pytest.approx([9 / 49, 9 / 29, 9 / 19], abs=1e-3)

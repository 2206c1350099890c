"""The tables of the red team's study, by hand."""

from typing import Any

import pytest

from benchmarks.studies.redteam.tables import (
    attack_table,
    column_table,
    interval,
    summary,
    summary_table,
    unmet_summary,
    unmet_table,
    yardstick_table,
)


def run(seed: int, kept: float) -> dict[str, Any]:
    def one(share: float) -> dict[str, Any]:
        return {
            "normalized_score": 0.9 * share,
            "kept": share,
            "recall": share,
            "cost_per_attack": 1.0,
            "gain_per_attack": -1.0,
            "columns": {"a": 0.5 * share, "b": 0.1},
        }

    responses = {f"response_{seed}": one(kept - 0.1), f"response_{seed + 1}": one(kept + 0.1)}
    attacks = {"undisguised": one(1.0), "greedy": one(kept), **responses}
    lost = {"lost": 1.0 - kept, "lost_low": 0.9 - kept - seed, "lost_high": 1.1 - kept + seed}
    of_team = {"attacks": attacks, "exploitability": lost}
    both = dict.fromkeys(("plain", "trained in turns"), of_team)
    return {"seed": seed, "cpu_seconds": 12.34, **both}


RUNS = [run(0, 0.5), run(1, 0.7)]


def test_intervals() -> None:
    assert interval([0.5]) == "0.500"
    # Student's t of one degree of freedom: 12.706 times the deviation .1 of the mean.
    assert interval([0.5, 0.7]) == "0.600 ±1.271"
    assert interval([]) == ""


def test_tables() -> None:
    found = {"synthetic": RUNS}
    rows = summary_table(found)
    start = "| synthetic | 2 | plain | 0.900 ±0.000 | 0.400 ±1.271 | 1.100 |"
    assert rows[2].startswith(start)
    assert len(rows) == 4
    shown = attack_table(found)[2].split(" | ")
    assert shown[2:7] == ["1.000 ±0.000", "", "0.600 ±1.271", "", "0.600 ±1.271"]
    assert column_table(found)[2] == "| synthetic | plain | a 30%, b 10% |"
    written = summary(RUNS)
    assert written["seeds"] == [0, 1]
    assert written["plain"]["response"]["kept"] == pytest.approx([0.5, 0.7])


def test_tables_of_unmet_disguises_and_yardsticks() -> None:
    both = {
        kind: {"8": {"kept": 0.5}, "16": {"kept": 0.25}} for kind in ("plain", "trained in turns")
    }
    exact: dict[str, Any] = {
        "a game": {"a team": {"undisguised": 0.9, "best response": 0.45, "lost": 0.5}}
    }
    exact["a game"]["a team"]["unmet"] = {"8": 0.75, "16": 0.5}
    assert unmet_summary([both, both])["plain"] == {"8": [0.5, 0.5], "16": [0.25, 0.25]}
    assert unmet_table({"a game": [both]}, exact)[2:] == [
        "| a game | plain | 0.500 | 0.250 |",
        "| a game | trained in turns | 0.500 | 0.250 |",
        "| a game | exact, a team | 0.750 | 0.500 |",
    ]
    assert yardstick_table(exact)[2] == "| a game | a team | 0.900 | 0.450 | 0.500 |"

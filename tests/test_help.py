"""``help(mse)`` and the page of the engine do what they say."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import marl_stl_env as mse
from tests.documents import blocks


def test_the_five_things_to_begin_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(400, 8)).round(3).tolist()
    rows = [",".join(map(str, [*row, int(row[0] > 0.5)])) for row in columns]
    (tmp_path / "flows.csv").write_text("\n".join(["a,b,c,d,e,f,g,h,attack", *rows]) + "\n")
    result = doctest.testmod(mse)
    assert result.failed == 0
    assert result.attempted >= 12
    assert re.findall(r"^(\d)\. ", mse.__doc__ or "", re.MULTILINE) == ["1", "2", "3", "4", "5"]


def test_the_page_of_the_engine(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for language, content in blocks("guide/engine.md"):
        assert language == "python"
        exec(content, names)
    shown = capsys.readouterr().out.splitlines()
    said = [re.sub(r"[-+]?\d+(?:\.\d+)?", "#", line) for line in shown]
    assert said[0].startswith("Engine(synthetic/train, agents=#, views='groups', lanes=#, ")
    assert said[1].startswith("StepRecord(# lanes, # sensors: # threats, # stopped, mean reward ")
    # Random actions: two of four votes at random make a threat of 11 in 16 events.
    table, pay = names["engine"].table, mse.RewardConfig()
    stopped = 11 / 16
    threat = stopped * pay.true_positive + (1 - stopped) * pay.false_negative
    benign = stopped * pay.false_positive + (1 - stopped) * pay.true_negative
    expected = table.threat_rate * threat + (1 - table.threat_rate) * benign
    assert float(shown[2].split()[-1]) == pytest.approx(expected, abs=0.15)
    stops = table.features[:, 0] > 1
    assert shown[3].startswith(f"{(stops == table.labels).mean():.1%} of {len(table):,} events")

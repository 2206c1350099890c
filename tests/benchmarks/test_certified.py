"""The study of the preset `certified`, and the picture of the running robustness."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.studies import certified, stl_picture
from benchmarks.studies.certified import PRESET, SETTINGS, Settings, interquartile_mean


def result(seed: int, satisfied: float, reward: float) -> dict[str, Any]:
    entry = {"satisfied": satisfied, "reward": reward, "certified": satisfied > 0.95}
    return {
        "setting": "certified",
        "seed": seed,
        "split": "validation",
        "cpu_seconds": 1.0,
        "honest": entry,
        "faults": {"flip": entry | {"faulty": 2, "satisfied": satisfied - 0.25}},
    }


def test_the_table_has_interquartile_means(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for seed, satisfied in enumerate([0.25, 0.75, 1.0, 1.0]):
        path = tmp_path / f"validation-certified-{seed}.json"
        path.write_text(json.dumps(result(seed, satisfied, 1.5)))
    certified.main(Settings("table", folder=tmp_path))
    printed = capsys.readouterr().out
    assert "0.875" in printed  # the mean of the two in the middle
    assert "0.625" in printed
    assert "2 of 4" in printed


def test_the_interquartile_mean_leaves_a_quarter_out_at_each_end() -> None:
    assert interquartile_mean([0.0, 1.0, 2.0, 9.0]) == 1.5
    assert interquartile_mean([3.0]) == 3.0


def test_settings_are_the_preset_with_one_thing_taken_away() -> None:
    for name, config in SETTINGS.items():
        assert (config.iterations, config.lanes, config.stl) == (
            PRESET.iterations,
            PRESET.lanes,
            "lagrangian",
        )
        assert (config != PRESET) is (name != "certified")


@pytest.mark.slow
def test_a_run_goes_on_where_it_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings("train", folder=tmp_path, seeds=(0,), quick=True)
    certified.main(settings)
    (path,) = tmp_path.glob("validation-*.json")
    before = path.read_bytes()
    certified.main(settings)
    assert path.read_bytes() == before
    found = json.loads(before)
    assert len(found["faults"]) == 7
    assert found["honest"]["each"]["alert budget"] == 1.0
    assert "certified, seed 0" in capsys.readouterr().out


def test_the_pictured_robustness_is_the_least_margin_so_far() -> None:
    counts, running = stl_picture.episode(seed=0)
    assert running.tolist() == np.minimum.accumulate(6 - counts).tolist()
    assert running[0] > 0 > running[-1]

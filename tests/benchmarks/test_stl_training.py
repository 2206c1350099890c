"""The study of specifications in training."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.studies import stl_picture, stl_training
from benchmarks.studies.stl_training import SETTINGS, Settings
from marl_stl_env.stl.specs import CONJUNCTION


def result(setting: str, seed: int, kept: float, reward: float) -> dict[str, Any]:
    rows = [{"reward_per_event": 0.0, "satisfied": 0.0, "multipliers": [0.5, 0.0]}] * 3
    satisfied = {"a": 1.0, "b": kept, CONJUNCTION: kept}
    return {
        "setting": setting,
        "seed": seed,
        "satisfied": satisfied,
        "reward_per_event": reward,
        "cpu_seconds": 1.0,
        "trace": rows,
    }


def test_the_table_has_means_and_ranges(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    found = [("off", 0, 0.25, 1.5), ("off", 1, 0.35, 1.25), ("lagrangian 0.05", 0, 0.9, 1.0)]
    for number, one in enumerate(found):
        (tmp_path / f"{number}.json").write_text(json.dumps(result(*one)))
    image = tmp_path / "specifications.png"
    stl_training.main(Settings("table", folder=tmp_path, image=image))
    printed = capsys.readouterr().out
    assert "1.375 (1.250 to 1.500)" in printed
    assert "0.300 (0.250 to 0.350)" in printed
    assert image.read_bytes().startswith(b"\x89PNG")


def test_settings_differ_only_in_their_specs() -> None:
    base = SETTINGS["off"]
    for name, config in SETTINGS.items():
        assert (config.ppo, config.lanes, config.iterations) == (
            base.ppo,
            base.lanes,
            base.iterations,
        )
        assert config.stl == {"off": "monitor"}.get(name, name.split()[0])
        if config.stl == "lagrangian":
            assert config.constraints.budget == float(name.split()[1])


@pytest.mark.slow
def test_a_run(tmp_path: Path) -> None:
    settings = Settings("study", folder=tmp_path, seeds=(0,), only=("lagrangian 0.05",), quick=True)
    stl_training.main(settings)
    (found,) = stl_training.collected(tmp_path)["lagrangian 0.05"]
    assert len(found["trace"]) == 2
    assert 0 <= found["satisfied"][CONJUNCTION] <= 1


def test_the_pictured_robustness_is_the_least_margin_so_far() -> None:
    counts, running = stl_picture.episode(seed=0)
    assert running.tolist() == np.minimum.accumulate(6 - counts).tolist()
    assert running[0] > 0 > running[-1]

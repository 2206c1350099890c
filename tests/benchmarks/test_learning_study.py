from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from marl_stl_agents.run_directory import read_json

from benchmarks.common.tables import (
    interval,
    quality_table,
    reference_table,
    relative_table,
    replace_section,
)
from benchmarks.studies import learning
from benchmarks.studies.learning import (
    DOCS,
    RESULTS,
    Settings,
    pooled_recall,
    run_file,
    time_to_reach,
)
from benchmarks.studies.learning_settings import (
    SETTINGS,
    Setting,
)
from marl_stl_env.config import EnvConfig
from marl_stl_env.data import load_dataset, prepare


def test_the_interquartile_mean_by_hand() -> None:
    # Two of ten are cut at each end, as rliable does: the mean of 2, ..., 7 is 4.5.
    mean, low, high = interval([0, 1, 2, 3, 4, 5, 6, 7, 8, 100])
    assert mean == 4.5
    assert low < mean < high


def test_the_interval_of_many_values_is_that_of_their_mean() -> None:
    values = np.random.default_rng(0).uniform(size=400)
    middle = np.sort(values)[100:300]
    _, low, high = interval(values.tolist())
    # Standard error of a 25 % trimmed mean: its Winsorised deviation over (1 - 2 * 0.25) sqrt(n).
    winsorised = np.clip(values, middle[0], middle[-1])
    error = winsorised.std(ddof=1) / (0.5 * np.sqrt(400))
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_the_bootstrap_is_stratified() -> None:
    # Each setting gives always the same: only a bootstrap across settings would see any spread.
    assert interval([0.0] * 10, [1.0] * 10) == (0.5, 0.5, 0.5)
    mean, low, high = interval([0.0] * 10, [1.0] * 9 + [1.1])
    assert mean == pytest.approx(0.5)
    assert high - low < 0.05


def test_recall_is_pooled_over_events() -> None:
    families = {
        "a": {"events": 30, "recall": 1.0, "seen_in_train": True},
        "b": {"events": 10, "recall": 0.2, "seen_in_train": True},
        "c": {"events": 5, "recall": 0.4, "seen_in_train": False},
    }
    assert pooled_recall(families) == {"recall_seen": 0.8, "recall_unseen": pytest.approx(0.4)}
    assert pooled_recall({"a": families["a"]})["recall_unseen"] is None


def test_time_to_reach_the_final_score(tmp_path: Path) -> None:
    raw = load_dataset("synthetic", rows=2_000)
    prepared = prepare(EnvConfig(), raw)
    labels = prepared.tables["validation"].labels
    allow = 1.0 - 11.0 * labels.mean()  # what letting all pass earns
    scores = [None, -0.5, 0.94, None, 0.96, 0.8, 1.0]
    log = {
        "time/total_timesteps": range(1, 8),
        "time/time_elapsed": [1, 2, 3, 4, 5, 6, 7],
        "validation/reward_per_event": [None if s is None else allow + s for s in scores],
    }
    pd.DataFrame(log).to_csv(tmp_path / "progress.csv", index=False)
    assert time_to_reach(tmp_path, Setting(EnvConfig()).train_config(0), prepared) == 5.0


def test_a_section_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- x -->\nold\n<!-- end of x -->\nbelow\n")
    for _ in range(2):
        replace_section(page, "x", ["new"])
        assert page.read_text() == "above\n<!-- x -->\n\nnew\n\n<!-- end of x -->\nbelow\n"
    with pytest.raises(ValueError, match="no section"):
        replace_section(page, "y", [])


def test_the_pages_show_the_data() -> None:
    """Every row of the tables is what the committed runs give."""
    found = read_json(RESULTS / "learning.json")
    page = (DOCS / "learning.md").read_text()
    tables = (quality_table(found), relative_table(found), reference_table(found))
    for line in itertools.chain(*tables):
        assert line in page


def test_every_setting_has_a_file_of_its_own(tmp_path: Path) -> None:
    assert len({run_file(tmp_path, name, 0) for name in SETTINGS}) == len(SETTINGS)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_study_goes_on_where_it_stood(tmp_path: Path) -> None:
    page = tmp_path / "learning.md"
    page.write_text("<!-- learning -->\n<!-- end of learning -->\n")
    study = Settings(
        "study", tmp_path / "runs", only=("synthetic",), quick=True, workers=1, docs=tmp_path
    )
    learning.main(study)
    files = [run_file(study.folder, "synthetic", seed) for seed in (0, 1)]
    assert {read_json(path)["seed"] for path in files} == {0, 1}
    files[1].unlink()
    before = files[0].stat().st_mtime_ns
    learning.main(study)
    assert files[1].exists()
    assert files[0].stat().st_mtime_ns == before
    learning.main(Settings("table", study.folder, docs=tmp_path, results=tmp_path))
    assert "| synthetic | 2 | " in page.read_text()
    assert len(read_json(tmp_path / "learning.json")["synthetic"]) == 2

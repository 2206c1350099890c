"""Learning quality, on the validation-chosen defaults: slow, run with ``-m slow``."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from marl_stl_agents.evaluation.rollout_metrics import baselines

from benchmarks.studies.learning import run
from benchmarks.studies.learning_settings import SETTINGS
from marl_stl_env.data import prepare

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def evaluated(setting: str, data_dir: Path | None = None) -> dict[str, Any]:
    known = SETTINGS[setting]
    known = replace(known, env=replace(known.env, data=replace(known.env.data, data_dir=data_dir)))
    return run(known, 0, "test", baselines(known.env, prepare(known.env), "test"))[0]


def test_full_views_reach_bayes_rule() -> None:
    result = evaluated("synthetic, full views")
    assert result["bayes_ratio"] >= 0.95


def test_partial_views_reach_the_vote_of_bayes_rules() -> None:
    result = evaluated("synthetic")
    assert result["bayes_vote_ratio"] >= 1.0


@pytest.mark.data
def test_nsl_kdd_stratified(data_dir: Path) -> None:
    result = evaluated("nsl-kdd stratified, full views", data_dir)
    assert result["decision"]["f1"] >= 0.97

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.unseen import Settings, Verdicts, deal_types, figures, forest, teams, verdicts
from marl_stl_env.config import EnvConfig, RewardConfig
from tests.data.tables import make_table


def test_every_type_is_left_out_once() -> None:
    families = np.repeat(np.arange(13), 3)
    table = make_table(np.zeros((39, 1)), families > 0, families)
    folds = deal_types(table, seed=3)
    assert len(folds) == 5
    assert sorted(name for fold in folds for name in fold) == sorted(table.family_names[1:])
    assert folds != deal_types(table, seed=4)


def test_known_types_are_not_judged() -> None:
    families = np.array([0, 0, 1, 2, 2])
    table = make_table(np.zeros((5, 1)), families > 0, families)
    env = EnvConfig(holdout_families=("family 2",))
    found = verdicts(env, table, np.array([0.1, 0.2, 0.3, 0.4, 0.5]))
    assert found.types.tolist() == [-1, -1, 2, 2]
    assert found.scores.tolist() == [0.1, 0.2, 0.4, 0.5]


def test_figures_by_hand() -> None:
    """Type 1 is caught 3 times of 3, type 2 once of 4: recall .625; one false alarm of 10."""
    first = Verdicts(np.repeat([-1, 1], [5, 3]), np.array([0, 0, 0, 0, 3, 3, 3, 2.0]))
    second = Verdicts(np.repeat([-1, 2], [5, 4]), np.array([0, 0, 0, 1, 1, 0, 0, 1, 2.0]))
    found = figures([first, second], 2.0, 0.4, RewardConfig())
    assert found["recall"] == 0.625
    assert found["false_alarms"] == 0.1
    tp, fn, fp, tn = 0.25, 0.15, 0.06, 0.54
    assert found["reward"] == pytest.approx(10 * tp + tn - 8 * fp - 10 * fn)
    assert found["f1"] == pytest.approx(tp / (tp + (fp + fn) / 2))


def test_teams_differ() -> None:
    known = teams(EnvConfig(dataset="nsl-kdd"))
    assert len({(team.env, team.ppo) for team in known.values()}) == len(known)
    assert replace(known["fewer decoys"].env, decoys=0.25) == known["entropy 0.05"].env


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.timeout(1800)
def test_the_reference_forest(data_dir: Path) -> None:
    """Leaving attack types out finds the threshold that makes a forest good on KDDTest+."""
    found = forest(EnvConfig(dataset="nsl-kdd", data_dir=data_dir), Settings("forest"))
    assert found["threshold"] < 0.1
    assert found["test"]["f1"] == pytest.approx(0.94, abs=0.01)
    assert found["test"]["reward_per_event"] == pytest.approx(5.39, abs=0.15)

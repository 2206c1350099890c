from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.studies.learning_settings import PROTOTYPES, SETTINGS, UNSEEN_ATTACKS
from benchmarks.studies.unseen import (
    CLASSES,
    Settings,
    Verdicts,
    assign_types,
    by_threshold,
    each_fold,
    figures,
    forest,
    joined,
    teams,
    verdicts,
)
from marl_stl_env.config import ConsensusConfig, DataConfig, EnvConfig, RewardConfig
from marl_stl_env.data.prepare import prepare
from tests.conftest import FOUR
from tests.data.tables import make_table


def test_every_type_is_left_out_once() -> None:
    families = np.repeat(np.arange(13), 3)
    table = make_table(np.zeros((39, 1)), families > 0, families)
    folds = assign_types(table, seed=3)
    assert len(folds) == 5
    assert sorted(name for fold in folds for name in fold) == sorted(table.family_names[1:])
    assert folds != assign_types(table, seed=4)


@pytest.mark.data
def test_the_classes_hold_every_type_of_the_training_file(data_dir: Path) -> None:
    """Each fold leaves out one class, and the classes are all types, each once."""
    env = EnvConfig(data=DataConfig(dataset="nsl-kdd", data_dir=data_dir))
    folds = list(each_fold(env, Settings("teams", hold="classes")))
    assert [config.data.holdout_families for config, _ in folds] == list(CLASSES.values())
    table = prepare(env).tables["train"]
    known = {table.family_names[code] for code in np.unique(table.families[table.labels])}
    assert sorted(name for types in CLASSES.values() for name in types) == sorted(known)
    for types, (_, prepared) in zip(CLASSES.values(), folds, strict=True):
        left, kept = prepared.tables["validation"], prepared.tables["train"]
        codes = [left.family_names.index(name) for name in types]
        assert not np.isin(kept.families, codes).any()
        assert set(codes) <= set(np.unique(left.families).tolist())


def test_known_types_are_not_evaluated() -> None:
    families = np.array([0, 0, 1, 2, 2])
    table = make_table(np.zeros((5, 1)), families > 0, families)
    env = EnvConfig(data=DataConfig(holdout_families=("family 2",)))
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


def test_votes_of_teams_add_up_fold_by_fold() -> None:
    folds = [np.array([-1, 1, 1]), np.array([-1, 2])]
    first = [Verdicts(folds[0], np.array([0.0, 2, 3])), Verdicts(folds[1], np.array([1.0, 4]))]
    second = [Verdicts(folds[0], np.array([1.0, 0, 2])), Verdicts(folds[1], np.array([0.0, 1]))]
    found = joined([first, second])
    assert [one.scores.tolist() for one in found] == [[1, 2, 5], [1, 5]]
    assert [one.types.tolist() for one in found] == [[-1, 1, 1], [-1, 2]]


def test_every_threshold_of_the_vote() -> None:
    """Type 1 has 1, 2, 3 and 4 votes of 4, benign events 0 and 2; one Byzantine sensor is borne."""
    found = [Verdicts(np.array([1, 1, 1, 1, -1, -1]), np.array([1.0, 2, 3, 4, 0, 2]))]
    rows = by_threshold(found, EnvConfig(**FOUR))
    assert [row["threshold"] for row in rows] == [2, 3]
    assert [row["recall"] for row in rows] == [0.75, 0.5]
    assert [row["false_alarms"] for row in rows] == [0.5, 0.0]
    free = by_threshold(found, EnvConfig(consensus=ConsensusConfig(max_faulty=0), **FOUR))
    assert [row["threshold"] for row in free] == [1, 2, 3, 4]


def test_teams_differ() -> None:
    known = teams(EnvConfig(data=DataConfig(dataset="nsl-kdd")))
    assert len({(team.env, team.ppo) for team in known.values()}) == len(known)
    chosen = known["entropy 0.05"]
    assert (
        replace(
            known["fewer synthetic outliers"].env,
            data=replace(known["fewer synthetic outliers"].env.data, synthetic_outliers=0.25),
        )
        == chosen.env
    )
    assert (
        replace(
            known["no synthetic outliers"].env,
            data=replace(known["no synthetic outliers"].env.data, synthetic_outliers=0.25),
        )
        == chosen.env
    )
    assert (
        replace(
            known["no balance"].env, data=replace(known["no balance"].env.data, balance="families")
        )
        == chosen.env
    )
    assert replace(known["32 sensors"].env, agents=16) == chosen.env
    assert replace(known["small batches"].ppo, batch_size=2048) == chosen.ppo
    assert {known[name].ppo for name in ("no synthetic outliers", "no balance")} == {chosen.ppo}


@pytest.mark.parametrize(
    ("setting", "name"), [(UNSEEN_ATTACKS, "entropy 0.05"), (PROTOTYPES, "2,000 prototypes")]
)
def test_the_presets_are_what_was_chosen(setting: str, name: str) -> None:
    """The study trains the presets; but for the votes needed they are teams of the folds."""
    preset, chosen = SETTINGS[setting], teams(EnvConfig(data=DataConfig(dataset="nsl-kdd")))[name]
    assert replace(preset.env, consensus=chosen.env.consensus) == chosen.env
    assert preset.ppo == chosen.ppo


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.timeout(1800)
def test_the_reference_forest(data_dir: Path) -> None:
    """Leaving attack types out finds the threshold that makes a forest good on KDDTest+."""
    found = forest(
        EnvConfig(data=DataConfig(dataset="nsl-kdd", data_dir=data_dir)), Settings("forest")
    )
    assert found["threshold"] < 0.1
    assert found["test"]["f1"] == pytest.approx(0.94, abs=0.01)
    assert found["test"]["reward_per_event"] == pytest.approx(5.39, abs=0.15)

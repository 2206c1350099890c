"""The study of the preset `certified`, and the picture of the running robustness."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from marl_stl_agents.evaluation.baselines import SupervisedBaselines, threat_groups
from marl_stl_agents.evaluation.rollouts import collect_rollout
from marl_stl_agents.imitation.evidence import EntityEvidence

from benchmarks.pictures import robustness
from benchmarks.studies import certified
from benchmarks.studies.certified import PRESET, RULES, SETTINGS, Settings, interquartile_mean
from benchmarks.studies.certified_rules import EvidenceRule
from marl_stl_env.config import DataConfig, EnvConfig
from marl_stl_env.data.prepare import prepare
from marl_stl_env.engine.engine import Engine
from marl_stl_env.types import Action


def result(seed: int, satisfied: float, reward: float) -> dict[str, Any]:
    entry = {"satisfied": satisfied, "reward": reward, "certified": satisfied > 0.95}
    return {
        "setting": "certified",
        "seed": seed,
        "split": "validation",
        "cpu_seconds": 1.0,
        "honest": entry,
        "faults": {
            "flip": entry | {"faulty": 2, "satisfied": satisfied - 0.25},
            "silent": entry | {"faulty": 2, "satisfied": 0.0},
        },
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
    mean = next(line for line in printed.splitlines() if "mean of the kinds" in line)
    assert "0.312" in mean  # of 0, .25, .375 and .375, the middle two


def test_the_interquartile_mean_leaves_a_quarter_out_at_each_end() -> None:
    assert interquartile_mean([0.0, 1.0, 2.0, 9.0]) == 1.5
    assert interquartile_mean([3.0]) == 3.0


def test_settings_are_the_preset_with_one_thing_taken_away() -> None:
    for name, config in SETTINGS.items():
        assert (config.lanes, config.stl) == (PRESET.lanes, "lagrangian")
        changed = config.iterations != PRESET.iterations
        assert changed is ("warm start" in name or name == "four views")
        assert (config != PRESET) is (name != "certified")


def test_rules_stand_under_the_shield_of_the_team_that_they_are_compared_with() -> None:
    for name, config in RULES.items():
        assert config.env.stl == PRESET.env.stl
        assert config.env.faults.faulty == 0
        team = SETTINGS.get(name.removeprefix("rule, "), PRESET)
        assert config.env.data == team.env.data


@pytest.mark.long
def test_a_rule_without_weights_votes_as_its_classifiers_say() -> None:
    """Row by row, against probabilities that were never in an observation."""
    env = EnvConfig(
        agents=4,
        views="groups",
        dynamics="response",
        data=DataConfig(dataset_options=("rows=600",)),
    )
    prepared = prepare(env)
    act = EvidenceRule(EntityEvidence(record=0.0, verdict=0.0)).act(env, prepared)
    rollout = collect_rollout(env, prepared.tables["test"], act)
    classifiers = SupervisedBaselines(env, prepared)
    own = [classifiers.of_views(seen, "test") for seen in threat_groups(env, prepared)]
    expected = np.stack([one.decisions for one in own], axis=1)
    assert 0 < (expected == Action.BLOCK).mean() < 0.5
    np.testing.assert_array_equal(rollout.actions, expected)


def test_a_verdict_outweighs_the_evidence() -> None:
    env = EnvConfig(dynamics="response", data=DataConfig(dataset_options=("rows=1000",)))
    prepared = prepare(env)
    act = EvidenceRule(EntityEvidence(record=0.0, verdict=50.0), Action.QUARANTINE).act(
        env, prepared
    )
    engine = Engine(env, prepared.tables["test"], lanes=3)
    engine.reset()
    seen = engine.observe().reshape(3 * env.agents, -1)
    column = engine.observations.layout.index
    for verdict, action in (("threat", Action.QUARANTINE), ("benign", Action.ALLOW)):
        known = seen.copy()
        known[:, column(f"verdict_{verdict}")] = 1.0
        assert set(act(known)[0]) == {action}


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
    counts, running = robustness.episode(seed=0)
    assert running.tolist() == np.minimum.accumulate(6 - counts).tolist()
    assert running[0] > 0 > running[-1]

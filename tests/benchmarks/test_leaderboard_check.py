"""Our own runs: what is true is taken, and the rest refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from benchmarks.leaderboard.check import check_run, differences
from benchmarks.leaderboard.track import Track
from marl_stl_env.config import ConsensusConfig, DataConfig, EnvConfig, RewardConfig, make_config
from marl_stl_env.errors import MarlStlError, RunError, SubmissionError
from tests.benchmarks.leaderboard_runs import TRACK, edit, set_at


def test_an_honest_run_is_accepted(runs: list[Path]) -> None:
    for seed, run in enumerate(runs):
        config, result = check_run(run, TRACK)
        claimed = json.loads((run / "evaluation.json").read_text())
        assert result.seed == config.seed == seed
        assert result.f1 == pytest.approx(claimed["decision"]["f1"])
        assert result.reward_per_event == pytest.approx(claimed["decision"]["reward_per_event"])
        assert result.normalized_score == pytest.approx(claimed["normalized_score"])
        worst = min(entry["reward_per_event"] for entry in claimed["byzantine"])
        assert result.one_byzantine == pytest.approx(worst)
        assert result.agent_steps == 2 * 32 * 8 * 4


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (set_at("decision", "f1", value=0.95), "decision.f1"),
        (set_at("decision", "tp", value=65), "decision.tp"),
        (set_at("decision", "reward_per_event", value=1.9), "decision.reward_per_event"),
        (set_at("normalized_score", value=0.99), "normalized_score"),
        (set_at("normalized_score", value=None), "normalized_score"),
        (set_at("byzantine", 5, "reward_per_event", value=1.9), "byzantine[5].reward_per_event"),
        (set_at("byzantine", value=[]), "byzantine"),
        (set_at("baselines", "oracle", "reward_per_event", value=0.5), "baselines.oracle"),
        (set_at("decision", value={}), "decision.tp"),
        (set_at("agents", "sensor_2", "recall", value=1.0), "agents.sensor_2.recall"),
        (set_at("split", value="validation"), "split"),
        (lambda content: content.pop("decision"), "decision"),
    ],
)
def test_a_tampered_evaluation_is_refused(
    run: Path, change: Callable[[Any], None], place: str
) -> None:
    edit(run / "evaluation.json", change)
    with pytest.raises(SubmissionError, match=r"evaluate (it|the run) again: marl-stl-") as caught:
        check_run(run, TRACK)
    assert place in str(caught.value)


def test_rounding_is_borne_and_nothing_else() -> None:
    found = {"decision": {"tp": 3000, "f1": 0.8}, "list": [1.0, 2.0]}
    near = {"decision": {"tp": 3002, "f1": 0.801}, "list": [1.0, 2.001], "more": 1}
    far = {"decision": {"tp": 3004, "f1": 0.803}, "list": [1.0]}
    assert not list(differences(near, found, 30_000, "all"))
    places = [place for place, _, _ in differences(far, found, 30_000, "all")]
    assert places == ["all.decision.tp", "all.decision.f1", "all.list"]
    assert list(differences({"f1": float("nan")}, {"f1": 0.5}, 100, "all"))
    assert list(differences({"f1": True}, {"f1": 0.5}, 100, "all"))


def test_other_weights_are_refused(run: Path) -> None:
    for path in run.glob("checkpoints/*/policy.safetensors"):
        weights = load_file(path)
        save_file({n: -values if "net" in n else values for n, values in weights.items()}, path)
    with pytest.raises(SubmissionError, match=r"per validation event.*marl-stl-train --restart"):
        check_run(run, TRACK)


def test_a_checkpoint_chosen_by_a_false_figure_is_refused(run: Path) -> None:
    first = min(run.glob("checkpoints/*/checkpoint.json"))
    edit(first, set_at("validation", "reward_per_event", value=1.9))
    with pytest.raises(SubmissionError, match=r"claims a reward of 1\.9000 per validation event"):
        check_run(run, TRACK)


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"threat_rate": 0.3}, "threat_rate"),
        ({"dataset_options": ("rows=5000",)}, "dataset_options"),
        ({"dataset": "nsl-kdd", "dataset_options": ()}, "dataset"),
        ({"split_method": "temporal"}, "split_method"),
        ({"split_seed": 1}, "split_seed"),
        ({"drop_duplicates": True}, "drop_duplicates"),
        ({"holdout_families": ("recon",)}, "holdout_families"),
        ({"dynamics": "response"}, "dynamics"),
        ({"reward": RewardConfig(false_positive=-1.0)}, "false_positive"),
        ({"reward": RewardConfig(alert_cost=-1.0)}, "alert_cost"),
        ({"consensus": ConsensusConfig(weights="reliability")}, "weighs votes"),
    ],
)
def test_another_task_is_refused(env: dict[str, Any], named: str) -> None:
    with pytest.raises(SubmissionError, match=rf"{named}.*train it with"):
        TRACK.check_config(Path("run"), make_config(TRACK.env, env))


def test_the_team_is_free() -> None:
    for env in (
        EnvConfig(agents=7, views="full"),
        EnvConfig(
            data=DataConfig(synthetic_outliers=0.5, balance="families"), agents=1, views="random"
        ),
        EnvConfig(deliberation=1, reward=RewardConfig(team_share=0.0), episode_length=10),
    ):
        Track().check_config(Path("run"), env)


def test_another_threat_rate_in_the_files_is_refused(run: Path) -> None:
    edit(run / "config.json", set_at("env", "data", "threat_rate", value=0.3))
    with pytest.raises(SubmissionError, match=r"threat_rate=0\.3.*has threat_rate=None"):
        check_run(run, TRACK)


def remove(name: str) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        path = run / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (remove("evaluation.json"), SubmissionError, "is not evaluated yet: marl-stl-evaluate"),
        (remove("config.json"), RunError, "not a run directory"),
        (remove("data.json"), RunError, "is missing"),
        (remove("checkpoints"), RunError, "has no checkpoint.*marl-stl-train --resume"),
        (lambda run: (run / "evaluation.json").write_text("{"), SubmissionError, "is damaged"),
        (
            lambda run: (run / "evaluation.json").write_text("[]"),
            SubmissionError,
            "evaluate the run again",
        ),
        (
            lambda run: max(run.glob("checkpoints/*/policy.safetensors")).write_bytes(b"no"),
            RunError,
            "damaged",
        ),
        (
            lambda run: edit(run / "data.json", set_at("splits", "test", "threats", value=1)),
            RunError,
            "the data differs",
        ),
    ],
)
def test_a_damaged_run_is_refused(
    run: Path, damage: Callable[[Path], Any], error: type[MarlStlError], message: str
) -> None:
    damage(run)
    with pytest.raises(error, match=message):
        check_run(run, TRACK)

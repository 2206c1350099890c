"""The leaderboard takes what is true and refuses the rest."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from agents.config import EvaluateConfig, PPOConfig, TrainConfig
from agents.evaluation import describe_data, evaluate
from agents.ppo import resolve_device
from agents.runs import new_run, write_json
from agents.training import learn
from benchmarks import leaderboard
from benchmarks.leaderboard_check import check_decisions, check_run, differences
from benchmarks.leaderboard_table import FILE, PAGE, read_entries, table
from benchmarks.leaderboard_track import Track
from marl_stl_env.config import ConsensusConfig, EnvConfig, RewardConfig
from marl_stl_env.data.prepare import prepare
from marl_stl_env.errors import MarlStlError, RunError, SubmissionError, UnknownNameError
from marl_stl_env.types import AnyArray
from tests.documents import blocks

ROOT = Path(__file__).parents[2]
TRACK = Track("toy", EnvConfig(dataset_options=("rows=4000",)))


def train(run: Path, seed: int, **env: Any) -> Path:
    """A run of two iterations, judged."""
    config = TrainConfig(
        env=replace(TRACK.env, **env),
        ppo=PPOConfig(n_steps=32, batch_size=256),
        vec="native",
        lanes=8,
        iterations=2,
        evaluate_every=1,
        seed=seed,
        run_dir=run,
        progress=False,
    )
    prepared = prepare(config.env)
    write_json(new_run(config) / "data.json", describe_data(prepared))
    assert learn(config, run, prepared, resolve_device("cpu", 1))
    evaluate(EvaluateConfig(run=run))
    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    return [train(folder / str(seed), seed) for seed in range(3)]


@pytest.fixture
def run(runs: list[Path], tmp_path: Path) -> Path:
    """A copy of the first run, to be tampered with."""
    return shutil.copytree(runs[0], tmp_path / "run")


def edit(path: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def labels() -> AnyArray:
    return TRACK.prepare().tables["test"].labels


def worth(decisions: AnyArray) -> tuple[float, float, float]:
    """F1, reward per event and normalized score, written out."""
    threat, stopped = labels(), np.isin(decisions, [1, 2])
    tp, fp = (threat & stopped).sum(), (~threat & stopped).sum()
    fn, tn = (threat & ~stopped).sum(), (~threat & ~stopped).sum()
    rows, share = len(threat), threat.mean()
    reward = (10 * tp + tn - 8 * fp - 10 * fn) / rows
    constant = max(1 - share - 10 * share, 10 * share - 8 * (1 - share))
    oracle = 10 * share + 1 - share
    return 2 * tp / (2 * tp + fp + fn), reward, (reward - constant) / (oracle - constant)


def test_an_honest_run_is_accepted(runs: list[Path]) -> None:
    for seed, run in enumerate(runs):
        config, result = check_run(run, TRACK)
        claimed = json.loads((run / "evaluation.json").read_text())
        assert result.seed == config.seed == seed
        assert result.f1 == pytest.approx(claimed["decision"]["f1"])
        assert result.reward_per_event == pytest.approx(claimed["decision"]["reward_per_event"])
        assert result.normalized_score == pytest.approx(claimed["normalized_score"])
        worst = min(entry["reward_per_event"] for entry in claimed["byzantine"])
        assert result.one_traitor == pytest.approx(worst)
        assert result.agent_steps == 2 * 32 * 8 * 4


def set_at(*place: Any, value: Any) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        for name in place[:-1]:
            content = content[name]
        content[place[-1]] = value

    return change


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
    with pytest.raises(SubmissionError, match=r"judge it anew: python evaluate\.py") as caught:
        check_run(run, TRACK)
    assert f"says {place}" in str(caught.value)


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
    with pytest.raises(SubmissionError, match=r"per validation event.*python train\.py --restart"):
        check_run(run, TRACK)


def test_a_checkpoint_chosen_by_a_false_figure_is_refused(run: Path) -> None:
    first = min(run.glob("checkpoints/*/checkpoint.json"))
    edit(first, set_at("validation", "reward_per_event", value=1.9))
    with pytest.raises(SubmissionError, match=r"says that it earns 1\.9000 per validation event"):
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
        ({"consensus": ConsensusConfig(weights="audited")}, "audited"),
    ],
)
def test_another_task_is_refused(env: dict[str, Any], named: str) -> None:
    with pytest.raises(SubmissionError, match=rf"{named}.*train it with"):
        TRACK.check_config(Path("run"), replace(TRACK.env, **env))


def test_the_team_is_free() -> None:
    for env in (
        EnvConfig(agents=7, views="full"),
        EnvConfig(agents=1, decoys=0.5, balance="families", random_views=0.5),
        EnvConfig(deliberation=1, reward=RewardConfig(team_share=0.0), episode_length=10),
    ):
        Track().check_config(Path("run"), env)


def test_another_threat_rate_in_the_files_is_refused(run: Path) -> None:
    edit(run / "config.json", set_at("env", "threat_rate", value=0.3))
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
        (remove("evaluation.json"), SubmissionError, "was not judged yet: python evaluate.py"),
        (remove("config.json"), RunError, "not a run directory"),
        (remove("data.json"), RunError, "is missing"),
        (remove("checkpoints"), RunError, "has no checkpoint"),
        (lambda run: (run / "evaluation.json").write_text("{"), RunError, "is damaged"),
        (lambda run: (run / "evaluation.json").write_text("[]"), SubmissionError, "judge it anew"),
        (
            lambda run: max(run.glob("checkpoints/*/policy.safetensors")).write_bytes(b"no"),
            RunError,
            "does not hold",
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


def guesses(agents: int, seed: int = 0) -> AnyArray:
    """Sensors that are right four times of five.  # (rows, agents) int8."""
    rng = np.random.default_rng(seed)
    threat = labels()[:, None] ^ (rng.random((len(labels()), agents)) < 0.2)
    return np.where(threat, rng.integers(1, 3, threat.shape), 3 * rng.integers(0, 2, threat.shape))


def write(path: Path, decisions: AnyArray, actions: AnyArray | None = None) -> Path:
    frame = pd.DataFrame({"event": np.arange(len(decisions)), "decision": decisions})
    for sensor in range(0 if actions is None else actions.shape[1]):
        frame[f"sensor_{sensor}"] = actions[:, sensor]  # type: ignore[index]
    frame.sample(frac=1, random_state=0).to_parquet(path)
    return path


def test_foreign_decisions_are_judged_alike(tmp_path: Path) -> None:
    decisions = guesses(1)[:, 0]
    result = check_decisions(write(tmp_path / "d.parquet", decisions), TRACK, 5, agent_steps=10)
    f1, reward, relative = worth(decisions)
    assert result.f1 == pytest.approx(f1)
    assert result.reward_per_event == pytest.approx(reward)
    assert result.normalized_score == pytest.approx(relative)
    assert (result.seed, result.agent_steps, result.one_traitor) == (5, 10, None)


def test_names_of_actions_serve_as_well(tmp_path: Path) -> None:
    decisions = guesses(1)[:, 0]
    names = np.array(["ALLOW", "BLOCK", "QUARANTINE", "ALERT"])[decisions]
    by_name = check_decisions(write(tmp_path / "names.parquet", names), TRACK, 0)
    assert by_name == check_decisions(write(tmp_path / "values.parquet", decisions), TRACK, 0)


def test_decisions_of_our_own_run_get_the_figures_of_its_checkpoint(
    runs: list[Path], tmp_path: Path
) -> None:
    """Two ways to the same figures: from the weights, and from what ``--decisions`` writes."""
    from agents.checkpoints import best_checkpoint
    from agents.judging import greedy, judge
    from agents.ppo import saved_policy
    from agents.runs import read_config
    from marl_stl_env.engine.engine import Engine
    from marl_stl_env.envs.spaces import observation_space

    config, test = read_config(runs[0]), TRACK.prepare().tables["test"]
    space = observation_space(Engine(config.env, test, lanes=1))
    device = resolve_device("cpu", 1)
    said = judge(
        config.env, test, greedy(saved_policy(config, space, best_checkpoint(runs[0]), device))
    )
    path = write(tmp_path / "own.parquet", said.decisions, said.actions)
    _, expected = check_run(runs[0], TRACK)
    assert check_decisions(path, TRACK, 0, agent_steps=expected.agent_steps) == expected


def test_a_unanimous_team_bears_a_traitor(tmp_path: Path) -> None:
    same = np.repeat(guesses(1), 4, axis=1)
    result = check_decisions(write(tmp_path / "d.parquet", same[:, 0], same), TRACK, 0)
    assert result.one_traitor == pytest.approx(result.reward_per_event)
    three = same[:, :3]
    assert (
        check_decisions(write(tmp_path / "e.parquet", three[:, 0], three), TRACK, 0).one_traitor
        is None
    )


def test_a_traitor_among_the_two_who_see_a_threat_decides(tmp_path: Path) -> None:
    """Two of four see every threat and nobody errs: one liar, drawn alike, hides half of them."""
    actions = np.zeros((len(labels()), 4), np.int8)
    actions[labels(), :2] = 1
    result = check_decisions(write(tmp_path / "d.parquet", labels().astype(int), actions), TRACK, 0)
    assert result.normalized_score == 1.0
    threats, rows = labels().sum(), len(labels())
    hidden = (result.reward_per_event - (result.one_traitor or 0.0)) * rows / 20
    assert hidden == pytest.approx(threats / 2, abs=3 * np.sqrt(threats) / 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame[1:], "every test event from 0 to 598 once; it has 598 rows"),
        (lambda frame: pd.concat([frame[1:], frame[-1:]]), "599 rows, 598 of them different"),
        (lambda frame: frame.drop(columns="decision"), "has no column 'decision'"),
        (lambda frame: frame.drop(columns="event"), "has no column 'event'"),
        (lambda frame: frame.assign(decision=4), r"holds 4; actions are ALLOW \(0\)"),
        (lambda frame: frame.assign(decision="Block"), "holds Block"),
        (lambda frame: frame.assign(decision=np.nan), "holds nan"),
        (lambda frame: frame.assign(sensor_1=0), r"sensors are \['sensor_0'\]"),
        (lambda frame: frame.assign(sensor_0=3 - frame["decision"]), "is not the vote of the 1"),
    ],
)
def test_decisions_that_are_not_what_was_asked_are_refused(
    tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    path = write(tmp_path / "d.parquet", guesses(1)[:, 0])
    change(pd.read_parquet(path)).to_parquet(path)
    with pytest.raises(SubmissionError, match=message):
        check_decisions(path, TRACK, 0)
    path.write_text("no Parquet")
    with pytest.raises(SubmissionError, match="cannot be read as Parquet"):
        check_decisions(path, TRACK, 0)


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> leaderboard.Board:
    """An empty leaderboard of the toy track."""
    monkeypatch.setattr(leaderboard, "TRACK", TRACK)
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n<!-- entries -->\n<!-- end of entries -->\n\nThe end.\n")
    return leaderboard.Board(tmp_path / "board.json", page)


def command(monkeypatch: pytest.MonkeyPatch, board: leaderboard.Board, *words: object) -> int:
    places = ("--board.file", board.file, "--board.page", board.page)
    monkeypatch.setattr(sys, "argv", ["leaderboard", *map(str, words), *map(str, places)])
    return leaderboard.main()


def test_the_command_adds_a_row(
    runs: list[Path],
    board: leaderboard.Board,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    assert command(monkeypatch, board, "check", *runs, "--name", "ours", "--add") == 0
    printed = capsys.readouterr().out
    assert "checked: 3 of 3" in printed
    files = [write(tmp_path / f"{i}.parquet", guesses(1, i)[:, 0]) for i in range(3)]
    words = ["check", "--decisions", *files, "--name", "theirs", "--team", "a tree", "--add"]
    assert command(monkeypatch, board, *words, "--cpu-seconds", 1, 2, 3) == 0
    theirs, ours = entries = read_entries(board.file)
    assert [entry.name for entry in entries] == ["theirs", "ours"]
    assert [one.cpu_seconds for one in theirs.results] == [1, 2, 3]
    page = board.page.read_text()
    assert all(line in page for line in table(entries))
    assert page.startswith("# Title")
    assert page.endswith("The end.\n")
    mean = np.mean([one.normalized_score for one in ours.results])
    assert f"| ours | 4 sensors, groups | 3 | {mean:.3f}" in page
    assert next(line for line in page.splitlines() if line.startswith("| ours")) in printed
    assert command(monkeypatch, board, "check", *runs, "--name", "ours", "--add") == 0
    assert read_entries(board.file) == entries


def test_the_command_wants_three_seeds_of_one_training(
    runs: list[Path],
    board: leaderboard.Board,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    assert command(monkeypatch, board, "check", runs[0], "--add") == 0
    assert "at least 3 seeds: 2 to go" in capsys.readouterr().out
    assert not board.file.exists()
    assert command(monkeypatch, board, "check", runs[0], runs[1], runs[0], "--add") == 2
    assert "SubmissionError: seeds [0, 1, 0] repeat" in capsys.readouterr().err
    other = shutil.copytree(runs[1], tmp_path / "other")
    edit(other / "config.json", set_at("ppo", "learning_rate", value=0.1))
    assert command(monkeypatch, board, "check", runs[0], other) == 2
    assert "differ in --seed alone" in capsys.readouterr().err
    assert command(monkeypatch, board, "check") == 2
    assert "give run directories, or --decisions" in capsys.readouterr().err
    assert command(monkeypatch, board, "check", runs[0], "--cpu-seconds", 1, 2) == 2
    assert "2 values for 1 seeds" in capsys.readouterr().err


def test_the_example_of_the_page(
    board: leaderboard.Board,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    (_, script), (_, line) = blocks("leaderboard.md")
    exec(compile(script, "leaderboard.md", "exec"), {})
    program, *words = shlex.split(line)
    assert [program, *words[:2]] == ["python", "-m", "benchmarks.leaderboard"]
    assert command(monkeypatch, board, *words[2:]) == 0
    row = capsys.readouterr().out.splitlines()[-1]
    files = [pd.read_parquet(f"tree-{seed}.parquet") for seed in range(3)]
    expected = np.mean([worth(frame["decision"].to_numpy())[2] for frame in files])
    assert 0.2 < expected < 1.0
    assert row.startswith("| decision tree |  | 3 | ")
    assert float(row.split("|")[4].split("[")[0]) == pytest.approx(expected, abs=5e-4)


def test_events_are_written_without_the_labels_of_the_test(
    board: leaderboard.Board, tmp_path: Path
) -> None:
    assert leaderboard.events(tmp_path / "events") == 0
    for split, expected in TRACK.prepare().tables.items():
        frame = pd.read_parquet(tmp_path / "events" / f"{split}.parquet")
        assert ("label" in frame) == (split != "test")
        np.testing.assert_array_equal(frame[list(expected.feature_names)], expected.features)
        assert frame["event"].tolist() == list(range(len(expected)))
        if split != "test":
            np.testing.assert_array_equal(frame["label"], expected.labels)


def test_the_baselines_command_trains_judges_and_adds(
    board: leaderboard.Board, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small = replace(leaderboard.BASELINES["short, parts"], env=TRACK.env, lanes=4, iterations=1)
    monkeypatch.setattr(leaderboard, "BASELINES", {"small": small})
    assert leaderboard.baselines(tmp_path / "runs", (0, 1, 2), board=board) == 0
    entries = {entry.name: entry for entry in read_entries(board.file)}
    assert len(entries) == 6
    assert [one.seed for one in entries["small"].results] == [0, 1, 2]
    assert all(one.cpu_seconds and one.cpu_seconds > 0 for one in entries["small"].results)
    assert entries["best constant"].score == 0.0
    best = entries["Bayes' rule, all columns"].score
    assert max(entry.score for entry in entries.values()) == best
    with pytest.raises(UnknownNameError, match="known: small"):
        leaderboard.baselines(tmp_path / "runs", only=("smal",), board=board)


def test_the_page_shows_the_file() -> None:
    entries = read_entries(ROOT / FILE)
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    section = page.split("<!-- entries -->", 1)[1].split("<!-- end of entries -->", 1)[0]
    assert section.strip().splitlines() == table(entries)
    assert {entry.name for entry in entries} >= set(leaderboard.BASELINES)
    assert [entry.score for entry in entries] == sorted((e.score for e in entries), reverse=True)
    for entry in entries:
        assert len(entry.results) >= (1 if entry.kind == "reference" else 3)


def test_the_page_names_every_refusal_and_every_free_setting() -> None:
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    for command_line in ("baselines --folder", "check RUN", "--decisions", "events --folder"):
        assert command_line in page

"""Runs with parts of the user's own, from the command line alone."""

import json
import shutil
from pathlib import Path
from textwrap import dedent

import pytest
from marl_stl_agents.checkpoints.store import list_checkpoints
from marl_stl_agents.command_line import run_command
from marl_stl_agents.commands.compare import CompareConfig
from marl_stl_agents.commands.compare import main as compare
from marl_stl_agents.commands.export import ExportConfig
from marl_stl_agents.commands.export import main as export
from marl_stl_agents.run_directory import read_config, read_json

from marl_stl_env.consensus.rules import RULES
from marl_stl_env.plugins import temporary_plugins
from tests.programs import run_program

PLUGIN = '''
    """One of each kind."""

    import numpy as np
    import marl_stl_env as mse
    from marl_stl_env.consensus.faults import Constant

    @mse.register_dataset("pings")
    def pings(rows: int = 900):
        """Pings, some of them forged."""
        rng = np.random.default_rng(0)
        labels = rng.random(rows) < 0.2
        return mse.TrafficTable(
            name="pings",
            features=rng.normal(2.0 * labels[:, None], 1.0, (rows, 4)).astype(np.float32),
            labels=labels,
            families=labels.astype(np.int16),
            family_names=("echo", "forged"),
            feature_names=("a", "b", "c", "d"),
            views={"one": (0, 1), "two": (2, 3)},
        )

    @mse.register_reward("twice")
    def twice(table, payoffs):
        return 2.0 * payoffs

    @mse.register_rule("lone")
    def lone(actions, max_faulty, threshold):
        return np.where(np.isin(actions, (1, 2)).sum(axis=1) > max_faulty, 1, 0)

    @mse.register_fault("stubborn")
    class Stubborn(Constant):
        """Blocks everything."""

        claim = 1

    @mse.register_spec_signal("torn", needs_labels=False)
    def torn(step):
        return np.isin(step.actions, (1, 2)).mean(axis=1) == 0.5
    '''
FLAGS = (
    *("--dataset", "pings", "--reward-function", "twice", "--rule", "lone", "--stl", "monitor"),
    *("--faulty", "1", "--fault", "stubborn", "--agents", "4", "--views", "groups"),
    *("--backend", "native", "--lanes", "4", "--n-steps", "16", "--episode-length", "32"),
    *("--width", "8", "--evaluate-every", "1", "--no-preflight", "--no-progress"),
)
SPEC = "united=G[4,inf) (not historically[0,4] torn)"


def run(*line: str | Path) -> int:
    """A command in a process that has imported no plugin, as far as plugins go."""
    with temporary_plugins():
        return run_program(*line)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run with a plugin, and the plugin."""
    folder = tmp_path_factory.mktemp("own")
    plugin = folder / "own_parts.py"
    plugin.write_text(dedent(PLUGIN), encoding="utf-8")
    flags = (*FLAGS, "--plugin", str(plugin), "--specs", SPEC, "--iterations", "1")
    assert run("train.py", *flags, "--run-dir", folder / "run") == 0
    return folder / "run", plugin


@pytest.fixture
def mine(trained: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of the run of a test's own; its plugin stays where it is."""
    shutil.copytree(trained[0], tmp_path / "run")
    return tmp_path / "run"


def test_the_run_names_everything_in_plain_data(trained: tuple[Path, Path]) -> None:
    folder, plugin = trained
    env = read_json(folder / "config.json")["env"]
    assert (env["plugins"], env["data"]["dataset"]) == ([str(plugin)], "pings")
    assert (env["consensus"]["rule"], env["reward"]["reward_function"]) == ("lone", "twice")
    (recorded,) = read_json(folder / "plugins.json")["plugins"]
    assert recorded["name"] == recorded["file"] == str(plugin)
    assert len(recorded["sha256"]) == 64


def test_it_is_evaluated_reported_and_exported(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = trained
    assert run("evaluate.py", folder, "--certify", "8", "--report") == 0
    result = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    names = [entry["fault"] for entry in result["byzantine"]]
    assert "stubborn" in names
    assert len(names) == len(set(names)) == 7
    assert "stubborn" in [entry["fault"] for entry in result["stl_byzantine"]]
    # The reward pays twice as much: 2 for a benign event, -20 for a threat that passes.
    threats = result["threat_rate"]
    allowing = result["baselines"]["always_allow"]["reward_per_event"]
    assert allowing == pytest.approx(2.0 * (1.0 - threats) - 20.0 * threats)
    assert "united" in result["stl"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "stubborn" in page
    assert "united" in page
    out = tmp_path / "policy.zip"
    line = [str(folder), "--out", str(out)]
    with temporary_plugins():
        assert run_command(ExportConfig, export, "", arguments=line) == 0
    assert out.is_file()


def test_other_faults_are_asked_for(mine: Path, tmp_path: Path) -> None:
    extra = tmp_path / "more_faults.py"
    extra.write_text(
        dedent(
            """
            import marl_stl_env as mse
            from marl_stl_env.consensus.faults import Constant

            @mse.register_fault("alarmist")
            class Alarmist(Constant):
                claim = 3
            """
        ),
        encoding="utf-8",
    )
    line = (mine, "--certify", "0", "--threshold-on", "off")
    assert run("evaluate.py", *line, "--plugin", extra, "--faults", "alarmist") == 0
    found = [entry["fault"] for entry in read_json(mine / "evaluation.json")["byzantine"]]
    assert found[-2:] == ["stubborn", "alarmist"]


def test_it_is_resumed_and_compared(mine: Path, trained: tuple[Path, Path]) -> None:
    folder, _ = trained
    assert run("train.py", "--resume", mine, "--iterations", "2", "--no-progress") == 0
    assert len(list_checkpoints(mine)) == 2
    line = [str(mine), str(folder), "--split", "validation"]
    with temporary_plugins():  # nothing is imported: there is nothing to look up
        assert run_command(CompareConfig, compare, "", arguments=line) == 0
        assert "lone" not in RULES


def test_it_decides_on_new_traffic(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As an own set has no files, a file has its columns and, where known, ``label``."""
    plugin = trained[1]
    out, traffic = tmp_path / "run", tmp_path / "new.csv"
    quiet = [flag for flag in FLAGS if flag not in ("--stl", "monitor")]
    line: tuple[str | Path, ...] = (
        *quiet,
        "--plugin",
        str(plugin),
        "--iterations",
        "1",
        "--run-dir",
        out,
    )
    assert run("train.py", *line) == 0
    traffic.write_text("a,b,c,d,label\n3,3,3,3,forged\n-1,0,-1,0,benign\n", encoding="utf-8")
    decisions = tmp_path / "out.csv"
    command = ("-m", "marl_stl_agents.commands.decide", out, "--input", traffic)
    assert run(*command, "--decisions", decisions) == 0
    assert len(decisions.read_text(encoding="utf-8").splitlines()) == 3


def test_a_changed_plugin_is_refused_until_it_is_named_again(
    mine: Path, trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((mine / "config.json").read_text(encoding="utf-8"))
    plugin = tmp_path / "own_parts.py"
    plugin.write_text(dedent(PLUGIN) + "\n# changed\n", encoding="utf-8")
    for name in ("config.json", "plugins.json"):
        text = (mine / name).read_text(encoding="utf-8").replace(str(trained[1]), str(plugin))
        (mine / name).write_text(text, encoding="utf-8")
    assert config["env"]["plugins"] != read_json(mine / "config.json")["env"]["plugins"]
    assert run("evaluate.py", mine) == 2
    said = capsys.readouterr().err
    assert "is not the one that" in said
    assert f"--plugin {plugin}" in said
    line: tuple[str, ...] = ("--iterations", "2", "--no-progress")
    assert run("train.py", "--resume", mine, *line) == 2
    assert run("train.py", "--resume", mine, *line, "--plugin", plugin) == 0
    assert run("evaluate.py", mine, "--certify", "0") == 0  # the new one is recorded


def test_a_plugin_that_has_moved(
    mine: Path, trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = str(tmp_path / "gone" / "own_parts.py")
    for name in ("config.json", "plugins.json"):
        text = (mine / name).read_text(encoding="utf-8").replace(str(trained[1]), gone)
        (mine / name).write_text(text, encoding="utf-8")
    assert run("evaluate.py", mine) == 2
    said = capsys.readouterr().err
    assert "not there any more" in said
    assert "--plugin PATH/own_parts.py" in said
    assert run("evaluate.py", mine, "--certify", "0", "--plugin", trained[1]) == 0
    assert read_config(mine).env.plugins == (gone,)  # an evaluation changes no configuration


def test_data_sets_are_listed_and_described(
    trained: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    command, (_, plugin) = ("-m", "marl_stl_agents.commands.data"), trained
    assert run(*command, "list", "--plugin", plugin) == 0
    assert "Pings, some of them forged." in capsys.readouterr().out
    assert run(*command, f"--plugin={plugin}", "check", "pings", "--agents", "4") == 0
    assert "forged" in capsys.readouterr().out
    assert run(*command, "describe", "pings") == 2
    assert "unknown dataset 'pings'" in capsys.readouterr().err
    assert run(*command, "list", "--plugin") == 2
    assert "--plugin needs" in capsys.readouterr().err

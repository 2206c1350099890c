"""Every example runs, is short, and can be trained on as it says."""

import runpy
import shlex
from pathlib import Path

import pytest
from marl_stl_agents.command_line import parse_config
from marl_stl_agents.commands.options import TrainCommand

from marl_stl_env.engine.engine import Engine
from marl_stl_env.plugins import temporary_plugins
from tests.documents import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("own_*.py"))
PRINTED = {
    "own_dataset": "sensor_0 sees",
    "own_reward": "leaks    allowing everything earns -",
    "own_rule": "ALLOW, ALERT, BLOCK, QUARANTINE, QUARANTINE: BLOCK, built in QUARANTINE",
    "own_spec": "violate 'united'",
}


def test_there_is_an_example_of_each_kind() -> None:
    assert {path.stem for path in EXAMPLES} == set(PRINTED)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_runs(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with temporary_plugins():
        runpy.run_path(str(path), run_name="__main__")
    assert PRINTED[path.stem] in capsys.readouterr().out
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 80


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.long
def test_its_command_line_trains_in_what_it_registers(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    (line,) = (part for part in text.splitlines() if "python train.py" in part)
    arguments = shlex.split(line.partition("train.py")[2])
    monkeypatch.chdir(ROOT)
    with temporary_plugins():
        task = parse_config(TrainCommand, arguments, "").settings().task
        assert task.plugins == (str(path),)
        Engine.from_config(task, lanes=1).reset()

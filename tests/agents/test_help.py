"""``--help`` of the commands begins with what the command does."""

import io
import sys
from pathlib import Path

import pytest
from marl_stl_agents import scripts
from marl_stl_agents.command_line import parse_config, run_command
from marl_stl_agents.commands import data
from marl_stl_agents.config.evaluate import DecideConfig

from tests.programs import run_program

COMMANDS = {
    ("train.py",): "Train a team of sensors on labelled traffic.",
    ("evaluate.py",): "Evaluate a trained team on every event of a split.",
    ("-m", "marl_stl_agents.commands.decide"): "Let a trained team decide on new traffic.",
    ("-m", "marl_stl_agents.commands.serve"): (
        "Let a trained team decide on a log while it grows."
    ),
    ("-m", "marl_stl_agents.commands.adversarial"): (
        "Train a team in turns against attackers that disguise their own events."
    ),
    ("-m", "marl_stl_agents.commands.data", "check"): (
        "Check a data set: its splits, its labels, and what can be learned from it."
    ),
}


@pytest.mark.parametrize(("program", "description"), COMMANDS.items(), ids=str)
def test_help_says_what_the_command_does(
    program: tuple[str, ...],
    description: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert run_program(*program, "--help") == 0
    lines = capsys.readouterr().out.splitlines()
    options = next(i for i, line in enumerate(lines) if "options" in line)
    assert description in (line.strip() for line in lines[:options])


@pytest.mark.parametrize(
    "arguments", [["--input=~/in.csv", "~/run"], ["--input", "~/in.csv", "~/run"]]
)
def test_the_home_folder_in_a_path(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setenv("HOME", "/folder/of/one")
    config = parse_config(DecideConfig, arguments, "")
    assert (config.input, config.run) == (Path("/folder/of/one/in.csv"), Path("/folder/of/one/run"))


def test_the_keyboard_interrupts_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(_: object) -> None:
        raise KeyboardInterrupt

    assert run_command(DecideConfig, act, "", arguments=["--input", "in.csv"]) == 130
    monkeypatch.setattr(data, "describe", act)
    assert data.main(["describe", "kdd99"]) == 130
    monkeypatch.setattr(scripts, "import_module", act)  # libraries take seconds
    assert scripts.serve() == 130
    assert capsys.readouterr().err == "interrupted\n" * 3


def test_the_commands_for_data_say_what_they_take(capsys: pytest.CaptureFixture[str]) -> None:
    for line, said in (
        (["check"], "check takes the name of a data set, not nothing"),
        (["clear", "kdd99"], "clear takes nothing more, not kdd99"),
        (["download", "synthetic"], "synthetic has no publisher: there is nothing to download"),
    ):
        assert data.main(line) == 2
        assert said in capsys.readouterr().err


def test_output_may_lack_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns may be called anything, and a pipe may have few letters."""
    bare = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(bare, encoding="latin-1"))

    def act(_: DecideConfig) -> None:
        sys.stdout.write("Größe … 日本\n")

    assert run_command(DecideConfig, act, "", arguments=["--input", "in.csv"]) == 0
    sys.stdout.flush()
    assert bare.getvalue() == "Größe \\u2026 \\u65e5\\u672c\n".encode("latin-1")

"""What a person sees while a command works: one line a step, and bars in a terminal alone."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
from marl_stl_agents.console import output
from marl_stl_agents.console.output import PlainConsole, show, working
from marl_stl_agents.console.tables import show_specs
from marl_stl_agents.evaluation.result import Robustness, SpecResult
from marl_stl_agents.training.progress import ProgressCallback
from rich.table import Table


def console(terminal: bool) -> tuple[PlainConsole, io.StringIO]:
    file = io.StringIO()
    return PlainConsole(file=file, force_terminal=terminal, width=200, color_system=None), file


def test_every_step_is_a_line_and_no_bar_goes_into_a_file() -> None:
    target, file = console(terminal=False)
    with working(target) as step:
        step("reading [bold]a[/bold]")
        step("drawing")
    assert file.getvalue().splitlines() == ["reading [bold]a[/bold] ...", "drawing ..."]


def test_a_bar_moves_in_a_terminal_and_goes_when_the_work_is_done() -> None:
    target, file = console(terminal=True)
    with working(target) as step:
        step("drawing")
    shown = file.getvalue()
    assert "drawing ..." in shown
    assert "0:00:00" in shown
    assert shown.endswith("\x1b[2K")  # the line of the bar is cleared


def test_a_training_counts_agent_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    target, file = console(terminal=True)
    monkeypatch.setattr(output, "_console", target)
    bar = ProgressCallback(2_000)
    model: Any = SimpleNamespace(num_timesteps=0)
    bar.model = model
    bar.on_training_start({}, {})
    bar.on_rollout_start()
    for done in (1_000, 2_000):
        model.num_timesteps = done
        bar.on_step()
    bar.on_rollout_end()
    bar.on_training_end()
    shown = file.getvalue()
    assert "2,000/2,000" in shown
    assert "agent-steps/s" in shown
    assert "learning, then validating" in shown
    assert "it/s" not in shown


def test_a_name_that_does_not_fit_is_broken() -> None:
    """Logs are 80 columns wide, and a fault or a specification is known by its whole name."""
    target, file = console(terminal=False)
    table = Table()
    for number in range(9):
        table.add_column(f"column_{number}")
    table.add_row(*["always_quarantine_and_more_of_a_name"] * 9)
    show(table, target)
    assert "\u2026" not in file.getvalue()
    rows = [line.split("│")[1:-1] for line in file.getvalue().splitlines() if "│" in line]
    assert "".join(row[0].strip() for row in rows) == "always_quarantine_and_more_of_a_name"


def test_a_specification_that_never_counted_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """ "G[64,inf)" in episodes of 64 steps: satisfied, certified, and about nothing."""
    common: dict[str, Any] = {
        "episodes": 60, "certified": True, "epsilon": 0.05, "delta": 0.05, "margin": None,
        "lower_bound": 0.95, "kept_by": (),
    }  # fmt: skip
    nothing = SpecResult(satisfied=1.0, robustness=Robustness(None, None), **common)
    some = SpecResult(satisfied=1.0, robustness=Robustness(None, 0.5), **common)
    violated = SpecResult(satisfied=0.0, robustness=Robustness(None, None), **common)
    show_specs({"posture": nothing, "quiet": some, "reached": violated, "conjunction": some})
    told = " ".join(capsys.readouterr().out.split())
    assert "every episode ended before it counted: posture. Satisfied says nothing" in told
    show_specs({"quiet": some, "conjunction": some})
    assert "before it counted" not in capsys.readouterr().out

"""Command lines of any flags and values: a configuration, or one line and status 2."""

import contextlib
import io

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from marl_stl_agents.command_line import run_command
from marl_stl_agents.commands.options import PYTHON_ONLY, TrainCommand
from marl_stl_agents.commands.presets import PRESETS
from marl_stl_agents.config import DecideConfig, EvaluateConfig

_FLAGS = (
    "--env", "--dataset", "--agents", "--views", "--view-share", "--episode-length", "--faulty",
    "--fault", "--max-faulty", "--threshold", "--weights", "--deliberation", "--stl", "--specs",
    "--budget", "--shield", "--lanes", "--iterations", "--n-steps", "--batch-size", "--n-epochs",
    "--learning-rate", "--discount", "--credit", "--policy", "--sharing", "--bins",
    "--width", "--backend", "--device", "--threads", "--seed", "--preset", "--resume",
    "--restart", "--run-dir", "--split-method", "--threat-rate", "--balance", "--runners",
    "--true-positive", "--team-share", "--dataset-options", "--no-progress", "--nonsense",
)  # fmt: skip
_VALUES = st.one_of(
    st.sampled_from(
        [
            "0", "1", "2", "-1", "3.5", "1e308", "-0", "nan", "inf", "", " ", "None", "True",
            "replay", "overlap", "lagrangian", "entity", "lstm", "torch", "rllib", "certified",
            "a=b", "=", "G (x <= 1)", "quiet=G (alerts_4 <= 2)", "rows=10", "path=/no/such/file",
            "../..", "\u202e", "\x1b[31m", "[red]", "9" * 40,
        ]
    ),
    st.text(max_size=8),
    st.integers(-(10**12), 10**12).map(str),
    st.floats().map(str),
)  # fmt: skip
_LINES = st.lists(st.tuples(st.sampled_from(_FLAGS), st.none() | _VALUES), max_size=5)


def outcome(config_type: type, arguments: list[str]) -> tuple[int, str]:
    """Exit status and what stands on stderr; the command itself does nothing."""
    errors, presets = io.StringIO(), PRESETS if config_type is TrainCommand else None
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        try:
            status = run_command(config_type, lambda _: None, "", presets, PYTHON_ONLY, arguments)
        except SystemExit as end:
            status = int(end.code or 0)
    return status, errors.getvalue()


def check(config_type: type, line: list[tuple[str, str | None]]) -> None:
    arguments = [part for pair in line for part in pair if part is not None]
    status, errors = outcome(config_type, arguments)
    assert status in {0, 1, 2}
    assert (status == 0) is (errors == "")
    assert "Traceback" not in errors
    assert "\x1b[31m" not in errors
    assert "\u202e" not in errors


_QUICK = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@settings(_QUICK, max_examples=60)
@given(_LINES)
def test_a_training_is_described_or_refused(line: list[tuple[str, str | None]]) -> None:
    check(TrainCommand, line)


@settings(_QUICK, max_examples=40)
@given(_LINES, st.sampled_from([EvaluateConfig, DecideConfig]))
def test_an_evaluation_is_described_or_refused(
    line: list[tuple[str, str | None]], config_type: type
) -> None:
    check(config_type, line)


@pytest.mark.slow
@settings(_QUICK, max_examples=1000)
@given(_LINES)
def test_a_thousand_trainings_are_described_or_refused(line: list[tuple[str, str | None]]) -> None:
    check(TrainCommand, line)

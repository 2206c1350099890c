"""Evaluate a trained team on a split: ``marl-stl-evaluate --help``."""

from __future__ import annotations

import sys

from marl_stl_agents.command_line import run_command
from marl_stl_agents.config import EvaluateConfig


def act(settings: EvaluateConfig) -> None:
    """Evaluate a run, write ``evaluation.json`` and, where asked for, the report."""
    from marl_stl_agents.console.tables import say, show_evaluation, verdict
    from marl_stl_agents.evaluation.evaluation import evaluate
    from marl_stl_agents.run_directory import report_file

    path, result = evaluate(settings)
    show_evaluation(result)
    say(verdict(result))
    say(f"written to {path}")
    if settings.report:
        say(f"report: {report_file(path.parent, settings.split)}")


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: The command line; None takes ``sys.argv``.

    Returns:
        The exit status.
    """
    text = "Evaluate a trained team on every event of a split."
    return run_command(EvaluateConfig, act, text, arguments=arguments)


if __name__ == "__main__":
    sys.exit(main())

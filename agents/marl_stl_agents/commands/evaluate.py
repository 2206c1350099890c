"""Evaluate a trained team on a split: ``marl-stl-evaluate --help``."""

from __future__ import annotations

import sys

from marl_stl_agents.command_line import run_command
from marl_stl_agents.config import EvaluateConfig


def act(settings: EvaluateConfig) -> None:
    """Evaluate a run, write ``evaluation.json`` and, where asked for, the report."""
    from marl_stl_agents.console.output import say
    from marl_stl_agents.console.tables import show_evaluation
    from marl_stl_agents.evaluation.evaluation import evaluate
    from marl_stl_agents.run_directory import report_file

    evaluated = evaluate(settings)
    show_evaluation(evaluated.result)
    say(f"written to {evaluated.file}")
    if settings.report:
        from marl_stl_agents.reporting.page import write_report

        report = report_file(evaluated.run, evaluated.split)
        say("writing the report ...")
        write_report(evaluated, report)
        say(f"report: {report}")


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

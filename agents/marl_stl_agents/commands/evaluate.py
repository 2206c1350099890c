"""Evaluate a trained team on a split: ``marl-stl-evaluate --help``."""

from __future__ import annotations

import sys

from marl_stl_agents.command_line import command
from marl_stl_agents.config import EvaluateConfig


def act(settings: EvaluateConfig) -> None:
    """Evaluate a run, write ``evaluation.json`` and, where asked for, the report."""
    from marl_stl_agents.evaluation.seeds.folder import is_seeds

    if settings.run is not None and is_seeds(settings.run):
        from marl_stl_agents.commands.seeds import evaluate_seeds

        evaluate_seeds(settings, evaluate_one)
    else:
        evaluate_one(settings)


def evaluate_one(settings: EvaluateConfig) -> None:
    """Evaluate one run."""
    from marl_stl_agents.console.diagnostics import say_how_both_fit
    from marl_stl_agents.console.output import say, working
    from marl_stl_agents.console.tables import show_evaluation
    from marl_stl_agents.diagnostics.checklist import read_checklist
    from marl_stl_agents.evaluation.evaluate import evaluate
    from marl_stl_agents.run_directory import report_file

    with working() as step:
        evaluated = evaluate(settings, step)
    show_evaluation(evaluated.result)
    say_how_both_fit(read_checklist(evaluated.run), evaluated.result)
    say(f"written to {evaluated.file}")
    if settings.report:
        from marl_stl_agents.reporting.page import write_report

        report = report_file(evaluated.run, evaluated.split)
        with working() as step:
            step("drawing the report")
            write_report(evaluated, report)
        say(f"report: {report}")


main = command(EvaluateConfig, act, "Evaluate a trained team on every event of a split.")

if __name__ == "__main__":
    sys.exit(main())

"""Evaluate a trained team on the test split: ``python evaluate.py --help``."""

import sys

from marl_stl_agents.command_line import run_command
from marl_stl_agents.config import EvaluateConfig


def main(settings: EvaluateConfig) -> None:
    """Evaluate a run and write ``evaluation.json``, or let it decide on new traffic."""
    from marl_stl_agents.console.output import say
    from marl_stl_agents.console.tables import show_decisions, show_evaluation

    if settings.input is not None:
        from marl_stl_agents.evaluation.new_traffic import decide

        path, result = decide(settings)
        show_decisions(result)
    else:
        from marl_stl_agents.evaluation.evaluation import evaluate

        evaluated = evaluate(settings)
        path = evaluated.file
        show_evaluation(evaluated.result)
    say(f"written to {path}")
    if settings.input is None and settings.report:
        from marl_stl_agents.reporting.page import write_report
        from marl_stl_agents.run_directory import report_file

        report = report_file(evaluated.run, evaluated.split)
        say("writing the report ...")
        write_report(evaluated, report)
        say(f"report: {report}")


if __name__ == "__main__":
    text = "Evaluate a trained team on every test event once, or let it decide on new traffic."
    sys.exit(run_command(EvaluateConfig, main, text))

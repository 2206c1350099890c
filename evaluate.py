"""Evaluate a trained team on the test split: ``python evaluate.py --help``."""

import sys

from marl_stl_agents.command_line import run_command
from marl_stl_agents.config import EvaluateConfig


def main(settings: EvaluateConfig) -> None:
    """Evaluate a run and write ``evaluation.json``, or let it decide on new traffic."""
    from marl_stl_agents.console.tables import say, show_decisions, show_evaluation, verdict
    from marl_stl_agents.run_directory import report_file

    if settings.input is not None:
        from marl_stl_agents.evaluation.new_traffic import decide

        path, result = decide(settings)
        show_decisions(result)
    else:
        from marl_stl_agents.evaluation.evaluation import evaluate

        path, result = evaluate(settings)
        show_evaluation(result)
        say(verdict(result))
    say(f"written to {path}")
    if settings.report:
        say(f"report: {report_file(path.parent, settings.split)}")


if __name__ == "__main__":
    text = "Evaluate a trained team on every test event once, or let it decide on new traffic."
    sys.exit(run_command(EvaluateConfig, main, text))

"""Judge a trained team on the test split: ``python evaluate.py --help``."""

import sys

from agents.cli import run_command
from agents.config import EvaluateConfig


def main(settings: EvaluateConfig) -> None:
    """Judge a run, print the table and write ``evaluation.json``."""
    from agents.evaluation import evaluate
    from agents.report import say, show_evaluation, verdict

    path, result = evaluate(settings)
    show_evaluation(result)
    say(verdict(result))
    say(f"written to {path}")


if __name__ == "__main__":
    sys.exit(run_command(EvaluateConfig, main, "Judge a trained team on every test event once."))

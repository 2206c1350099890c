"""Evaluate a trained team on the test split: ``python evaluate.py --help``."""

import sys

from marl_stl_agents.scripts import evaluate

if __name__ == "__main__":
    sys.exit(evaluate())

"""Train a team of sensors: ``python train.py --help``."""

import sys

from agents.cli import run_command
from agents.config import TrainConfig


def main(config: TrainConfig) -> None:
    """Train a team and judge it on the validation split."""
    from agents.training import train

    train(config)


if __name__ == "__main__":
    sys.exit(run_command(TrainConfig, main, "Train a team of sensors on labelled traffic."))

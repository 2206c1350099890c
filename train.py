"""Train a team of sensors: ``python train.py --help``."""

import sys

from marl_stl_agents.command_line import run_command
from marl_stl_agents.commands.presets import PRESETS
from marl_stl_agents.config import TrainCommand


def main(command: TrainCommand) -> None:
    """Train a team, or go on with a training, and evaluate it on the validation split."""
    from marl_stl_agents.training.run import restart, resume, train

    if command.sweep is not None:
        from marl_stl_agents.commands.sweep import sweep

        sweep(command.settings(), command.sweep)
    elif command.resume is not None:
        resume(command.resume)
    elif command.restart is not None:
        restart(command.restart, command.run_dir)
    else:
        train(command.settings())


if __name__ == "__main__":
    sys.exit(
        run_command(TrainCommand, main, "Train a team of sensors on labelled traffic.", PRESETS)
    )

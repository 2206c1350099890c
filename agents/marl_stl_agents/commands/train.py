"""Train a team of sensors: ``marl-stl-train --help``."""

from __future__ import annotations

import sys

from marl_stl_agents.command_line import command
from marl_stl_agents.commands.options import PYTHON_ONLY, TrainCommand
from marl_stl_agents.commands.presets import PRESETS


def act(command: TrainCommand) -> None:
    """Train a team, or continue a training, and evaluate it on the validation split."""
    from marl_stl_agents.training.run import restart, resume, train

    plugins = command.env.plugins
    if command.sweep is not None:
        from marl_stl_agents.commands.sweep import sweep

        sweep(command.settings(), command.sweep)
    elif command.resume is not None:
        resume(command.resume, command.iterations, progress=command.progress, plugins=plugins)
    elif command.restart is not None:
        restart(command.restart, command.run_dir, progress=command.progress, plugins=plugins)
    else:
        train(command.settings())


main = command(
    TrainCommand, act, "Train a team of sensors on labelled traffic.", PRESETS, PYTHON_ONLY
)

if __name__ == "__main__":
    sys.exit(main())

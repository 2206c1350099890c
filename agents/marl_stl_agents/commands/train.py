"""Train a team of sensors: ``marl-stl-train --help``."""

from __future__ import annotations

import sys

from marl_stl_agents.command_line import command
from marl_stl_agents.commands.options import PYTHON_ONLY, TrainCommand
from marl_stl_agents.commands.presets import PRESETS
from marl_stl_env.errors import ConfigError


def act(command: TrainCommand) -> None:
    """Train a team, or continue a training, and evaluate it on the validation split."""
    from marl_stl_agents.evaluation.seeds.folder import is_seeds
    from marl_stl_agents.training.resume import restart, resume
    from marl_stl_agents.training.run import train
    from marl_stl_agents.training.seeds import resume_seeds, train_seeds

    plugins = command.env.plugins
    if command.sweep is not None:
        from marl_stl_agents.commands.sweep import sweep

        sweep(command.settings(), command.sweep)
    elif command.seeds is not None:
        train_seeds(command.settings(), command.seeds, command.at_once)
    elif command.resume is not None and is_seeds(command.resume):
        resume_seeds(
            command.resume,
            command.iterations,
            at_once=command.at_once,
            progress=command.progress,
            plugins=plugins,
        )
    elif command.at_once > 1:
        raise ConfigError(
            f"at_once={command.at_once}: {command.resume} is a single run; leave it out"
        )
    elif command.resume is not None:
        resume(command.resume, command.iterations, progress=command.progress, plugins=plugins)
    elif command.restart is not None:
        restart(
            command.restart,
            command.run_dir,
            iterations=command.iterations,
            progress=command.progress,
            plugins=plugins,
        )
    else:
        train(command.settings())


main = command(
    TrainCommand, act, "Train a team of sensors on labelled traffic.", PRESETS, PYTHON_ONLY
)

if __name__ == "__main__":
    sys.exit(main())

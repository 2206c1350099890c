"""Let a trained team decide on new traffic: ``marl-stl-decide --help``."""

from __future__ import annotations

import sys

from marl_stl_agents.command_line import run_command
from marl_stl_agents.config import DecideConfig


def act(settings: DecideConfig) -> None:
    """Decide on every event of a file and write the decisions."""
    from marl_stl_agents.console.output import say
    from marl_stl_agents.console.tables import show_decisions
    from marl_stl_agents.evaluation.new_traffic import decide

    path, result = decide(settings)
    show_decisions(result)
    say(f"written to {path}")


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: The command line; None takes ``sys.argv``.

    Returns:
        The exit status.
    """
    text = "Let a trained team decide on new traffic."
    return run_command(DecideConfig, act, text, arguments=arguments)


if __name__ == "__main__":
    sys.exit(main())

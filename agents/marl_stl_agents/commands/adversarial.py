"""Train a team against attackers that learn: ``marl-stl-adversarial --help``."""

from __future__ import annotations

import sys

from marl_stl_agents.command_line import command
from marl_stl_agents.config.redteam import RedTeamConfig


def act(settings: RedTeamConfig) -> None:
    """Train in turns, and say what attackers can do to the team that comes out."""
    from marl_stl_agents.console.output import say, working
    from marl_stl_agents.console.redteam import show_attacks
    from marl_stl_agents.redteam.result import RESULT
    from marl_stl_agents.redteam.turns import run_redteam
    from marl_stl_agents.run_directory import read_json

    with working() as step:
        run = run_redteam(settings, step)
    show_attacks(read_json(run / RESULT))
    say(f"run directory: {run}\nwhat attackers did: {run / RESULT}")


main = command(
    RedTeamConfig, act, "Train a team in turns against attackers that disguise their own events."
)

if __name__ == "__main__":
    sys.exit(main())

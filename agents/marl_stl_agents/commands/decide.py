"""Let a trained team decide on new traffic: ``marl-stl-decide --help``."""

from __future__ import annotations

import sys

from marl_stl_agents.command_line import command
from marl_stl_agents.config import DecideConfig


def act(settings: DecideConfig) -> None:
    """Decide on every event of a file and write the decisions."""
    from marl_stl_agents.console.output import say, working
    from marl_stl_agents.console.tables import show_decisions
    from marl_stl_agents.evaluation.new_traffic import decide

    with working() as step:
        step(f"deciding on {settings.input}")
        path, result = decide(settings)
    show_decisions(result)
    say(f"written to {path}")


main = command(DecideConfig, act, "Let a trained team decide on new traffic.")

if __name__ == "__main__":
    sys.exit(main())

"""Let a trained team decide on a log while it grows: ``marl-stl-serve --help``."""

from __future__ import annotations

import sys

from marl_stl_agents.command_line import command
from marl_stl_agents.config import ServeConfig


def act(settings: ServeConfig) -> None:
    """Serve until told to stop."""
    from marl_stl_agents.console.output import say
    from marl_stl_agents.serving.serve import serve

    status = serve(settings, say)
    say(f"{status.counts['events']:,} events, {status.counts['malformed_lines']:,} malformed lines")


main = command(ServeConfig, act, "Let a trained team decide on a log while it grows.")

if __name__ == "__main__":
    sys.exit(main())

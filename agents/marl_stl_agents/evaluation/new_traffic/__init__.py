"""A trained team decides on new traffic."""

from marl_stl_agents.evaluation.new_traffic.team import decide

__all__ = ["decide"]

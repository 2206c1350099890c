"""A trained team decides on new traffic."""

from marl_stl_agents.evaluation.new_traffic.decide import decide
from marl_stl_agents.evaluation.new_traffic.decision import Decision
from marl_stl_agents.evaluation.new_traffic.stream import TeamStream
from marl_stl_agents.evaluation.new_traffic.team import Team, load_team

__all__ = ["Decision", "Team", "TeamStream", "decide", "load_team"]

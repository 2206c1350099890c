"""The team of the studies and of the measurements of speed."""

from marl_stl_env.config import EnvConfig, StlConfig

#: Four sensors with one group of columns each, and no specifications: what one sensor sees no other
#: does, so that votes matter most.
PARTIAL = EnvConfig(agents=4, views="groups", stl=StlConfig(monitor=False))

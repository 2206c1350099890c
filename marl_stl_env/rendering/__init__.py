"""Pictures and lines of text of what happens in a lane; state is read and never changed."""

from marl_stl_env.rendering.lanes import LaneRenderers
from marl_stl_env.rendering.renderer import RENDER_FPS, RENDER_MODES, Renderer

__all__ = ["RENDER_FPS", "RENDER_MODES", "LaneRenderers", "Renderer"]
